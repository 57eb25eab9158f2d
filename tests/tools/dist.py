"""The package: `make dist-test` builds it, looks into it, and runs the tests against the installed wheel.

It is installed as docs/DEPLOY.md says, too, with nothing unhashed.

Arguments go to pytest. The wheel is built from the source archive, and the tests come from there, too: so
it holds what building and testing need.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("bot", "cogs")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed; return what it printed."""
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True).stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Build the source archive, and from it the wheel; return that wheel and the unpacked source."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    [archive] = folder.glob("*.tar.gz")
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", folder, archive)
    [wheel] = folder.glob("*.whl")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return wheel, folder / archive.name.removesuffix(".tar.gz")


def look(wheel: Path, source: Path) -> None:
    """The wheel holds the bot and nothing else, and its metadata is as the package index wants it."""
    about = f"{source.name}.dist-info"
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
        metadata = Metadata.from_email(opened.read(f"{about}/METADATA"), validate=True)
    assert (metadata.name, str(metadata.version)) == (PROJECT["name"], PROJECT["version"])
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in held if not name.startswith(f"{about}/")} == ours


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel on top of the lock, in a venv of its own; return its `bin`."""
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "pip", "--disable-pip-version-check")
    hashed = (*pip, "install", "-q", "--require-hashes", "--no-build-isolation")
    for lock in ("requirements-build.txt", "requirements-dev.txt"):
        run(*hashed, "-r", ROOT / lock)
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel)
    run(*pip, "check")
    return folder / "bin"


def deploy(source: Path, folder: Path) -> None:
    """Install by the commands of docs/DEPLOY.md, into an empty environment, with nothing unhashed.

    Anything that pip fetches on its own to build a package gets the same environment, and would be refused.
    """
    page = (ROOT / "docs" / "DEPLOY.md").read_text().partition("## With systemd")[2]
    commands = page.partition("```sh\n")[2].partition("```")[0].replace("/opt/rewarm", str(folder))
    for command in filter(str.strip, commands.splitlines()):
        is_ours = command.endswith(" .")  # a folder has no hash, and needs nothing from elsewhere
        only = {"PIP_NO_INDEX": "1"} if is_ours else {"PIP_REQUIRE_HASHES": "1", "PIP_NO_CACHE_DIR": "1"}
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1", **only}
        subprocess.run(shlex.split(command), cwd=source, env=environment, check=True)
    assert run(folder / "bin" / "rewarm", "--version", cwd=folder) == f"rewarm {PROJECT['version']}\n"


def main() -> int:
    """Do it all; return pytest's exit status."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, source = build(folder)
        look(wheel, source)
        deploy(source, folder / "deployed")
        bin_folder = install(wheel, folder / "venv")
        for package in PACKAGES:
            shutil.rmtree(source / package)
        assert run(bin_folder / "rewarm", "--version", cwd=folder) == f"rewarm {PROJECT['version']}\n"
        pytest: list[str | Path] = [bin_folder / "python", "-m", "pytest", "-q", *sys.argv[1:]]
        return subprocess.run(pytest, cwd=source, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
