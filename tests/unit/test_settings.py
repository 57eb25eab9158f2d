"""Settings: defaults, what is refused and in which words, where they come from; secrets stay hidden."""

import base64
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.domain.errors import SettingsError
from bot.model_api.versions import VERSIONS
from bot.settings import Settings, load_settings
from bot.vault import KEY_BYTES

TOKEN = "MTA5.canary-token.abc"
# Fixed: they stand in the names of tests, which must be the same in every worker.
K1, K2 = (base64.urlsafe_b64encode(bytes([fill] * KEY_BYTES)).decode() for fill in (1, 2))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load from an environment that has what is required, and this."""

    def load(**environment: str) -> Settings:
        for name, value in {"DISCORD_TOKEN": TOKEN, "KEY_ENCRYPTION_KEYS": K1, **environment}.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


def refused(load: Any, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**environment)
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("data_dir", Path("data")),
        ("store_url", SecretStr("")),
        ("share", 1.0),
        ("model_api_version", "auto"),
        ("model_api_url", ""),
        ("model_api_hosts", {"v6": "https://modelslab.com", "v4": "https://stablediffusionapi.com"}),
        ("reload_seconds", 120.0),
        ("discord_api_url", ""),
        ("shard_count", None),
        ("shard_ids", None),
        ("health_host", IPv4Address("127.0.0.1")),
        ("log_format", "console"),
        ("log_level", "INFO"),
    ],
)
def test_only_token_and_keys_are_required(load: Any, name: str, default: object) -> None:
    assert getattr(load(), name) == default


def test_each_version_of_the_model_api_can_be_chosen() -> None:
    assert set(get_args(Settings.model_fields["model_api_version"].annotation)) == {"auto", *VERSIONS}


def test_each_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("RELOAD_SECONDS", "1", 1.0),
        ("RELOAD_SECONDS", "86400", 86400.0),
        ("RELOAD_SECONDS", "90.5", 90.5),
        ("DISCORD_API_URL", "http://127.0.0.1:8080/api/v10/", "http://127.0.0.1:8080/api/v10"),
        ("DATA_DIR", "/var/lib/rewarm", Path("/var/lib/rewarm")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "json", "json"),
        ("SHARD_COUNT", "4", 4),
        ("HEALTH_HOST", "10.0.0.5", IPv4Address("10.0.0.5")),
        ("HEALTH_HOST", "::1", IPv6Address("::1")),
        ("RELOAD_SECONDS", "", 120.0),
        ("SHARD_IDS", "", None),
        ("MODEL_API_VERSION", "", "auto"),
        ("MODEL_API_VERSION", "v4", "v4"),
    ],
)
def test_a_good_value_is_taken(load: Any, name: str, value: str, read: object) -> None:
    assert getattr(load(**{name: value}), name.lower()) == read


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("", "https://modelslab.com"),
        ("https://modelslab.com/", "https://modelslab.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_version_that_is_set_has_one_host_and_a_given_one_wins(load: Any, url: str, host: str) -> None:
    assert load(MODEL_API_VERSION="v6", MODEL_API_URL=url).model_api_hosts == {"v6": host}


def test_a_given_host_needs_a_version(load: Any) -> None:
    for version in ("", "auto"):
        [line] = refused(load, MODEL_API_URL="http://127.0.0.1:8000", MODEL_API_VERSION=version)
        assert line.startswith("MODEL_API_URL needs MODEL_API_VERSION (v4 or v6)")


NEW_KEY = "`rewarm new-key` prints one, or `make new-key` in a clone"
HOST_ONLY = "must be just a scheme and a host, like https://modelslab.com"


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("DISCORD_TOKEN", "", "is missing. `make init` asks for it"),
        ("KEY_ENCRYPTION_KEYS", "", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", ",", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", "c2VjcmV0LWNhbmFyeQ==", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", "not base64: canary", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", f"{K1},canary", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", "canary-schlüssel", NEW_KEY),
        ("KEY_ENCRYPTION_KEYS", K1 + K2, NEW_KEY),
        ("STORE_URL", "mysql://user:canary@db/rewarm", "must start with postgresql://"),
        ("MODEL_API_VERSION", "v5", "must be auto, v4 or v6"),
        ("MODEL_API_URL", "modelslab.com", HOST_ONLY),
        ("MODEL_API_URL", "ftp://modelslab.com", HOST_ONLY),
        ("MODEL_API_URL", "https://", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com/api/v6", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com?key=canary", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com#reload", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com?", HOST_ONLY),
        ("MODEL_API_URL", "https://user:canary@modelslab.com", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com:port", HOST_ONLY),
        ("MODEL_API_URL", "https://modelslab.com:99999", HOST_ONLY),
        ("MODEL_API_URL", "https://models lab.com", HOST_ONLY),
        ("MODEL_API_URL", "https://[::1", HOST_ONLY),
        ("RELOAD_SECONDS", "0", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "-5", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "86401", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "inf", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "-inf", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "nan", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "1e999", "must be a number from 1 to 86400"),
        ("RELOAD_SECONDS", "2 minutes", "must be a number from 1 to 86400"),
        ("DISCORD_API_URL", "http://127.0.0.1:8080", "must end in /api/v10"),
        ("DISCORD_API_URL", "http://127.0.0.1:8080/api/v9", "must end in /api/v10"),
        ("DISCORD_API_URL", "127.0.0.1:8080/api/v10", "must end in /api/v10"),
        ("DISCORD_API_URL", "http://127.0.0.1/api/v10?x=/api/v10", "must end in /api/v10"),
        ("DISCORD_API_URL", "http://[::1/api/v10", "must end in /api/v10"),
        ("SHARD_COUNT", "0", "must be a whole number, 1 or more"),
        ("SHARD_COUNT", "two", "must be a whole number, 1 or more"),
        ("HEALTH_HOST", "localhost", "must be an IP address"),
        ("LOG_LEVEL", "loud", "must be DEBUG, INFO, WARNING or ERROR"),
        ("LOG_FORMAT", "xml", "must be console or json"),
    ],
)
def test_a_bad_value_gives_one_line_that_names_it_and_says_how_to_fix_it(
    load: Any, name: str, value: str, fix: str
) -> None:
    (line,) = refused(load, **{name: value})
    assert line.startswith(f"{name} ")
    assert fix in line
    assert "\n" not in line
    assert "canary" not in line
    assert K1 not in line


@pytest.mark.parametrize(
    ("ids", "count", "read"), [("0", "1", [0]), ("0,1", "2", [0, 1]), (" 3 , 5 ", "6", [3, 5])]
)
def test_shard_ids_are_numbers_below_the_count(load: Any, ids: str, count: str, read: list[int]) -> None:
    assert load(SHARD_IDS=ids, SHARD_COUNT=count).shard_ids == read


@pytest.mark.parametrize(
    ("ids", "count"), [("0", ""), ("2", "2"), ("0,7", "2"), ("-1", "2"), ("a", "2"), ("a,b", "2"), (",", "2")]
)
def test_bad_shard_ids_give_one_line(load: Any, ids: str, count: str) -> None:
    (line,) = refused(load, SHARD_IDS=ids, SHARD_COUNT=count)
    assert line.startswith("SHARD_IDS ")


def test_each_fault_has_a_line_of_its_own(load: Any) -> None:
    lines = refused(load, DISCORD_TOKEN="", KEY_ENCRYPTION_KEYS="", RELOAD_SECONDS="nan", LOG_LEVEL="loud")
    assert [line.partition(" ")[0] for line in lines] == [
        "DISCORD_TOKEN",
        "KEY_ENCRYPTION_KEYS",
        "RELOAD_SECONDS",
        "LOG_LEVEL",
    ]


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DISCORD_TOKEN={TOKEN}\nKEY_ENCRYPTION_KEYS={K1}\nRELOAD_SECONDS=60\n")
    settings = load_settings()
    assert settings.discord_token.get_secret_value() == TOKEN
    assert settings.reload_seconds == 60


def test_the_environment_overrides_the_dotenv_file(load: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RELOAD_SECONDS=60\nLOG_FORMAT=json\n")
    settings = load(RELOAD_SECONDS="90")
    assert (settings.reload_seconds, settings.log_format) == (90, "json")


def test_a_bad_value_in_the_dotenv_file_gives_one_line_too(load: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RELOAD_SECONDS=soon\n")
    (line,) = refused(load)
    assert line.startswith("RELOAD_SECONDS ")


def test_names_that_are_not_settings_are_left_alone(load: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOMETHING_ELSE=1\n")
    assert load(PATH_TO_SOMETHING="x").reload_seconds == 120


def test_no_secret_shows_in_a_repr(load: Any) -> None:
    settings = load(KEY_ENCRYPTION_KEYS=f"{K1},{K2}")
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert not any(secret in shown for secret in (TOKEN, K1, K2))


def test_settings_cannot_be_changed(load: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().reload_seconds = 1


def test_the_key_ring_keeps_its_order(load: Any) -> None:
    one, two = load().encryption_keys, load(KEY_ENCRYPTION_KEYS=K2).encryption_keys
    assert load(KEY_ENCRYPTION_KEYS=f" {K2}, {K1} ,").encryption_keys == [*two, *one]
    assert len(one[0]) == 32


def test_keys_of_the_other_base64_alphabet_are_the_same_keys(load: Any) -> None:
    standard = K1.replace("-", "+").replace("_", "/")
    assert load(KEY_ENCRYPTION_KEYS=standard).encryption_keys == load().encryption_keys


@given(junk=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_whatever_stands_in_a_secret_is_never_said(junk: str) -> None:
    secret = f"canary{junk}"
    with pytest.raises(SettingsError) as caught:
        load_settings(discord_token="x", key_encryption_keys=secret)
    (line,) = caught.value.lines
    assert "canary" not in line


def test_a_dotenv_file_that_is_not_text_is_refused_like_any_other_fault(load: Any, tmp_path: Path) -> None:
    """Some editors save UTF-16; a traceback of it could show the secrets."""
    (tmp_path / ".env").write_bytes("RELOAD_SECONDS=60\n".encode("utf-16"))
    (line,) = refused(load)
    assert ".env" in line


def test_a_dotenv_that_is_no_file_is_said(tmp_path: Path) -> None:
    """What a missing mount leaves behind; it would be taken for no settings at all."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link"):
        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path / name)
        assert caught.value.lines == [
            f"{tmp_path / name} isn't a file. Move it out of the way and copy .env.example."
        ]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that even root cannot read")
def test_a_dotenv_file_that_cannot_be_read_is_said() -> None:
    """Reading from itself is refused even to root."""
    with pytest.raises(SettingsError, match=r"can't be read \(Input/output error\)"):
        load_settings(Path("/proc/self/mem"))


@pytest.mark.parametrize("token", ["two words", "a\r\nb", "a\x07b", "“quoted”", '"quoted"', "a\\b"])
def test_a_token_that_is_not_one_word_is_refused(load: Any, token: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(DISCORD_TOKEN=token)
    [line] = caught.value.lines
    assert line.startswith("DISCORD_TOKEN may contain only letters, digits, dots")
    assert token not in line


def test_the_data_folder_may_be_below_the_home(load: Any) -> None:
    assert load(DATA_DIR="~/rewarm").data_dir == Path.home() / "rewarm"
    for no_path in ("$HOME/rewarm", "~nobody-of-that-name/rewarm", " "):
        with pytest.raises(SettingsError, match="DATA_DIR must be a plain path"):
            load(DATA_DIR=no_path)


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of credentials, as systemd and containers make it, with what is required."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "discord_token").write_text(f"{TOKEN}\n")
    (folder / "key_encryption_keys").write_text(f"{K1}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_each_setting_may_stand_in_a_file_of_its_own(credentials: Path) -> None:
    given = {"shard_count": "2", "shard_ids": "0,1", "reload_seconds": "60", "log_format": "json"}
    for name, value in given.items():
        (credentials / name).write_text(f"{value}\n")
    settings = load_settings()
    assert settings.discord_token.get_secret_value() == TOKEN
    assert settings.encryption_keys == load_settings(key_encryption_keys=K1).encryption_keys
    assert (settings.shard_ids, settings.reload_seconds, settings.log_format) == ([0, 1], 60, "json")
    assert not any(secret in repr(settings) for secret in (TOKEN, K1))


def test_the_environment_wins_over_dotenv_and_that_over_a_file(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model_api_version", "reload_seconds", "log_level"):
        (credentials / name).write_text("v6" if name == "model_api_version" else "no good, and not looked at")
    (tmp_path / ".env").write_text("RELOAD_SECONDS=60\nLOG_LEVEL=loud\n")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    settings = load_settings()
    assert (settings.model_api_version, settings.reload_seconds, settings.log_level) == ("v6", 60, "ERROR")


def test_a_file_that_cannot_be_read_is_one_line(credentials: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("canary")
    token = credentials / "discord_token"
    for make in (
        lambda: token.mkdir(),
        lambda: token.symlink_to(outside),
        lambda: token.symlink_to(tmp_path / "nowhere"),
        lambda: token.write_bytes("canary".encode("utf-16")),
    ):
        token.rmdir() if token.is_dir() else token.unlink()
        make()
        with pytest.raises(SettingsError) as caught:
            load_settings()
        (line,) = caught.value.lines
        assert line.startswith("DISCORD_TOKEN: its file in CREDENTIALS_DIRECTORY must be")


def test_a_folder_of_credentials_that_is_none_is_said(load: Any, tmp_path: Path) -> None:
    """What a missing mount leaves behind."""
    for no_folder in (tmp_path / "nowhere", Path(__file__)):
        assert refused(load, CREDENTIALS_DIRECTORY=str(no_folder)) == [
            "CREDENTIALS_DIRECTORY isn't a folder."
        ]
    assert load(CREDENTIALS_DIRECTORY="").reload_seconds == 120
