"""The arguments of the administration's commands; alone, as a running bot needs nothing else of it."""

import argparse
import re
from pathlib import Path

_OF_SERVER = {
    "leave": "leave a server",
    "block": "leave a server, and again whenever it invites the bot",
    "unblock": "let a server invite the bot again",
}


def add_to(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    what.add_parser("init", help="ask for what is missing, write .env, print the invite link")
    look = what.add_parser("check", help="look whether all is right; changes nothing")
    look.add_argument(
        "--server", type=_id, metavar="SERVER", help="also at the bot's permissions in a server"
    )
    copy = what.add_parser("backup", help="copy the store, also while the bot runs")
    copy.add_argument("file", type=Path, metavar="FILE", help="a file that does not exist yet")
    delete = what.add_parser("forget", help="delete all that is kept of a server, with the bot stopped")
    delete.add_argument("server", type=_id, metavar="SERVER", help="the server's id")
    what.add_parser("move-store", help="copy the store from DATA_DIR to STORE_URL, with the bot stopped")
    which = what.add_parser("servers", help="list the servers that the bot is in; leave or block one")
    do = which.add_subparsers(dest="do", metavar="command")
    for name, meaning in _OF_SERVER.items():
        do.add_parser(name, help=meaning).add_argument("server", type=_id, metavar="SERVER")


def _id(text: str) -> int:
    if not re.fullmatch(r"\d{15,20}", text):
        raise argparse.ArgumentTypeError("must be a server's id: some 18 digits (in Discord: Copy Server ID)")
    return int(text)
