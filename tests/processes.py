"""Processes that start in no time: forked from one that has imported the whole bot.

The import takes a second of CPU, and the tests start the bot hundreds of times. A forked process is like any
other, with its own pid, environment, folder, streams, signals and exit status; it runs what `python` runs.
Only the start of the interpreter is missing: some tests of each file start `sys.executable` instead.
"""

import asyncio
import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, NoReturn

from tests import ROOT

_ORDER_BYTES = 1 << 16
"""Bytes of one message that says what to start."""
RUN_SECONDS = 60.0
_DIGITS = 10
"""Digits of a pid and of a status, as they are reported."""


class Said(NamedTuple):
    """A process's output and its exit status."""

    status: int
    out: str
    err: str

    def line(self, what: str) -> str:
        """Return `check`'s line about something."""
        return next(line for line in self.out.splitlines() if line[2:].startswith(f"{what}:"))


class Process:
    """A running process; used like `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, reports: socket.socket) -> None:
        self.pid = pid
        self._ended = asyncio.create_task(_exit_status(reports), name=f"process-{pid}")

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, what: signal.Signals) -> None:
        if not self._ended.done():
            os.kill(self.pid, what)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = Process | asyncio.subprocess.Process


async def _exit_status(reports: socket.socket) -> int:
    with reports:
        return os.waitstatus_to_exitcode(int(await asyncio.get_running_loop().sock_recv(reports, _DIGITS)))


@asynccontextmanager
async def process(
    *how: str,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    forked: bool = True,
) -> AsyncIterator[Started]:
    """Run what `python` runs with these arguments; `forked`, or by `sys.executable`.

    It is killed if it is still running at the end.
    """
    made: Started
    if forked:
        with Path(os.devnull).open("rb") as nothing:
            streams = (nothing if isinstance(stdin, int) else stdin, stdout, stderr)
            made = _fork(how, cwd, env, [stream.fileno() for stream in streams])
    else:
        made = await asyncio.create_subprocess_exec(
            sys.executable, *how, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr
        )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
            await made.wait()


def _fork(how: Sequence[str], cwd: Path, env: Mapping[str, str], streams: Sequence[int]) -> Process:
    order = json.dumps([how, str(cwd), dict(env)]).encode()
    assert len(order) < _ORDER_BYTES
    reports, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_forker(), [order], [theirs.fileno(), *streams])
    pid = int(reports.recv(_DIGITS))  # waited for, so that no order runs into the next
    reports.setblocking(False)
    return Process(pid, reports)


async def run(*how: str, cwd: Path, env: Mapping[str, str], typed: str = "", forked: bool = True) -> Said:
    """Run it to its end."""
    with TemporaryFile() as stdin, TemporaryFile() as out, TemporaryFile() as err:
        stdin.write(typed.encode())
        stdin.seek(0)
        running = process(*how, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=err, forked=forked)
        async with asyncio.timeout(RUN_SECONDS), running as made:
            status = await made.wait()
        out.seek(0)
        err.seek(0)
        return Said(status, out.read().decode(), err.read().decode())


@functools.cache
def _forker() -> socket.socket:
    """The way to the process that forks, one for each worker; it ends with the worker."""
    ours, theirs = socket.socketpair()
    with theirs:
        forker = subprocess.Popen(
            (sys.executable, "-m", "tests.processes", str(theirs.fileno())),
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(forker.wait)
    atexit.register(ours.close)  # comes first
    return ours


# --- In the process that forks --------------------------------------------------------------------------


def _import_everything() -> None:
    for name in ("bot.__main__", "bot.process", *importlib.import_module("bot.app").COGS):
        importlib.import_module(name)
    del sys.modules["bot.__main__"]  # it must be run, not imported


def _fork_on_orders(orders: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the processes in between end
    while True:
        order, descriptors, *_ = socket.recv_fds(orders, _ORDER_BYTES, 4)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _report(json.loads(order), socket.socket(fileno=descriptors[0]), descriptors[1:])
        for descriptor in descriptors:
            os.close(descriptor)


def _report(order: Any, to: socket.socket, streams: Sequence[int]) -> NoReturn:
    """The one in between: says the pid, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        to.close()
        _become(streams, *order)
    for stream in streams:
        os.close(stream)
    to.sendall(b"%*d" % (_DIGITS, pid))
    _, status = os.waitpid(pid, 0)
    to.sendall(b"%*d" % (_DIGITS, status))
    os._exit(0)


def _become(streams: Sequence[int], how: Sequence[str], cwd: str, env: Mapping[str, str]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have the tests ignore it
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = cwd
    try:
        _execute(*how)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:  # noqa: BLE001  # as Python does
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # a normal exit waits for threads, too
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _execute(first: str, *rest: str) -> None:
    sys.argv = [first, *rest[first in {"-m", "-c"} :]]
    if first == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        exec(rest[0], {"__name__": "__main__"})  # noqa: S102  # as Python does
    else:
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _import_everything()
    gc.freeze()  # what is shared stays shared
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        _fork_on_orders(orders)
