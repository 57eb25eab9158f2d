"""The versions of the model API: the paths of each, and how it expects a picture's description."""

from typing import Any, NamedTuple


class Version(NamedTuple):
    """One version; its model pages are on the hosts in `bot.domain.model_id`."""

    host: str
    """Scheme and host."""
    reload_path: str
    render_path: str
    fetch_path: str
    job_in_path: bool
    """Whether a picture's number also goes into the path."""
    picture: dict[str, Any]
    """The fields of a request for one small picture."""


# v4 writes numbers as text and takes at least 21 steps, v6 at most 20 (the vendor's Text to Image pages). For
# the fetch, v6's schema names a field and the vendor's own client puts the number into the path, so both are
# sent.
VERSIONS = {  # the current one first
    "v6": Version(
        host="https://modelslab.com",
        reload_path="/api/v6/images/model_reload",
        render_path="/api/v6/images/text2img",
        fetch_path="/api/v6/images/fetch",
        job_in_path=True,
        picture={
            "width": 512,
            "height": 512,
            "samples": 1,
            "num_inference_steps": 20,
            "safety_checker": True,
            "enhance_prompt": False,
        },
    ),
    "v4": Version(
        host="https://stablediffusionapi.com",
        reload_path="/api/v4/dreambooth/model_reload",
        render_path="/api/v4/dreambooth",
        fetch_path="/api/v4/dreambooth/fetch",
        job_in_path=False,
        picture={
            "width": "512",
            "height": "512",
            "samples": "1",
            "num_inference_steps": "21",
            "safety_checker": "yes",
            "enhance_prompt": "no",
        },
    ),
}
BALANCE_PATH = "/api/wallet_balance"
LIST_PATH = "/api/v4/dreambooth/model_list"
"""The path of the model list in both versions: the vendor documents it under its new host, too."""
