#!/usr/bin/env bash
# Bet: with nothing to do but a timer, virtual time jumps immediately: a sleep costs a handful of the loop's cycles.
. "$(dirname "$0")/common.bash"
install looptime==0.9
expect 'looptime turns its loop over 40 times, idle, before each jump of time: a test that polls every 0.05 s of an hour turns it three million times' \
	'more than 40 cycles for each sleep, by default; fewer than 10 with noop_cycles=4' << 'PYTHON'
import asyncio
import looptime


class Counting(asyncio.SelectorEventLoop):
    cycles = 0

    def _run_once(self):
        self.cycles += 1
        super()._run_once()


async def sleeps(loop):
    before = loop.cycles
    for _ in range(100):
        await asyncio.sleep(1)
    return (loop.cycles - before) / 100


def measure(**how):
    loop = looptime.patch_event_loop(Counting(), **how)
    return loop.run_until_complete(sleeps(loop))


default, few = measure(), measure(noop_cycles=4)
print(f"{'more' if default > 40 else 'not more'} than 40 cycles for each sleep, by default; {'fewer' if few < 10 else 'not fewer'} than 10 with noop_cycles=4")
PYTHON
