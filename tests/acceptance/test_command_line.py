"""The command line as a process: a self-hoster's first contact."""

import asyncio
import base64
import os
import pty
import re
import sys
import termios
import time
import tomllib
from pathlib import Path

import pytest

from bot.vault import new_encryption_key
from tests import ROOT, as_read, processes
from tests.processes import Said

PATH = {"PYTHONPATH": str(ROOT)}


NOT_WRITTEN = "The output can't be written (No space left on device).\n"
COMMANDS = ("init", "check", "backup", "forget", "servers", "move-store", "new-key", "run", "sandbox")
_BARE = """
import argparse, runpy, sys
argparse.ArgumentParser().print_help()
print(len(sys.modules))
"""
_SEEN = """
import runpy, sys
sys.argv = ["rewarm", *sys.argv[1:]]
try:
    runpy.run_module("bot", run_name="__main__")
finally:
    spared = ("discord", "asyncio", "pydantic", "shutil")
    print(len(sys.modules), [name for name in spared if name in sys.modules])
"""


async def bot(*arguments: str, cwd: Path, **settings: str) -> Said:
    return await processes.run("-m", "bot", *arguments, cwd=cwd, env={**PATH, **settings})


async def test_version_is_the_one_of_the_project(tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    result = await processes.run("-m", "bot", "--version", cwd=tmp_path, env=PATH, forked=False)
    assert result.out.split()[:2] == ["rewarm", version]
    assert result.status == 0


async def test_usage_names_the_command_that_was_called(tmp_path: Path) -> None:
    assert (await bot("--help", cwd=tmp_path)).out.startswith("usage: python -m bot [")
    installed = tmp_path / "rewarm"  # what pip and pipx write
    installed.write_text("import sys\nfrom bot.__main__ import main\nsys.exit(main())\n")
    for arguments, status, said in (("--help", 0, "usage: rewarm ["), ("--no-such", 2, "usage: rewarm [")):
        result = await processes.run(str(installed), arguments, cwd=tmp_path, env=PATH)
        assert result.status == status
        assert (result.out + result.err).startswith(said)


async def test_help_loads_no_bot(tmp_path: Path) -> None:
    """That would take half a second and 80 MB for a line of text."""
    bare = await processes.run("-c", _BARE, cwd=tmp_path, env=PATH, forked=False)
    for command in (*COMMANDS, ""):
        arguments = (*([command] if command else []), "--help")
        said = await processes.run("-c", _SEEN, *arguments, cwd=tmp_path, env=PATH, forked=command != "")
        assert said.status == 0, said.err
        assert re.search(r"\n\n[A-Z][^\n]+\.\n", said.out), "what it does"
    count, _, found = said.out.splitlines()[-1].partition(" ")
    assert found == "[]"
    assert int(count) <= 1.2 * int(bare.out.splitlines()[-1])


@pytest.mark.parametrize(("columns", "widest"), [("", 60), ("40", 40), ("none", 60), ("0", 60)])
async def test_help_fits_the_terminal(tmp_path: Path, columns: str, widest: int) -> None:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, 60))
        settings = {**PATH, "COLUMNS": columns}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "--help"), cwd=tmp_path, env=settings, stdout=theirs
        )
        assert await process.wait() == 0
        lines = os.read(ours, 10_000).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)
    assert widest - 15 < max(map(len, lines)) < widest


@pytest.mark.parametrize("settings", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["", "unbuffered"])
@pytest.mark.parametrize("command", ["--help", "check --help", "--version", "new-key"])
async def test_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, command: str, settings: dict[str, str]
) -> None:
    for to, line in (("> /dev/full", NOT_WRITTEN), ("| true", "")):
        script = f"{sys.executable} -m bot {command} {to}"
        in_shell = f"import os; os.execl('/bin/sh', 'sh', '-c', {script!r})"
        said = await processes.run("-c", in_shell, cwd=tmp_path, env={**PATH, **settings})
        assert (said.out, said.err) == ("", line)


async def test_new_key_prints_a_key(tmp_path: Path) -> None:
    first, second = [(await bot("new-key", cwd=tmp_path)).out.strip() for _ in range(2)]
    assert len(base64.urlsafe_b64decode(first)) == 32
    assert first != second


async def test_missing_settings_are_a_line_each(tmp_path: Path) -> None:
    result = await bot(cwd=tmp_path)
    assert result.status == 2
    assert result.out == ""
    lines = result.err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["DISCORD_TOKEN", "KEY_ENCRYPTION_KEYS"]
    assert "new-key" in lines[1]
    assert "`make init` asks for it" in lines[0]


async def test_bad_settings_show_no_secret_and_no_traceback(tmp_path: Path) -> None:
    secrets = {"DISCORD_TOKEN": "canary-token", "KEY_ENCRYPTION_KEYS": "canary-keys"}
    result = await bot(cwd=tmp_path, RELOAD_SECONDS="soon", **secrets)
    assert result.status == 2
    assert "canary" not in result.err + result.out
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) == 2


async def test_wrong_encryption_key_is_refused_before_discord(tmp_path: Path) -> None:
    """Discord's address leads nowhere: a bot that got that far would retry forever."""
    settings = {"DISCORD_TOKEN": "made-up", "DISCORD_API_URL": "http://127.0.0.1:9/api/v10"}
    env = {**PATH, "KEY_ENCRYPTION_KEYS": new_encryption_key(), **settings}
    with (tmp_path / "log").open("wb") as log:
        async with (
            asyncio.timeout(20),
            processes.process("-m", "bot", cwd=tmp_path, env=env, stdout=log, stderr=log) as process,
        ):
            while (tmp_path / "log").read_text().count("bot.not_connected") < 2:
                await asyncio.sleep(0.05)
            assert process.returncode is None
    result = await bot(cwd=tmp_path, KEY_ENCRYPTION_KEYS=new_encryption_key(), **settings)
    assert result.status == 2
    assert result.err.startswith("KEY_ENCRYPTION_KEYS: none of these keys decrypts this store")
    assert len(result.err.splitlines()) == 1


async def test_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    settings = {"DISCORD_TOKEN": "made-up", "KEY_ENCRYPTION_KEYS": new_encryption_key()}
    result = await bot(cwd=tmp_path, **settings)
    assert result.status == 2
    assert result.err.startswith("DATA_DIR: ")
    assert len(result.err.splitlines()) == 1


async def test_sandbox_plays_the_whole_conversation(tmp_path: Path) -> None:
    began = time.strftime("%H")
    result = await bot("sandbox", "--script", "--seconds", "6", cwd=tmp_path)
    assert result.status == 0, result.err
    heads = [
        "/key set",
        "The key works",
        "/reload",
        "Reloading",
        "5 s left",
        "Ready sdxl",
        "should be ready: the 6 s wait is over",
    ]
    places = [as_read(result.out).find(head) for head in heads]
    assert -1 not in places
    assert places == sorted(places)
    hours = re.findall(r"(?:as of|Expected at) (\d\d):\d\d", as_read(result.out))
    assert len(hours) > 1, "times read as Discord draws them"
    assert set(hours) <= {began, time.strftime("%H")}, "the real time, not the conversation's own"
    assert "<" not in result.out
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
    assert result.err == ""
