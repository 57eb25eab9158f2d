"""A PostgreSQL server of the tests' own, as any user, with nothing changed on the host.

`TEST_POSTGRES_URL` names one that runs already, whose user may create databases.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

START_SECONDS = 30.0


def programs() -> Path | None:
    """The folder of initdb and postgres, of the newest version; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    in_path = shutil.which("initdb")
    return found[-1].parent if found else Path(in_path).resolve().parent if in_path else None


class Server:
    """A server in a folder of its own, which can be stopped and started anew; it listens on a socket."""

    def __init__(self, folder: Path, programs: Path, *, fsync: bool) -> None:
        self.folder = folder
        self.database = "postgres"
        self._settings = ("listen_addresses=", f"fsync={'on' if fsync else 'off'}")
        self._programs = programs
        self._how: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:  # initdb and postgres refuse root
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._how |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        how = ("--username=rewarm", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        subprocess.run([programs / "initdb", "-D", folder / "data", *how], check=True, **self._how)

    def url(self) -> str:
        return f"postgresql://rewarm@/{self.database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        pid = self.folder / "data" / "postmaster.pid"
        pid.unlink(missing_ok=True)
        command = (self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder)
        settings = (f"--{setting}" for setting in self._settings)
        self._process = subprocess.Popen([*command, *settings], **self._how)
        until = time.monotonic() + START_SECONDS
        while not (pid.exists() and "ready" in pid.read_text()):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("PostgreSQL did not start")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, by default at once, as a crash would; SIGINT ends its connections first."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)

    def signal_main(self, what: signal.Signals) -> None:
        """Signal the one that takes connections: SIGTERM lets who is there finish."""
        assert self._process is not None
        self._process.send_signal(what)

    def signal(self, what: signal.Signals) -> None:
        """Signal all its processes, to have them hang (SIGSTOP) or go on (SIGCONT)."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        for pid in (self._process.pid, *map(int, listed.split())):
            os.kill(pid, what)


@contextmanager
def server(*, fsync: bool = False) -> Iterator[Server]:
    """A server that runs; FileNotFoundError where it is not installed."""
    found = programs()
    if found is None:
        raise FileNotFoundError("initdb")
    folder = Path(tempfile.mkdtemp(prefix="rewarm-pg-", dir="/tmp"))  # a socket's path is short
    made = Server(folder, found, fsync=fsync)
    try:
        made.start()
        yield made
    finally:
        made.stop(signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def to_stop(server: Server) -> AsyncIterator[Server]:
    """A server with an empty database, for a test that stops it; started anew afterwards.

    A server of its own for each test would cost two seconds of CPU: initdb.
    """
    async with database(server.url()) as url:
        server.database = urlsplit(url).path.lstrip("/")
        try:
            yield server
        finally:
            server.database = "postgres"
            server.stop(signal.SIGINT)
            server.start()


@asynccontextmanager
async def database(url: str) -> AsyncIterator[str]:
    """An empty database beside the one of a URL; gone afterwards, whoever is still connected."""
    name = f"rewarm_{os.getpid()}_{time.monotonic_ns()}"
    await _execute(url, f"CREATE DATABASE {name}")
    try:
        yield _with_name(url, name)
    finally:
        await _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            await connection.execute(statement)
    finally:
        await connection.close()


def _with_name(url: str, name: str) -> str:
    base, _, query = url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}?{query}".rstrip("?")
