"""The unit on a booted systemd: `make systemd-test` installs by docs/DEPLOY.md, then breaks what may break.

A Debian boots by systemd-nspawn and shares this machine's loopback, where the stand-ins are. It takes a few
minutes, and waits in real time: systemd's own pauses are what is tested.
"""

import asyncio
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests import ROOT
from tests.stand_ins.discord import Interaction
from tests.tools.debian import FROM_FILES, PATIENCE, debian, done, leader, main, run, until, wheels
from tests.tools.dist import build
from tests.wire import Wire

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
}
DEPLOY, OPERATIONS = ((ROOT / "docs" / name).read_text() for name in ("DEPLOY.md", "OPERATIONS.md"))
STATE = "/var/lib/private/rewarm"


class Machine:
    """The booted Debian."""

    def __init__(self, leader: str) -> None:
        self._inside = ("nsenter", "-t", leader, "-m", "-u", "-i", "-p", "-r", "-w", "env", "-i", "LC_ALL=C")

    async def sh(self, script: str, typed: str = "", *, check: bool = True) -> str:
        """Run a script as root, in the clone; return what it printed."""
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        pip = [f"{name}={value}" for name, value in FROM_FILES.items()]
        script = f"cd /src; {script}"
        return await run(*self._inside, path, *pip, "sh", "-ec", script, typed=typed, check=check)

    async def show(self, name: str) -> str:
        """Return systemd's state of the unit."""
        return (await self.sh(f"systemctl show rewarm --value -p {name}")).strip()


def block(after: str, page: str = DEPLOY) -> str:
    """The next commands of docs/DEPLOY.md, or another page, after a text."""
    found = re.search(r"^ *```sh\n(.*?)^ *```", page.partition(after)[2], re.DOTALL | re.MULTILINE)
    assert found is not None
    commands = textwrap.dedent(found[1]).splitlines()
    return "\n".join(line for line in commands if not line.startswith("journalctl"))


@asynccontextmanager
async def booted(folder: Path) -> AsyncIterator[Machine]:
    """Boot it; it is powered off at the end."""
    binds = [f"--bind-ro={wheels(folder)}:/wheels", f"--bind={build(folder)[1]}:/src"]
    how = ("--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no")
    with (folder / "console").open("wb") as console:
        nspawn = await asyncio.create_subprocess_exec(
            *("systemd-nspawn", *how, "--console=pipe", f"--directory={debian(folder)}", *binds),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
    try:
        machine = Machine(await leader(nspawn))

        async def is_up() -> bool:
            said = await machine.sh("systemctl is-system-running", check=False)
            return said.strip() in {"running", "degraded"}

        await until("systemd has booted", is_up)
        yield machine
    except BaseException:
        print((folder / "console").read_text(errors="replace")[-3000:])  # noqa: T201
        raise
    finally:
        if nspawn.returncode is None:
            nspawn.terminate()
            await nspawn.wait()


async def install(machine: Machine, wire: Wire) -> None:
    """As docs/DEPLOY.md says, step by step."""
    await machine.sh(block("1. Install the program"))
    await machine.sh(block("2. Store the two secrets"), typed=f"{wire.server.token}\n")
    names = ("DISCORD_API_URL", "MODEL_API_URL", "MODEL_API_VERSION")
    settings = "".join(f"{name}={wire.environment[name]}\n" for name in names)
    await machine.sh("cat > /etc/rewarm/settings", typed=f"{settings}RELOAD_SECONDS=15\n")
    start, _, check = block("4. Start it").rpartition("\n")
    await machine.sh(start)
    await wire.ready()
    said = await machine.sh(f"set -a; . /etc/rewarm/settings; {check}", check=False)
    done(f"installed and started by docs/DEPLOY.md; check says:\n{textwrap.indent(said.strip(), '    ')}")
    limits = [await machine.show(name) for name in ("LimitCORE", "LimitNOFILE", "WatchdogUSec")]
    assert limits == ["0", "8192", "1min"], limits
    pid = await machine.show("MainPID")
    who, folder = (await machine.sh(f"stat -c '%u %a' /proc/{pid} {STATE}")).splitlines()
    assert who.split()[0] == folder.split()[0] != "0"
    assert folder.split()[1] == "700"
    done("its limits hold; it has a user of its own, and a folder that only that one may read")


async def ready(wire: Wire, asked: Interaction, calls: int) -> None:
    """A reload ends as Ready, with one ping, and this many calls in all."""
    before = len(wire.pings())
    await wire.server.wait_for(lambda: len(wire.pings()) > before, PATIENCE)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert len(wire.api.calls) == calls


async def reloads(machine: Machine, wire: Wire) -> None:
    await wire.set_key()
    await ready(wire, await wire.reload(model="one"), 1)
    done("a reload counts down to Ready, and pings")
    asked = await wire.reload(model="two")
    await asyncio.sleep(3)
    await machine.sh("systemctl restart rewarm")
    await ready(wire, asked, 2)
    done("a restart in mid-countdown: it goes on, and no second call is made")


async def restore(machine: Machine, wire: Wire) -> None:
    """A backup by docs/DEPLOY.md; what came after it is gone once it is restored by docs/OPERATIONS.md."""
    await machine.sh(block("- With systemd, automatically every night"))
    copy = (await machine.sh("echo /var/lib/rewarm-backup/*.db")).strip()
    done(f"a backup: {copy}")
    await ready(wire, await wire.reload(model="three"), 3)
    await wire.remove_key()
    await machine.sh(re.sub("(?m)^BACKUP=.*$", f"BACKUP={copy}", block("## Restore a backup", OPERATIONS)))
    await wire.ready()
    listed = wire.reply(await wire.server.slash(wire.mod, wire.general, "models")).text
    assert [model for model in ("one", "two", "three") if f"`{model}`" in listed] == ["one", "two"], listed
    await ready(wire, await wire.reload(model="four"), 4)
    done("restored: the key and the models of then; a reload works")


async def hang(machine: Machine, wire: Wire) -> None:
    """A stopped process is as silent as one whose loop hangs."""
    folder = "/etc/systemd/system/rewarm.service.d"
    await machine.sh(f"mkdir {folder}; printf '[Service]\\nWatchdogSec=20\\n' > {folder}/test.conf")
    await machine.sh("systemctl daemon-reload; systemctl restart rewarm")
    await wire.ready()
    await asyncio.sleep(30)
    assert await machine.show("NRestarts") == "0", "it is fed"
    asked = await wire.reload(model="five")
    await asyncio.sleep(2)
    await machine.sh("kill -STOP $(systemctl show rewarm --value -p MainPID)")
    await ready(wire, asked, 5)
    assert await machine.show("NRestarts") == "1"
    journal = await machine.sh("journalctl -u rewarm -o cat")
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "core dumped" not in journal
    await machine.sh(f"rm -r {folder}; systemctl daemon-reload; systemctl restart rewarm")
    await wire.ready()
    done("a hang: the watchdog kills it, and the journal says where; it comes back, and the countdown ends")


async def disk(machine: Machine, wire: Wire) -> None:
    await machine.sh(f"systemctl stop rewarm; mount -t tmpfs -o size=64k tmpfs {STATE}")
    await machine.sh(f"head -c 64k /dev/zero > {STATE}/full || true; systemctl start rewarm")

    async def is_tried_again() -> bool:
        return int(await machine.show("NRestarts")) > 0

    await until("a second start", is_tried_again)
    journal = await machine.sh("journalctl -u rewarm -o cat -n 20")
    assert "can't be opened: database or disk is full" in journal
    assert "status=1/FAILURE" in journal
    await machine.sh(f"umount {STATE}")
    await wire.ready()
    await ready(wire, await wire.reload(model="six"), 6)
    done("a full disk: status 1, tried again; once there is room it serves again, by itself")


async def token(machine: Machine, wire: Wire) -> None:
    right, wire.server.token = wire.server.token, "another"
    await wire.server.kick_gateway(code=4004)

    async def has_failed() -> bool:
        return await machine.show("ActiveState") == "failed"

    await until("it has ended", has_failed)
    asked = len(wire.server.requests)
    await asyncio.sleep(12)
    assert await machine.show("ActiveState") == "failed"
    assert await machine.show("ExecMainStatus") == "2"
    assert len(wire.server.requests) == asked
    done("a refused token: status 2, and it stays down")
    wire.server.token = right
    await machine.sh("systemctl start rewarm")
    await wire.ready()
    await machine.sh("systemctl stop rewarm")
    assert [await machine.show(name) for name in ("ActiveState", "ExecMainStatus")] == ["inactive", "0"]
    done("started by hand with the right one, and stopped: status 0")


async def test(wire: Wire, folder: Path) -> None:
    async with booted(folder) as machine:
        try:
            await install(machine, wire)
            for part in (reloads, restore, hang, disk, token):
                await part(machine, wire)
        except BaseException:
            print(await machine.sh("journalctl -u rewarm -o cat -n 60", check=False))  # noqa: T201
            raise
    assert wire.server.violations == []


if __name__ == "__main__":
    sys.exit(main("the unit on a booted systemd", PROGRAMS, test))
