"""Why there is no answer at all: what the command line says then."""

import asyncio
from ssl import SSLCertVerificationError

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from bot.model_api.trouble import UNCLEAR, of_error

_HOST = ConnectionKey("models.example", 443, True, True, None, None, None)  # aiohttp's


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "didn't answer in time"),
        (aiohttp.ConnectionTimeoutError(), "didn't answer in time"),
        (asyncio.IncompleteReadError(b"", 1), UNCLEAR.what),
        (aiohttp.ClientConnectorError(_HOST, OSError(111, "refused")), "can't be reached"),
        (aiohttp.ClientConnectorDNSError(_HOST, OSError(-2, "unknown")), "can't be reached"),
        (
            aiohttp.ClientConnectorCertificateError(_HOST, SSLCertVerificationError()),
            "has a certificate that isn't trusted",
        ),
        (aiohttp.ServerDisconnectedError(), UNCLEAR.what),
    ],
)
def test_each_kind_has_its_words(error: Exception, said: str) -> None:
    assert of_error(error).what == said
