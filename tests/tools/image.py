"""The image, built and started: `make image-test`, by buildah, with systemd-nspawn in place of an engine.

Where no registry can be reached, its base is a Debian with a `python` and a `pip` of its own, as the official
image has them. With BASE=... in the environment that one is pulled, and the packages come from the index.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.tools.debian import WHEELS, debian, done, leader, main, run, wheels
from tests.wire import Wire

PROGRAMS = {
    "buildah": "buildah",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
}
USER = "10001"


class Buildah:
    """With its storage in a folder, so that nothing is left."""

    def __init__(self, folder: Path) -> None:
        self._storage = (
            f"--root={folder / 'storage'}",
            f"--runroot={folder / 'run'}",
            "--storage-driver=vfs",
        )

    async def __call__(self, *command: str | Path) -> str:
        return (await run("buildah", *self._storage, *command)).strip()


async def base(buildah: Buildah, folder: Path) -> str:
    """A Debian as an image, with `python` and `pip` where the official one has them."""
    made = await buildah("from", "scratch")
    await buildah("copy", "--quiet", made, debian(folder), "/")
    await buildah("run", "--isolation=chroot", made, "--", "python3", "-m", "venv", "/usr/local")
    await buildah("commit", "--quiet", "--rm", made, "localhost/base")
    return "localhost/base"


async def build(buildah: Buildah, folder: Path) -> dict[str, Any]:
    """Build it; return its configuration."""
    how: list[str] = []
    if not (from_ := os.environ.get("BASE", "")):
        from_ = await base(buildah, folder)
        pip = folder / "pip.conf"
        pip.write_text(f"[global]\nno-index = true\nfind-links = {WHEELS}\n")
        how = [f"--volume={wheels(folder)}:{WHEELS}:ro", f"--volume={pip}:/etc/pip.conf:ro"]
    how += ["--isolation=chroot", "--format=docker", f"--build-arg=BASE={from_}"]
    await buildah("build", *how, "-f", ROOT / "deploy" / "Containerfile", "-t", "rewarm", ROOT)
    sizes = json.loads(await buildah("images", "--json"))
    for image in sizes:
        if (name := image["names"][0].rpartition("/")[2]) in {"rewarm:latest", "base:latest"}:
            done(f"{name}: {image['size']}")
    found: dict[str, Any] = json.loads(await buildah("inspect", "--type=image", "rewarm"))["Docker"]["config"]
    return found


class Container:
    """Runs as deploy/compose.yaml has it: read-only but for /data and /tmp, no capability, an init."""

    def __init__(self, nspawn: asyncio.subprocess.Process, first: str, environment: list[str]) -> None:
        self.nspawn = nspawn
        self._first = first
        self._environment = environment

    async def sh(self, *command: str) -> tuple[int, str]:
        """Run something in it, as its user; return status and output."""
        inside = ("nsenter", "-t", self._first, "-m", "-u", "-i", "-p", "-r", "-w", f"-S{USER}", f"-G{USER}")
        made = await asyncio.create_subprocess_exec(
            *(*inside, "env", "-i", *self._environment, *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await made.communicate()
        return made.returncode or 0, said.decode().strip()

    async def bot(self) -> int:
        """Its number here."""
        [number] = Path(f"/proc/{self._first}/task/{self._first}/children").read_text().split()
        return int(number)


@asynccontextmanager
async def started(
    wire: Wire, folder: Path, root: Path, config: dict[str, Any], port: int
) -> AsyncIterator[Container]:
    """Start it with two secrets as files, and the rest in the environment."""
    data, secrets = folder / "data", folder / "secrets"
    for made in (data, secrets):
        made.mkdir(mode=0o700)
    for name in ("DISCORD_TOKEN", "KEY_ENCRYPTION_KEYS"):
        (secrets / name.lower()).write_text(wire.environment[name])
    for path in (data, secrets, *secrets.iterdir()):
        os.chown(path, int(USER), int(USER))
    names = ("DISCORD_API_URL", "MODEL_API_URL", "MODEL_API_VERSION", "RELOAD_SECONDS")
    given = {name: wire.environment[name] for name in names}
    given |= {"CREDENTIALS_DIRECTORY": "/run/secrets", "HEALTH_PORT": str(port)}
    environment = [*config["Env"], *(f"{name}={value}" for name, value in given.items())]
    with wire.output.open("wb") as output:
        nspawn = await asyncio.create_subprocess_exec(
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "-D", root),
            *("--read-only", f"--bind={data}:/data", f"--bind-ro={secrets}:/run/secrets", "--tmpfs=/tmp"),
            "--as-pid2",
            *("--resolv-conf=off", "--timezone=off", "--console=pipe", f"--chdir={config['WorkingDir']}"),
            *(f"--setenv={one}" for one in environment),
            # Not its own --user, which wants a home folder.
            *("setpriv", f"--reuid={config['User']}", f"--regid={USER}", "--clear-groups"),
            *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
            *config["Entrypoint"],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Container(nspawn, await leader(nspawn), environment)
    except BaseException:
        print(wire.output.read_text(errors="replace")[-5000:])  # noqa: T201
        raise
    finally:
        if nspawn.returncode is None:
            nspawn.terminate()
            await nspawn.wait()


async def test(wire: Wire, folder: Path) -> None:
    buildah = Buildah(folder)
    config = await build(buildah, folder)
    assert config["User"] == USER
    assert "HEALTH_HOST=0.0.0.0" in config["Env"]
    made = await buildah("from", "--pull-never", "rewarm")
    root = Path(await buildah("mount", made))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with started(wire, folder, root, config, port) as container:
        await wire.ready()
        status = Path(f"/proc/{await container.bot()}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(facts["Uid"].split()) == {USER}
        assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
        for path in ("/app/new", "/packages/new", "/new"):
            _, said = await container.sh("sh", "-c", f"> {path}")
            assert "Read-only file system" in said, said
        done(f"it starts as {USER}, without privileges, on a read-only root")
        check = config["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        assert await container.sh(*check[1:]) == (0, "")
        os.kill(await container.bot(), signal.SIGSTOP)
        failed, said = await container.sh(*check[1:])
        os.kill(await container.bot(), signal.SIGCONT)
        assert failed, said
        done("HEALTHCHECK: healthy; and not, while the bot hangs")
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(wire.pings, 30)
        assert wire.reply(asked).text.startswith("**Ready**")
        assert len(wire.api.calls) == 1
        done("a reload counts down to Ready, and pings")
        os.kill(await container.bot(), signal.SIGTERM)
        async with asyncio.timeout(12):
            assert await container.nspawn.wait() == 0
        assert (folder / "data" / "rewarm.db").stat().st_uid == int(USER)
        done("SIGTERM: status 0, and its data are in /data")
    assert wire.server.violations == []


if __name__ == "__main__":
    sys.exit(main("the image", PROGRAMS, test))
