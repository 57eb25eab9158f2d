"""The command line: `rewarm`, or `python -m bot`, runs the bot; see --help for the rest.

The bot itself is imported only once it is needed: `--help` answers as fast as Python starts.
"""

import argparse
import os
import re
import sys
from io import TextIOWrapper

from bot.admin import arguments

_NOT_WRITTEN = 1


def main() -> int:
    """Do what the command line says; return the exit status, also where the output can't be written."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot show a letter shows the rest; and a line that can't be written stays in the
        # buffer, also with PYTHONUNBUFFERED.
        out, encoding = sys.stdout.fileno(), sys.stdout.encoding
        sys.stdout = open(out, "w", 1, encoding, "replace", closefd=False)  # noqa: SIM115
    try:
        status = _main()
    except SystemExit as ended:  # argparse has answered
        status = int(ended.code or 0)
    except (OSError, ExceptionGroup):
        if not (why := _unwritten()):
            raise
        return why
    return _unwritten() or status


def _unwritten() -> int:
    """Return 0 once all output is written, or the exit status if it can't be: a second try fails, too."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries once more at its end
        if not isinstance(error, BrokenPipeError):  # else `| head` has seen enough
            print(f"The output can't be written ({error.strerror}).", file=sys.stderr)  # noqa: T201
        return _NOT_WRITTEN
    return 0


def _main() -> int:
    given = _parser().parse_args()
    if given.version:
        print(f"rewarm {_version()}")  # noqa: T201  # what was asked for
        return 0
    from bot import process  # noqa: PLC0415  # half a second

    return process.do(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=arguments.called(),
        description="Rewarm: a Discord bot that wakes up idle Stable Diffusion models.",
        formatter_class=arguments.in_terminal,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    what = parser.add_subparsers(dest="command", metavar="command")
    arguments.add_command(what, "run", "run the bot (the default)")
    arguments.add_command(what, "new-key", "print a fresh key for KEY_ENCRYPTION_KEYS")
    sandbox = arguments.add_command(what, "sandbox", "try the bot without a Discord account")
    sandbox.add_argument("--script", action="store_true", help="play a conversation in the terminal")
    sandbox.add_argument(
        "--seconds", type=_seconds, default=30, help="how long a reload takes, 1 to 3600 (default 30)"
    )
    sandbox.add_argument("--port", type=_port, help="its page's port (default 8017, or any free one; 0: any)")
    arguments.add_to(what)
    return parser


def _version() -> str:
    """The version. Only pyproject.toml has it; an installed bot reads it from its metadata."""
    import tomllib  # noqa: PLC0415  # --help needs none of these
    from importlib import metadata  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    try:
        return metadata.version("rewarm")
    except metadata.PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        return f"{tomllib.loads(project.read_text())['project']['version']} (from source)"


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text) or not 1 <= float(text) <= 3600:
        raise argparse.ArgumentTypeError("must be a number from 1 to 3600")
    return float(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
