"""The files in deploy/: systemd's own view of the unit, and that they fit the bot."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from bot.process import EXIT_SETTINGS, STOP_TIMEOUT
from bot.settings import Settings
from tests import ROOT

UNIT = (ROOT / "deploy" / "rewarm.service").read_text()
BACKUP = (ROOT / "deploy" / "rewarm-backup.service").read_text()
COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()


def value(name: str) -> str:
    """Return the value of a key that the unit contains once."""
    [found] = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(found)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is here."""
    path = tmp_path / "rewarm.service"
    path.write_text(UNIT.replace(value("ExecStart"), "/bin/true"))
    return path


def analyze(*command: str) -> subprocess.CompletedProcess[str]:
    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    return subprocess.run(command, env=plain, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_the_unit(systemd_analyze: str, unit: Path) -> None:
    """The two keys that docs say are ignored before systemd 254 are left out."""
    result = analyze(systemd_analyze, "verify", "--man=no", str(unit))
    new = re.compile(r"Unknown key.* '(RestartSteps|RestartMaxDelaySec)' in section")
    assert [line for line in result.stderr.splitlines() if not new.search(line)] == []
    assert result.returncode == 0


def test_systemd_finds_the_unit_safe(systemd_analyze: str, unit: Path) -> None:
    """Exposure goes from 0 to 10, and the threshold counts tenths."""
    result = analyze(systemd_analyze, "security", "--no-pager", "--offline=true", "--threshold=20", str(unit))
    assert result.returncode == 0, result.stdout
    assert re.search(r"Overall exposure level for rewarm\.service: \d\.\d OK", result.stdout)


def test_systemd_understands_the_backup(systemd_analyze: str, tmp_path: Path) -> None:
    service = tmp_path / "rewarm-backup.service"
    service.write_text(re.sub("ExecStart=.*", "ExecStart=/bin/true", BACKUP))
    timer = tmp_path / "rewarm-backup.timer"
    timer.write_text((ROOT / "deploy" / timer.name).read_text())
    result = analyze(systemd_analyze, "verify", "--man=no", str(service), str(timer))
    assert (result.returncode, result.stderr) == (0, "")
    safe = ("security", "--no-pager", "--offline=true", "--threshold=20", str(service))
    assert analyze(systemd_analyze, *safe).returncode == 0


def test_the_backup_runs_as_the_bot_with_its_settings_and_less_rights() -> None:
    """One user, one folder: by another user the store's shared memory could not be opened."""
    assert "\nUser=rewarm\n" in BACKUP
    assert "\nStateDirectory=rewarm rewarm-backup\n" in BACKUP
    assert "backup --keep 7 %S/rewarm-backup\n" in BACKUP
    names = r"Load|Environment(File|=D)|LimitCORE|Dyn|State\w+Mode|UM|Pro|Pri|Rem|No|Cap|Amb|Lock|Mem"
    kept = re.compile(rf"^({names}|Restrict[NRS]|Sys)", re.MULTILINE)
    missing = {line for line in UNIT.splitlines() if kept.match(line)} - set(BACKUP.splitlines())
    assert missing == set()


def test_the_unit_fits_the_bot() -> None:
    assert value("RestartPreventExitStatus") == str(EXIT_SETTINGS)
    assert int(value("TimeoutStopSec")) > STOP_TIMEOUT
    assert f"\nEnvironment=DATA_DIR=%S/{value('StateDirectory')}\n" in UNIT


def test_each_secret_is_a_setting_that_is_kept_secret() -> None:
    """A file of another name would not be read."""
    fields = {
        name: field for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    assert set(fields) == {"discord_token", "key_encryption_keys", "store_url"}
    secrets = {name for name, field in fields.items() if field.is_required()}
    assert set(re.findall(r"^LoadCredential=(\w+):/etc/rewarm/\1$", UNIT, re.MULTILINE)) == secrets
    assert set(re.findall(r"file: secrets/(\w+)$", COMPOSE, re.MULTILINE)) == secrets
    assert f"secrets: [{', '.join(sorted(secrets))}]" in COMPOSE


@pytest.mark.parametrize(
    "page", ["docs/DEPLOY.md", "Makefile", "deploy/Containerfile", "tests/tools/dist.py"]
)
def test_nothing_is_installed_without_its_hash(page: str) -> None:
    """Otherwise pip fetches the newest setuptools to build sqlitedict, and runs it, often as root."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    installs = re.compile(r"-r\W+(ROOT / lock|/?requirements)")
    lines = [line for line in text.splitlines() if "pip-audit" not in line and installs.search(line)]
    assert lines
    for line in lines:
        assert "requirements-build.txt" in line or "--no-build-isolation" in line or "*hashed" in line, line
        assert re.search(r"--require-hashes|\(INSTALL\)|\*hashed", line), line


def test_what_runs_is_what_was_tested() -> None:
    """The locks of what runs, and of what builds it, have the versions of the other one."""
    run, build, dev = (
        set(re.findall(r"^\S+==\S+", (ROOT / f"requirements{kind}.txt").read_text(), re.MULTILINE))
        for kind in ("", "-build", "-dev")
    )
    assert run < dev
    assert build < dev
    assert {line.partition("==")[0] for line in build} >= {"setuptools", "hatchling"}
