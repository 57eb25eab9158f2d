"""The command line, as a process: what a self-hoster meets first."""

import base64
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bot.vault import new_encryption_key
from tests import ROOT


def bot(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_is_the_one_of_the_project(tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    result = bot("--version", cwd=tmp_path)
    assert result.stdout.split()[:2] == ["rewarm", version]
    assert result.returncode == 0


def test_usage_names_the_command_that_was_called(tmp_path: Path) -> None:
    assert bot("--help", cwd=tmp_path).stdout.startswith("usage: python -m bot [")
    installed = tmp_path / "rewarm"  # what pip and pipx write
    installed.write_text("import sys\nfrom bot.__main__ import main\nsys.exit(main())\n")
    environment = {"PYTHONPATH": str(ROOT)}
    for arguments, status, said in (("--help", 0, "usage: rewarm ["), ("--no-such", 2, "usage: rewarm [")):
        result = subprocess.run(
            [sys.executable, installed, arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == status
        assert (result.stdout + result.stderr).startswith(said)


def test_new_key_prints_a_key(tmp_path: Path) -> None:
    first, second = (bot("new-key", cwd=tmp_path).stdout.strip() for _ in range(2))
    assert len(base64.urlsafe_b64decode(first)) == 32
    assert first != second


def test_missing_settings_are_a_line_each(tmp_path: Path) -> None:
    result = bot(cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["DISCORD_TOKEN", "KEY_ENCRYPTION_KEYS"]
    assert "new-key" in lines[1]


def test_bad_settings_show_no_secret_and_no_traceback(tmp_path: Path) -> None:
    secrets = {"DISCORD_TOKEN": "canary-token", "KEY_ENCRYPTION_KEYS": "canary-keys"}
    result = bot(cwd=tmp_path, RELOAD_SECONDS="soon", **secrets)
    assert result.returncode == 2
    assert "canary" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_wrong_encryption_key_is_refused_before_discord(tmp_path: Path) -> None:
    """The address of Discord leads nowhere: a bot that got that far would try for ever."""
    settings = {"DISCORD_TOKEN": "made-up", "DISCORD_API_URL": "http://127.0.0.1:9/api/v10"}
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-m", "bot"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "KEY_ENCRYPTION_KEYS": new_encryption_key(), **settings},
            capture_output=True,
            timeout=3,
            check=False,
        )
    result = bot(cwd=tmp_path, KEY_ENCRYPTION_KEYS=new_encryption_key(), **settings)
    assert result.returncode == 2
    assert result.stderr.startswith("KEY_ENCRYPTION_KEYS: none of these keys opens this store")
    assert len(result.stderr.splitlines()) == 1


def test_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    settings = {"DISCORD_TOKEN": "made-up", "KEY_ENCRYPTION_KEYS": new_encryption_key()}
    result = bot(cwd=tmp_path, **settings)
    assert result.returncode == 2
    assert result.stderr.startswith("DATA_DIR: ")
    assert len(result.stderr.splitlines()) == 1


def test_sandbox_plays_the_whole_conversation(tmp_path: Path) -> None:
    result = bot("sandbox", "--script", "--seconds", "6", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    heads = [
        "/key set",
        "The key works",
        "/reload",
        "Reloading",
        "5 s left",
        "Ready sdxl",
        "should be ready (6 s have passed",
    ]
    places = [result.stdout.find(head) for head in heads]
    assert -1 not in places
    assert places == sorted(places)
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
    assert result.stderr == ""
