"""Every setting: its name, type, default and meaning; read from the environment, `.env` or its own file."""

import base64
import binascii
import os
import re
import warnings
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyAddress, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from bot.domain.errors import SettingsError
from bot.model_api.versions import VERSIONS
from bot.vault import KEY_BYTES

_HOST = r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:(?P<port>\d{1,5}))?/?"
_NEW_KEY = "`rewarm new-key` prints one, or `make new-key` in a clone"
_VERSIONS = " or ".join(sorted(VERSIONS))
_PLAIN = {
    "RELOAD_SECONDS": "must be a number from 1 to 86400",
    "SHARD_COUNT": "must be a whole number, 1 or more",
    "SHARD_IDS": "must be whole numbers with commas between them, like 0,1",
    "MODEL_API_VERSION": f"must be auto, {_VERSIONS}",
    "HEALTH_HOST": "must be an IP address of this machine, like 127.0.0.1, or 0.0.0.0 for all of them",
    "HEALTH_PORT": "must be a port from 1 to 65535, or 0 for none",
    "HISTORY_DAYS": "must be a whole number from 1 to 3650",
    "LOG_FORMAT": "must be console or json",
    "LOG_LEVEL": "must be DEBUG, INFO, WARNING or ERROR",
}


class Settings(BaseSettings):
    """Settings as attributes of the same names in lower case. Secrets are masked in `repr`."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, frozen=True
    )

    discord_token: SecretStr = Field(description="the bot's token, from the Discord developer portal")
    key_encryption_keys: SecretStr = Field(
        description="keys that encrypt the servers' API keys, newest first, comma-separated; `make new-key` "
        "prints one. To change them, put a new one in front, start the bot once (the log says "
        "“keys.resealed”), then remove the old one"
    )
    data_dir: Path = Field(default=Path("data"), description="the folder of the store")
    store_url: SecretStr = Field(
        default=SecretStr(""),
        description="`postgresql://user:password@host/database` keeps everything there instead, for several "
        "processes (docs/DEPLOY.md). Empty: a file in `DATA_DIR`",
    )
    model_api_version: Literal["auto", "v4", "v6"] = Field(
        default="auto",
        description="`auto` finds out for each key: modelslab.com (v6), or, if that rejects it, "
        "stablediffusionapi.com (v4). With `v6` or `v4` keys go to that one only",
    )
    model_api_url: str = Field(
        default="",
        description="the model API's scheme and host; then `MODEL_API_VERSION` must name the version, and "
        "keys go to no other host. Empty: the version's own",
    )
    reload_seconds: float = Field(
        default=120,
        ge=1,
        le=86400,
        description="how many seconds the API promises a reload takes, 1 to 86400",
    )
    discord_api_url: str = Field(
        default="",
        description="Discord's REST base with its `/api/v10`, for example a rate-limit proxy; the gateway's "
        "address comes from there. Empty: Discord's own",
    )
    shard_count: int | None = Field(
        default=None, ge=1, description="how many shards there are; empty: as many as Discord recommends"
    )
    shard_ids: Annotated[list[int] | None, NoDecode] = Field(
        default=None, description="which of them this process runs, like `0,1`; empty: all"
    )
    health_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="port of `/livez`, `/readyz`, `/metrics` (docs/OPERATIONS.md); 0: none",
    )
    health_host: IPvAnyAddress = Field(
        default=IPv4Address("127.0.0.1"), description="the IP address `HEALTH_PORT` listens on"
    )
    history_days: int = Field(
        default=90, ge=1, le=3650, description="how many days ended reloads are kept, 1 to 3650"
    )
    support_url: str = Field(
        default="", description="where people get help with your bot, for example an invite; `/help` shows it"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="`console` or `json`")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("discord_token")
    @classmethod
    def _one_word(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value().strip()
        if not token:
            raise ValueError("is empty. Copy it from the Discord developer portal")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", token):
            raise ValueError("may contain only letters, digits, dots, - and _ (no quotes). Copy it again")
        return SecretStr(token)

    @field_validator("key_encryption_keys")
    @classmethod
    def _keys_are_keys(cls, value: SecretStr) -> SecretStr:
        if not _decode_keys(value):
            raise ValueError(f"needs at least one key: {_NEW_KEY}")
        return value

    @field_validator("data_dir")
    @classmethod
    def _home(cls, value: Path) -> Path:
        if "$" in str(value) or "\0" in str(value) or not str(value).strip():
            raise ValueError("must be a plain path; variables like $HOME are not expanded")
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("must be a plain path; there is no such home folder") from None

    @field_validator("store_url")
    @classmethod
    def _of_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.match(r"postgres(ql)?://", value.get_secret_value()):
            raise ValueError("must start with postgresql://, or be empty")
        try:
            parts = urlsplit(value.get_secret_value())
            several = "," in parts.netloc
            # An invalid port raises; with several hosts it can't be read.
            is_sound = not parts.fragment and parts.netloc.count("@") < 2 and (several or parts.port != 0)
        except ValueError:  # its words contain the password
            is_sound = False
        if not is_sound:
            raise ValueError(
                "isn't a URL. Special characters in the password must be percent-encoded (@ as %40)"
            )
        return value

    @field_validator("model_api_url")
    @classmethod
    def _host_only(cls, value: str) -> str:
        if value and not _is_url(value, ""):
            raise ValueError("must be just a scheme and a host, like https://modelslab.com")
        return value.rstrip("/")

    @field_validator("discord_api_url")
    @classmethod
    def _with_version(cls, value: str) -> str:
        if value and not _is_url(value, r"[\w./-]*(?<=/)api/v10/?"):
            raise ValueError("must end in /api/v10, like http://127.0.0.1:8080/api/v10")
        return value.rstrip("/")

    @field_validator("support_url")
    @classmethod
    def _https(cls, value: str) -> str:
        if value and not re.fullmatch(r"https://[^\s<>()\[\]`]{1,500}", value):
            raise ValueError("must be a link that starts with https://")
        return value

    @field_validator("shard_ids", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _shards_fit(self) -> Self:
        count = self.shard_count
        if self.shard_ids and (count is None or not all(0 <= shard < count for shard in self.shard_ids)):
            raise ValueError("SHARD_IDS needs SHARD_COUNT, and each ID must be below it (counting from 0)")
        return self

    @model_validator(mode="after")
    def _url_has_version(self) -> Self:
        if self.model_api_url and self.model_api_version == "auto":
            raise ValueError(f"MODEL_API_URL needs MODEL_API_VERSION ({_VERSIONS}), which decides the paths")
        return self

    @property
    def encryption_keys(self) -> list[bytes]:
        """The keys, newest first."""
        return _decode_keys(self.key_encryption_keys)

    @property
    def share(self) -> float:
        """This process's part of Discord's limits: the same as its part of the shards."""
        return len(self.shard_ids) / self.shard_count if self.shard_ids and self.shard_count else 1.0

    @property
    def model_api_hosts(self) -> dict[str, str]:
        """The scheme and host that keys may be sent to, by version, the current one first."""
        if self.model_api_version == "auto":
            return {name: version.host for name, version in VERSIONS.items()}
        return {self.model_api_version: self.model_api_url or VERSIONS[self.model_api_version].host}


def load_settings(env_file: Path | None = Path(".env"), **given: Any) -> Settings:
    """Read the settings. Raises SettingsError with one line for each missing or wrong one."""
    if env_file is not None and (env_file.is_symlink() or env_file.exists()) and not env_file.is_file():
        raise SettingsError([f"{env_file} isn't a file. Move it out of the way and copy .env.example."])
    credentials = os.environ.get("CREDENTIALS_DIRECTORY") or None
    if credentials is not None and not Path(credentials).is_dir():
        raise SettingsError(["CREDENTIALS_DIRECTORY isn't a folder."])
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):  # about ignored files
            return Settings(_env_file=env_file, _secrets_dir=credentials, **given)  # type: ignore[call-arg]  # theirs
    except SourceError as error:
        [name] = re.findall(r'field "(\w+)"', str(error))
        why = "must be a plain UTF-8 text file that the bot can read"
        raise SettingsError([f"{name.upper()}: its file in CREDENTIALS_DIRECTORY {why}."]) from None
    except ValidationError as error:
        lines = (_line(dict(detail)) for detail in error.errors(include_input=False))
        raise SettingsError(list(dict.fromkeys(lines))) from None
    except OSError as error:
        why = f"can't be read ({error.strerror})"
        raise SettingsError([f"{env_file} {why}. Make it readable for the user who runs the bot."]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{env_file} isn't UTF-8 text. Save it as UTF-8."]) from None


def _is_url(value: str, path: str) -> bool:
    found = re.fullmatch(_HOST + path, value)
    return found is not None and int(found["port"] or 0) <= 65535


def _line(detail: dict[str, Any]) -> str:
    """Return one line for one fault, without the value, which may be a secret."""
    name = ".".join(str(part) for part in detail["loc"][:1]).upper()
    if detail["type"] == "missing":
        asks = {
            "DISCORD_TOKEN": ("asks for it", "it's at discord.com/developers, under Bot"),
            "KEY_ENCRYPTION_KEYS": ("creates one", _NEW_KEY),
        }
        does, where = asks[name]
        return f"{name} is missing. `make init` {does}; or set it in the environment or in .env ({where})."
    text = _PLAIN.get(name) or str(detail["msg"]).removeprefix("Value error, ")
    return f"{name} {text}." if name else f"{text}."


def _decode_keys(value: SecretStr) -> list[bytes]:
    keys = []
    for part in filter(None, (text.strip() for text in value.get_secret_value().split(","))):
        try:
            key = base64.b64decode(part.translate(str.maketrans("-_", "+/")), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"must be urlsafe base64 of {KEY_BYTES} bytes for each key: {_NEW_KEY}")
        keys.append(key)
    return keys
