"""The arguments of the commands of administration; it imports nothing of the bot, so that --help is fast."""

import argparse
import os
import re
import sys

_OF_SERVER = {
    "leave": "leave a server",
    "block": "leave a server, and leave it again whenever it invites the bot",
    "unblock": "let a server invite the bot again",
}


def called() -> str:
    """The program as it was called."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # pathlib takes as long as all the rest
    return "python -m bot" if name == "__main__.py" else name


def as_typed(command: str) -> str:
    """Return a command the way the reader would type it: as a `make` target if that is how they called us."""
    return f"make {command}" if "MAKELEVEL" in os.environ else f"{called()} {command}"


def in_terminal(prog: str) -> argparse.HelpFormatter:
    """Format for this terminal's width. argparse looks it up by shutil, whose import is a tenth of --help."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    try:
        width = width or os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, OSError):  # no terminal, or no standard output
        width = 0
    return argparse.HelpFormatter(prog, width=(width or 80) - 2)


def add_command(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, meaning: str
) -> argparse.ArgumentParser:
    """Add a command; its own --help describes it, too."""
    described = f"{meaning[0].upper()}{meaning[1:]}."
    return what.add_parser(name, help=meaning, description=described, formatter_class=in_terminal)


def add_to(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    add_command(what, "init", "ask for what's missing, write .env, print the invite link")
    look = add_command(what, "check", "check your setup; changes nothing")
    look.add_argument(
        "--server", type=_id, metavar="SERVER", help="also check the bot's permissions in this server"
    )
    copy = add_command(what, "backup", "copy the store, even while the bot is running")
    copy.add_argument("file", metavar="FILE", help="a file that doesn't exist yet")
    copy.add_argument(
        "--keep",
        type=_number_to_keep,
        metavar="N",
        help="FILE is a folder: put a copy there, named by date, and keep this store's N newest",
    )
    delete = add_command(
        what, "forget", "delete everything kept about a server or a person (stop the bot first)"
    )
    whose = delete.add_mutually_exclusive_group(required=True)
    whose.add_argument("server", type=_id, nargs="?", metavar="SERVER", help="the server's ID")
    whose.add_argument(
        "--person", type=_person, metavar="ID", help="instead: take a person out of everything that is kept"
    )
    delete.add_argument("--dry-run", action="store_true", help="with --person: only show what names them")
    add_command(what, "move-store", "copy the store from DATA_DIR to STORE_URL (stop the bot first)")
    which = add_command(what, "servers", "list the servers the bot is in; leave or block one")
    do = which.add_subparsers(dest="do", metavar="command")
    for name, meaning in _OF_SERVER.items():
        add_command(do, name, meaning).add_argument("server", type=_id, metavar="SERVER")


def _id(text: str, whose: str = "server") -> int:
    if not re.fullmatch(r"\d{15,20}", text):
        how = "the server, Copy Server ID" if whose == "server" else "the person, Copy User ID"
        raise argparse.ArgumentTypeError(
            f"must be a {whose} ID, 15 to 20 digits (in Discord, with Developer Mode on: right-click {how})"
        )
    return int(text)


def _person(text: str) -> int:
    return _id(text, "person")


def _number_to_keep(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number from 1 to 9999")
    return int(text)
