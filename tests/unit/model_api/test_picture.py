"""The addresses from outside that a picture is fetched from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model_api.picture import safe

OWN = "https://modelslab.com"


@pytest.mark.parametrize(
    "address",
    [
        "https://pictures.example/a/b.png",
        "https://pictures.example:443/x.png?sig=1",
        "https://pub-1.r2.dev/x.png",
        f"{OWN}/x.png",
    ],
)
def test_https_to_a_named_host_is_asked(address: str) -> None:
    assert str(safe(address, OWN)) == address.replace(":443", "")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x.png",
        "/x.png",
        "//pictures.example/x.png",
        "http://pictures.example/x.png",
        "http://modelslab.com/x.png",
        "ftp://pictures.example/x.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "https://",
        "https://127.0.0.1/x.png",
        "https://[::1]/x.png",
        "https://169.254.169.254/latest",
        "https://2130706433/x.png",
        "https://localhost/x.png",
        "https://db/x.png",
        "https://db.internal/x.png",
        "https://printer.local./x.png",
        "https://pictures.example:8443/x.png",
        "https://user:secret@pictures.example/x.png",
        "https://user@modelslab.com/x.png",
        "https://[pictures.example/x.png",
        "https://127.1/x.png",
        "https://0x7f.1/x.png",
        "https://0177.0.0.1/x.png",
        "https://a..b/x.png",
        "https://db.lan/x.png",
    ],
)
def test_anything_else_is_not(address: str) -> None:
    assert safe(address, OWN) is None


@given(address=st.text() | st.from_regex(r"https?://[a-z0-9.:@\[\]]{0,30}/?.{0,10}"))
def test_no_address_breaks_the_check(address: str) -> None:
    url = safe(address, OWN)
    assert url is None or url.scheme == "https"


def test_the_api_itself_may_be_anywhere() -> None:
    """As it is in a sandbox: a stand-in on this machine."""
    assert safe("http://127.0.0.1:8017/x.png", "http://127.0.0.1:8017") is not None
    assert safe("http://127.0.0.1:8018/x.png", "http://127.0.0.1:8017") is None
