"""Seals and opens secrets: AES-256-GCM, bound to a purpose and an owner, with a ring of keys."""

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from bot.domain.errors import SealBroken

KEY_BYTES = 32
_FORMAT = b"\1"
_NONCE_BYTES = 12
_PAD_TO = 64
_LENGTH_BYTES = 2


def new_encryption_key() -> str:
    """Make a fresh encryption key: 32 random bytes as urlsafe base64."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


class Vault:
    """Holds the key ring, newest first: the first key seals, all of them open.

    A sealed row is base64 of: format (1 byte), key ID (4), nonce (12), ciphertext. The text inside is
    padded to 64 bytes so that its length does not show. A row opens only for the purpose and owner it was
    sealed for.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._ring = {_key_id(key): AESGCM(key) for key in keys}
        self._newest = _key_id(keys[0])

    def seal(self, purpose: str, owner: str, secret: SecretStr) -> str:
        """Seal a secret of at most 65,535 bytes of UTF-8."""
        text = secret.get_secret_value().encode()
        padded = len(text).to_bytes(_LENGTH_BYTES, "big") + text
        padded += bytes(-len(padded) % _PAD_TO)
        nonce = os.urandom(_NONCE_BYTES)
        box = self._ring[self._newest].encrypt(nonce, padded, _bound(self._newest, purpose, owner))
        return base64.b64encode(_FORMAT + self._newest + nonce + box).decode()

    def open(self, purpose: str, owner: str, row: str) -> SecretStr:
        """Open a sealed row. Raises SealBroken, which never holds the secret."""
        raw = _decode(row)
        key_id, nonce, box = raw[1:5], raw[5:17], raw[17:]
        if raw[:1] != _FORMAT or key_id not in self._ring:
            raise SealBroken("sealed with a key that is not in KEY_ENCRYPTION_KEYS")
        try:
            padded = self._ring[key_id].decrypt(nonce, box, _bound(key_id, purpose, owner))
        except (InvalidTag, ValueError):
            raise SealBroken("damaged, or copied from elsewhere") from None
        length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
        return SecretStr(padded[_LENGTH_BYTES : _LENGTH_BYTES + length].decode())

    def stale(self, row: str) -> bool:
        """Return whether a row was sealed with an older key. Raises SealBroken."""
        return _decode(row)[1:5] != self._newest


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"rewarm key id" + key).digest()[:4]


def _bound(key_id: bytes, purpose: str, owner: str) -> bytes:
    return b"|".join((_FORMAT, key_id.hex().encode(), purpose.encode(), owner.encode()))


def _decode(row: str) -> bytes:
    try:
        return base64.b64decode(row, validate=True)
    except (binascii.Error, ValueError):
        raise SealBroken("damaged, or copied from elsewhere") from None
