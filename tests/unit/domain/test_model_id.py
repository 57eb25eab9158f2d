"""Text that people type or paste as a model: an ID, a page of the vendor, or neither."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.errors import BadModelId, NoModelPage
from bot.domain.model_id import linked_model, parse_model_id
from bot.model_api.versions import VERSIONS

IDS = (
    *(
        "midjourney",
        "anything-v3",
        "flux-kontext-dev",
        "wan2.2",
        "more_details",
        "F5jvdzGnYi",
        "7",
        ".hidden",
    ),
    *("stable-diffusion-xl-1.0-inpainting-0.1", "meta-llama-3-8B-instruct", "Org/Model-7B", "x" * 100),
)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        *((model, model) for model in IDS),
        ("  sdxl-turbo\n", "sdxl-turbo"),
        ('"sdxl-turbo"', "sdxl-turbo"),
        ("'sdxl-turbo'", "sdxl-turbo"),
        ("`sdxl-turbo`", "sdxl-turbo"),
        ("```sdxl-turbo```", "sdxl-turbo"),
        ("“sdxl-turbo”", "sdxl-turbo"),
        ("‘sdxl-turbo’", "sdxl-turbo"),
        (" ` sdxl-turbo ` ", "sdxl-turbo"),
        ("https://modelslab.com/models/sdxl-turbo", "sdxl-turbo"),
        ("https://modelslab.com/models/someone/SDXL-Turbo", "SDXL-Turbo"),
        ("https://www.modelslab.com/models/sdxl-turbo/", "sdxl-turbo"),
        ("http://modelslab.com/models/sdxl-turbo", "sdxl-turbo"),
        ("HTTPS://ModelsLab.com/models/sdxl-turbo", "sdxl-turbo"),
        ("https://stablediffusionapi.com/models/sdxl-turbo", "sdxl-turbo"),
        ("https://www.stablediffusionapi.com/models/sdxl-turbo?tab=api&x=/y", "sdxl-turbo"),
        ("https://modelslab.com/models/sdxl-turbo#api/reload", "sdxl-turbo"),
        ("modelslab.com/models/sdxl-turbo", "sdxl-turbo"),
        ("www.modelslab.com/models/sdxl-turbo//", "sdxl-turbo"),
        ("`https://modelslab.com/models/sdxl-turbo`", "sdxl-turbo"),
        ("https://modelslab.com/models/black-forest-labs/fluxschnell/llms.txt", "fluxschnell"),
        ("https://modelslab.com/models/sdxl-turbo/llms.txt", "sdxl-turbo"),
        ("https://modelslab.com/models/someone/sdxl-turbo.md", "sdxl-turbo"),
        ("https://modelslab.com/models/sdxl-turbo.md?x=1", "sdxl-turbo"),
        ("https://modelslab.com/models/sdxl-turbo?format=markdown", "sdxl-turbo"),
        ("https://modelslab.com/playground?model_id=pony", "pony"),
        ("https://modelslab.com/models?feature=imagen&model_id=pony#x", "pony"),
        ("https://modelslab.com/playground?model_id=Org%2FModel", "Org/Model"),
        ("https://modelslab.com?model_id=pony", "pony"),
        ("https://modelslab.com/models/flux?model_id=other", "flux"),
        ("modelslab.com/models/flux?back=https://x.example/y", "flux"),
    ],
)
def test_an_id_or_its_page_is_understood(text: str, model: str) -> None:
    assert parse_model_id(text) == model


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "``",
        "two words",
        "two\nlines",
        "sdxl`turbo",
        "/model",
        "a/../b",
        "..",
        "x" * 101,
        "schön",
        "<@123456>",
        "@everyone",
        "a\x00b",
        "a\u200bb",
        "sdxl-turbo?x=1",
        "id: sdxl",
        "https://modelslab.com",
        "https://modelslab.com/",
        "modelslab.com/models/a%2Fb",
        "https://modelslab.com/models/" + "x" * 101,
        "https://modelslab.com/models/..",
        "https://huggingface.co/org/model",
        "https://civitai.com/models/1234",
        "https://modelslab.com.evil.example/models/x",
        "https://evil.example/modelslab.com/models/x",
        "https://modelslab.com@evil.example/models/x",
        "https://user@modelslab.com/models/x",
        "https://api.modelslab.com/models/x",
        "https://modelslab.com:8443/models/x",
        "ftp://modelslab.com/models/x",
        "https://[modelslab.com/models/x",
    ],
)
def test_what_is_no_id_and_no_page_of_the_vendor_is_refused(text: str) -> None:
    with pytest.raises(BadModelId):
        parse_model_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://modelslab.com",
        "https://modelslab.com/",
        "modelslab.com",
        "https://modelslab.com/models",
        "https://modelslab.com/models/",
        "https://modelslab.com/models?feature=imagen&search=flux",
        "https://modelslab.com/models/llms.txt",
        "https://modelslab.com/models/section/lora",
        "https://modelslab.com/models/category/image",
        "https://modelslab.com/models/section",
        "https://modelslab.com/models/Section/lora",
        "HTTPS://MODELSLAB.COM/MODELS/CATEGORY/IMAGE",
        "https://modelslab.com/pricing",
        "https://modelslab.com/dashboard/api-keys",
        "https://modelslab.com/playground?model_id=",
        "https://modelslab.com/api/v6/images/model_reload",
        "https://modelslab.com/models/a/b/c",
        "https://stablediffusionapi.com/pricing",
        "docs.modelslab.com/models/flux",
        "https://docs.modelslab.com/image-generation",
    ],
)
def test_a_page_that_is_not_of_one_model_is_refused_as_that(text: str) -> None:
    with pytest.raises(NoModelPage):
        parse_model_id(text)
    assert linked_model(text) is None


texts = st.text() | st.text(st.sampled_from("aZ9._-/ `'\"“”:?#@[]%\n")) | st.from_regex(
    r"(https?://)?(www\.)?(modelslab|stablediffusionapi)\.com(/models|/[a-zA-Z0-9._?#:\[\]@=&\n-]*){0,4}(\?model_id=\w+)?"
)  # fmt: skip


@given(text=texts)
@example(text="modelslab.com/models/two\nlines")
def test_any_text_is_refused_or_gives_an_id_by_the_rules(text: str) -> None:
    try:
        model = parse_model_id(text)
    except BadModelId:
        return
    assert 1 <= len(model) <= 100
    assert all(c.isascii() and (c.isalnum() or c in "._-/") for c in model)
    assert not model.startswith("/")
    assert ".." not in model
    assert model in text, "an id is taken as it was written: nothing joined, nothing lower-cased"


@given(text=texts)
def test_an_id_that_was_read_is_read_again_as_itself(text: str) -> None:
    try:
        model = parse_model_id(text)
    except BadModelId:
        return
    assert parse_model_id(model) in (model, model.rpartition("/")[2])


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("https://modelslab.com/models/dream-shaper", "dream-shaper"),
        (" modelslab.com/models/x/Y-z ", "Y-z"),
        ("dream-shaper", None),
        ("Org/Model-7B", None),
        ("`dream-shaper`", None),
        ("https://modelslab.com/", None),
        ("https://evil.example/models/x", None),
        ("", None),
    ],
)
def test_a_page_leads_to_its_model(text: str, linked: str | None) -> None:
    assert linked_model(text) == linked


@pytest.mark.parametrize("version", VERSIONS)
def test_each_versions_host_has_model_pages(version: str) -> None:
    assert linked_model(f"{VERSIONS[version].host}/models/dream-shaper") == "dream-shaper"
