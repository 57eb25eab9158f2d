"""The arguments of the commands of administration; it imports nothing of the bot, so that --help is fast."""

import argparse
import os
import re
import sys

_OF_SERVER = {
    "leave": "leave a server",
    "block": "leave a server, and again whenever it invites the bot",
    "unblock": "let a server invite the bot again",
}


def called() -> str:
    """The program as it was called."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # pathlib takes as long as all the rest
    return "python -m bot" if name == "__main__.py" else name


def as_typed(command: str) -> str:
    """Return a command the way the reader would type it: as a `make` target if that is how they called us."""
    return f"make {command}" if "MAKELEVEL" in os.environ else f"{called()} {command}"


def add_command(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, meaning: str
) -> argparse.ArgumentParser:
    """Add a command; its own --help describes it, too."""
    return what.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")


def add_to(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    add_command(what, "init", "ask for what is missing, write .env, print the invite link")
    look = add_command(what, "check", "look whether all is right; changes nothing")
    look.add_argument(
        "--server", type=_id, metavar="SERVER", help="also at the bot's permissions in a server"
    )
    copy = add_command(what, "backup", "copy the store, also while the bot runs")
    copy.add_argument("file", metavar="FILE", help="a file that does not exist yet")
    copy.add_argument(
        "--keep",
        type=_number_to_keep,
        metavar="N",
        help="FILE is a folder: make a copy there, named by date, and keep the N newest of this store",
    )
    delete = add_command(
        what, "forget", "delete all that is kept of a server, or of a person, with the bot stopped"
    )
    whose = delete.add_mutually_exclusive_group(required=True)
    whose.add_argument("server", type=_id, nargs="?", metavar="SERVER", help="the server's id")
    whose.add_argument(
        "--person", type=_person, metavar="ID", help="instead: take a person out of all servers"
    )
    delete.add_argument("--dry-run", action="store_true", help="with --person: only say what names them")
    add_command(what, "move-store", "copy the store from DATA_DIR to STORE_URL, with the bot stopped")
    which = add_command(what, "servers", "list the servers that the bot is in; leave or block one")
    do = which.add_subparsers(dest="do", metavar="command")
    for name, meaning in _OF_SERVER.items():
        add_command(do, name, meaning).add_argument("server", type=_id, metavar="SERVER")


def _id(text: str, whose: str = "server") -> int:
    if not re.fullmatch(r"\d{15,20}", text):
        how = "Copy Server ID" if whose == "server" else "Copy User ID"
        raise argparse.ArgumentTypeError(f"must be a {whose}'s id: some 18 digits (in Discord: {how})")
    return int(text)


def _person(text: str) -> int:
    return _id(text, "person")


def _number_to_keep(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number from 1 to 9999")
    return int(text)
