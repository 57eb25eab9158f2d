"""The tests' own PostgreSQL server, a standby, and a PgBouncer in front of it, started as any user.

Nothing is changed on the host. `TEST_POSTGRES_URL` names a server that is already running, whose user may
create databases.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

START_SECONDS = 30.0


def programs() -> Path | None:
    """Return the folder of the newest initdb and postgres; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    in_path = shutil.which("initdb")
    return found[-1].parent if found else Path(in_path).resolve().parent if in_path else None


def pgbouncer() -> str | None:
    """Return PgBouncer's path; Debian keeps it out of a user's PATH."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _ownership(folder: Path) -> dict[str, Any]:
    """Return how to start a program that refuses to run as root; the folder becomes its own."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Server:
    """A server in its own folder, which can be stopped and started again; it listens on a socket.

    `primary`: it is a standby that streams from this one.
    """

    def __init__(self, folder: Path, programs: Path, *, fsync: bool, primary: "Server | None" = None) -> None:
        self.folder = folder
        self.database = "postgres"
        self._settings = ("listen_addresses=", f"fsync={'on' if fsync else 'off'}")
        self.programs = programs
        self._how: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._how |= _ownership(folder)
        how: tuple[str, ...]
        if primary is None:
            how = (
                "initdb",
                "--username=rewarm",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            )
        else:
            self.database = primary.database
            of = ("-h", str(primary.folder), "-U", "rewarm", "--write-recovery-conf")
            how = ("pg_basebackup", *of, "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        subprocess.run([programs / how[0], "-D", folder / "data", *how[1:]], check=True, **self._how)

    def url(self) -> str:
        return f"postgresql://rewarm@/{self.database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        pid = self.folder / "data" / "postmaster.pid"
        pid.unlink(missing_ok=True)
        command = (self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder)
        settings = (f"--{setting}" for setting in self._settings)
        self._process = subprocess.Popen([*command, *settings], **self._how)
        until = time.monotonic() + START_SECONDS
        while not (pid.exists() and {"ready", "standby"} & set(pid.read_text().split())):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("PostgreSQL did not start")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, by default immediately, as in a crash; SIGINT ends its connections first."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)

    def signal_main(self, what: signal.Signals) -> None:
        """Signal the main process: SIGTERM lets connected clients finish."""
        assert self._process is not None
        self._process.send_signal(what)

    def signal(self, what: signal.Signals) -> None:
        """Signal all its processes, to have them hang (SIGSTOP) or go on (SIGCONT)."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        for pid in (self._process.pid, *map(int, listed.split())):
            os.kill(pid, what)


@contextmanager
def _running(make: Callable[[Path], Server], stop: signal.Signals) -> Iterator[Server]:
    """A server in a folder of its own, whose path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="rewarm-pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = make(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop(stop)


@contextmanager
def server(*, fsync: bool = False) -> Iterator[Server]:
    """A server that runs; FileNotFoundError where it is not installed."""
    found = programs()
    if found is None:
        raise FileNotFoundError("initdb")
    with _running(lambda folder: Server(folder, found, fsync=fsync), signal.SIGINT) as made:
        yield made


@contextmanager
def standby(primary: Server) -> Iterator[Server]:
    """A server that streams from another, and can be read from; it has the same data."""
    with _running(
        lambda folder: Server(folder, primary.programs, fsync=False, primary=primary), signal.SIGQUIT
    ) as made:
        yield made


@contextmanager
def pooled(server: Server, mode: str) -> Iterator[str]:
    """Return the URL of a PgBouncer in front of a server; `mode`: session, transaction or statement."""
    program = pgbouncer()
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="rewarm-pool-", dir="/tmp"))
    how = {"cwd": folder, **_ownership(folder)}
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.folder} user=rewarm\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\nauth_type = any\n"
        f"pool_mode = {mode}\nserver_login_retry = 1\nlogfile = {folder}/log\n"
    )
    process = subprocess.Popen([program, "-q", folder / "pgbouncer.ini"], **how)
    try:
        until = time.monotonic() + START_SECONDS
        while not (folder / ".s.PGSQL.6432").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("PgBouncer did not start")
            time.sleep(0.02)
        yield f"postgresql://rewarm@/{server.database}?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def to_stop(server: Server) -> AsyncIterator[Server]:
    """A server with an empty database, for a test that stops it; restarted afterwards.

    A separate server for each test would cost two seconds of CPU: initdb.
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
    """Make an empty database next to the one of a URL; delete it afterwards, whoever is still connected."""
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
