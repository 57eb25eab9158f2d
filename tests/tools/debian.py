"""A small Debian in a folder, and what the bot needs as files: for `make systemd-test` and `make image-test`.

Both run as root, outside the checks of each change. If a program is missing they say what was not tested, and
pass.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import NOT_TESTED, ROOT
from tests.stand_ins.discord import DiscordServer
from tests.stand_ins.model_api import ModelApiServer
from tests.wire import Wire

SUITE = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Debian's releases by their Python: the packages are fetched for the one that runs this."""
INCLUDED = "systemd,systemd-sysv,python3-venv,ca-certificates"
WHEELS = "/wheels"
FROM_FILES = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
PATIENCE = 120.0


def main(what: str, programs: Mapping[str, str], test: Callable[[Wire, Path], Awaitable[None]]) -> int:
    """Run a test with the stand-ins and a folder of its own. `programs`: each with its Debian package."""
    wanted, missing = dict(programs), [] if os.geteuid() == 0 else ["root"]
    if "DEBIAN_ROOT" not in os.environ:
        wanted["debootstrap"] = "debootstrap"
        if sys.version_info[:2] not in SUITE:
            missing.append(f"a Debian with Python {sys.version_info[0]}.{sys.version_info[1]}")
    missing += [f"{program} ({package})" for program, package in wanted.items() if not shutil.which(program)]
    if missing:
        print(f"{NOT_TESTED}{what}, for want of {', '.join(missing)}.")  # noqa: T201
        return 0

    async def run() -> None:
        with TemporaryDirectory() as temporary:
            async with DiscordServer("made.up.token") as discord, ModelApiServer() as api:
                await test(Wire(discord, api, Path(temporary)), Path(temporary))

    asyncio.run(run())
    return 0


def done(what: str) -> None:
    """Say that something was seen."""
    print(f"ok  {what}", flush=True)  # noqa: T201


def debian(folder: Path) -> Path:
    """A root with systemd and Python: a copy of that in DEBIAN_ROOT, or one fresh from Debian's archive."""
    root = folder / "debian"
    if given := os.environ.get("DEBIAN_ROOT"):
        subprocess.run(["/bin/cp", "-a", given, root], check=True)
    else:
        print("debootstrap: some minutes ...", flush=True)  # noqa: T201
        suite = SUITE[sys.version_info[:2]]
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(root)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return root


def wheels(folder: Path) -> Path:
    """All that running and building need, as files with the locks' hashes: so the inside needs no index."""
    into = folder / "wheels"
    locks = ("-r", ROOT / "requirements.txt", "-r", ROOT / "requirements-build.txt")
    how = ("-qq", "--require-hashes", "--no-build-isolation", "-d", into)
    subprocess.run([sys.executable, "-m", "pip", "download", *how, *locks], check=True)
    return into


async def run(*command: str | Path, typed: str = "", check: bool = True) -> str:
    """Run a command while the stand-ins go on; return what it printed."""
    made = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(PATIENCE * 5):
        said, _ = await made.communicate(typed.encode())
    if check and made.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {made.returncode}\n{said.decode()}")
    return said.decode()


async def until(what: str, seen: Callable[[], Awaitable[bool]]) -> None:
    """Look each second until something is so."""
    for _ in range(int(PATIENCE)):
        if await seen():
            return
        await asyncio.sleep(1)
    raise SystemExit(f"Not seen within {PATIENCE:.0f} s: {what}")


async def leader(nspawn: asyncio.subprocess.Process) -> str:
    """The number of the first process inside."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    found: list[str] = []

    async def look() -> bool:
        assert nspawn.returncode is None, "systemd-nspawn has ended"
        found[:] = children.read_text().split()
        return bool(found)

    await until("a process in the container", look)
    return found[0]
