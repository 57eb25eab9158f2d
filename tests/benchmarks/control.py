"""The benchmark's processes and how they are controlled: a line of JSON in, a line of JSON out."""

import asyncio
import inspect
import sys
import time
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from tests import ROOT

_WATCH_EVERY = 0.01
_ANSWER_SECONDS = 300.0


def part(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of them lies; NaN if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


# --- In the process that is measured --------------------------------------------------------------------


class LoopLag:
    """How late the event loop wakes a task that sleeps for 10 ms."""

    def __init__(self) -> None:
        self._late = array("d")
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin."""
        self._late, self._due = array("d"), asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._sample(), name="loop-lag")

    def read(self) -> dict[str, float]:
        """Stop; return what was seen since `watch`, in seconds."""
        if self._task is not None:
            self._task.cancel()
            self._note()  # the wake-up that is awaited: in a loop that is stuck it is the only one
        return {"p50": part(self._late, 0.5), "p99": part(self._late, 0.99)}

    def longest(self) -> float:
        """Stop; return the longest, in seconds."""
        self.read()
        return max(self._late)

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + _WATCH_EVERY
            await asyncio.sleep(_WATCH_EVERY)
            self._note()

    def _note(self) -> None:
        self._late.append(max(0.0, asyncio.get_running_loop().time() - self._due))


def resident() -> int:
    """Bytes of this process in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


async def obey(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Do what standard input says until it ends; every process can say its CPU, memory and loop's lag."""
    lag = LoopLag()
    usual = {"cpu": time.process_time, "memory": resident, "watch": lag.watch, "lag": lag.read}
    known: dict[str, Callable[..., Any]] = {**usual, **commands}
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        what, how = orjson.loads(line)
        answer = known[what](**how)
        if inspect.isawaitable(answer):
            answer = await answer
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


# --- In the process that measures -----------------------------------------------------------------------


class Child:
    """A process that obeys."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def ask(self, what: str, **how: Any) -> Any:
        """Have it do something; return the result. Raises RuntimeError with its log if that failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(ConnectionError):
            self._process.stdin.write(orjson.dumps([what, how], option=orjson.OPT_APPEND_NEWLINE))
        async with asyncio.timeout(_ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{what}: the process has died:\n{self._log.read_text()[-3000:]}")
        return orjson.loads(line)


@asynccontextmanager
async def child(folder: Path, module: str, *arguments: str, **environment: str) -> AsyncIterator[Child]:
    """Run a module as a separate process, whose environment contains only what it is given."""
    log = folder / f"{module}-{'-'.join(arguments)}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *arguments),
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield Child(process, log)
    finally:
        with suppress(ProcessLookupError):
            process.kill()  # otherwise open reloads would be kept for a next start, which never comes
        await process.wait()
