"""How each bot is installed and started, and its process's CPU and memory."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests import ROOT

REWARM = "rewarm"
PYTHON_PEERS = {"discord_py": "discord.py", "py_cord": "py-cord", "disnake": "disnake", "hikari": "hikari"}
NODE_PEER = "discord_js"
NAMES = {REWARM: "Rewarm", **PYTHON_PEERS, NODE_PEER: "discord.js"}
_HERE = Path(__file__).parent
_CACHE = ROOT / ".venv" / "peers"
_RESTART_SECONDS = 1.0
"""Seconds after which an ended process is restarted, as a service manager would do it."""
_TICKS = os.sysconf("SC_CLK_TCK")


def install(which: str) -> list[str] | None:
    """Install a bot's pinned packages; return the command that starts it. None: there is no Node."""
    if which == REWARM:
        return [sys.executable, "-m", "bot"]
    source, folder = _HERE / which, _CACHE / which
    if which == NODE_PEER:
        return _install_node(source, folder)
    pinned = (source / "requirements.txt").read_bytes()
    stamp, python = folder / "installed.txt", str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_bytes() != pinned:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, "-r", str(source / "requirements.txt"))
        stamp.write_bytes(pinned)
    return [python, str(source / "bot.py")]


def _install_node(source: Path, folder: Path) -> list[str] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    shutil.copytree(source, folder, dirs_exist_ok=True)
    stamp, pinned = folder / "installed.json", (source / "package-lock.json").read_bytes()
    if not stamp.exists() or stamp.read_bytes() != pinned:
        _run(npm, "ci", "--loglevel", "error", "--ignore-scripts", "--prefix", str(folder))
        stamp.write_bytes(pinned)
    return [node, str(folder / "bot.mjs")]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def version(which: str) -> str:
    """Return the pinned version of its library; ours has discord.py's of the lock."""
    if which == NODE_PEER:
        lines = (_HERE / which / "package.json").read_text().splitlines()
        return next(line.split('"')[3] for line in lines if '"discord.js"' in line)
    file = ROOT / "requirements.txt" if which == REWARM else _HERE / which / "requirements.txt"
    name = _normal(NAMES["discord_py" if which == REWARM else which])
    pinned = (line.split("==") for line in file.read_text().splitlines() if "==" in line)
    return next(number.split()[0] for package, number in pinned if _normal(package) == name)


def _normal(name: str) -> str:
    """Return a package's normal name: locks and people write it differently."""
    return name.lower().replace(".", "-")


class Running:
    """A bot's process, which is started again whenever it ends."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._command = command
        self._folder = folder
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process
        self.ends: list[int] = []
        """Exit statuses."""

    async def start(self) -> None:
        """Start it once."""
        with (self._folder / "bot.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def keep(self) -> None:
        """Run until cancelled."""
        while True:
            self.ends.append(await self._process.wait())
            await asyncio.sleep(_RESTART_SECONDS)
            await self.start()

    def kill(self) -> None:
        """Have the kernel end it immediately."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def end(self) -> None:
        """End it for good."""
        self.kill()
        await self._process.wait()

    def cpu(self) -> float:
        """Seconds of CPU since it was started."""
        fields = self._about("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self, what: str) -> float:
        """Return MiB: resident now ("VmRSS"), or the peak ("VmHWM")."""
        lines = self._about("status").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

    def _about(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@asynccontextmanager
async def running(command: list[str], folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start a bot, and restart it whenever it ends."""
    bot = Running(command, folder, environment)
    await bot.start()
    keeping = asyncio.create_task(bot.keep(), name="keep")
    try:
        yield bot
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await bot.end()
