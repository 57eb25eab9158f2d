"""init, check, backup, forget, servers: as processes, against the stand-ins, as a self-hoster runs them."""

import asyncio
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from bot.vault import new_encryption_key
from tests import ROOT, processes
from tests.processes import Said
from tests.stand_ins.discord import Fault
from tests.stand_ins.model_api import Answer
from tests.wire import Wire
from tests.world import CANARY

INVALID = Answer({"status": "error", "message": "Invalid API key"}, status=401)
ORDER = ["settings", "disk", "store", "model API", "token", "clock", "application", "gateway", "server"]


async def run(
    wire: Wire,
    *arguments: str,
    typed: str = "",
    folder: Path | None = None,
    **changed: str | None,
) -> Said:
    """Run a command with the wire's settings, changed; None takes one away."""
    environment = {**wire.environment, **changed}
    said = await processes.run(
        *("-m", "bot", *arguments),
        cwd=folder or wire.folder,
        env={name: value for name, value in environment.items() if value is not None},
        typed=typed,
        forked=wire.forked,
    )
    assert "Traceback" not in said.err
    secrets = (wire.server.token, wire.environment["KEY_ENCRYPTION_KEYS"], CANARY)
    assert [secret for secret in secrets if secret in said.out + said.err] == []
    return said


@pytest.fixture
async def used(wire: Wire) -> AsyncIterator[Wire]:
    """A running bot with a key and an ended reload."""
    wire.environment["RELOAD_SECONDS"] = "1"
    async with wire.process():
        await wire.set_key()
        await wire.reload()
        await wire.logged("to=ended")  # stored after the ping: from now on the bot writes nothing unasked
        yield wire


# check


async def test_check_with_all_well_next_to_a_running_bot(used: Wire) -> None:
    used.api.balances = [INVALID]
    before = [path for path in (used.folder / "data").iterdir() if path.suffix != ".db-shm"]
    content = {path: path.read_bytes() for path in before}
    used.forked = False
    said = await run(used, "check", "--server", str(used.guild.id))
    assert (said.status, said.err) == (0, ""), said.out
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [f"✓ {what}" for what in ORDER]
    assert "1 reloads, 1 keys" in said.line("store")
    assert f"client_id={used.server.application_id}" in said.line("application")
    assert "999 logins left" in said.line("gateway")
    assert {path: path.read_bytes() for path in before} == content, "it changes nothing"
    assert used.server.connected.is_set(), "the running bot was left alone"


async def test_check_says_until_when_no_logins_are_left(wire: Wire) -> None:
    wire.server.logins.remaining, wire.server.logins.reset_after = 0, 3600.0
    said = await run(wire, "check")
    assert said.status == 1
    assert re.match(r"✗ gateway: no logins are left until 20[-\d]+ \d\d:\d\d UTC, and", said.line("gateway"))


async def test_check_before_the_first_start(wire: Wire) -> None:
    wire.api.balances = [INVALID]
    said = await run(wire, "check")
    assert said.status == 0
    assert "the first start creates it" in said.line("store")
    assert not (wire.folder / "data").exists()


async def test_check_says_each_thing_that_is_wrong(used: Wire) -> None:
    used.server.application = {"interactions_endpoint_url": "https://elsewhere.example"}
    used.server.clock_ahead = 30
    used.general.may_send = False
    used.art.may_read_history = False
    said = await run(used, "check", "--server", str(used.guild.id), KEY_ENCRYPTION_KEYS=new_encryption_key())
    assert said.status == 1
    assert said.line("disk").startswith("✓")
    assert re.match(r"✗ .*Put the old KEY_ENCRYPTION_KEYS back", said.line("store"))
    assert re.match(r"✗ .* accepts a made-up key", said.line("model API"))
    assert re.match(r"✗ .*(29|30|31) s behind Discord's", said.line("clock"))
    assert re.match(r"✗ .*Interactions Endpoint URL", said.line("application"))
    assert re.match(
        r"✗ .*lacks permissions in #general \(Send Messages\), #art \(Read Message History\)\.",
        said.line("server"),
    )


async def test_check_of_a_server_says_what_it_can_know(used: Wire) -> None:
    """Discord leaves out channels that the bot may not view; discord.py rejects types it doesn't know."""
    used.api.balances = [INVALID, INVALID]
    used.art.may_view = False
    used.server.add_channel(used.guild, "new", 99)
    said = await run(used, "check", "--server", str(used.guild.id))
    assert (said.status, said.err) == (0, ""), said.out
    assert "in every text channel it can see (1)" in said.line("server")
    assert "Discord doesn't say whether there are others" in said.line("server")
    used.general.may_view = False
    said = await run(used, "check", "--server", str(used.guild.id))
    assert said.status == 1
    assert re.match(r"✗ .*can't see any text channel\. Give it View Channel", said.line("server"))


async def test_check_goes_on_once_an_answer_is_in(wire: Wire) -> None:
    """Each answer says that its bucket is used up for a minute: that is for the next call of its kind."""
    used_up = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "60.000"}
    wire.server.faults.append(Fault("GET", ".*", times=10**9, headers=used_up))
    said = await run(wire, "check", "--server", str(wire.guild.id))
    for what in ORDER[4:]:
        assert said.line(what).startswith("✓"), said.out


async def test_check_with_a_token_that_discord_refuses(wire: Wire) -> None:
    said = await run(wire, "check", DISCORD_TOKEN="refused.by.discord")
    assert said.status == 1
    assert said.line("token").startswith("✗ token: Discord rejects it")
    assert "gateway" not in said.out


@pytest.mark.parametrize("what", ["discord", "model API"])
async def test_check_where_something_does_not_answer(wire: Wire, what: str) -> None:
    nowhere = "http://127.0.0.1:9"
    at_discord = {"DISCORD_API_URL": f"{nowhere}/api/v10"}
    wire.environment |= at_discord if what == "discord" else {"MODEL_API_URL": nowhere}
    said = await run(wire, "check")
    assert said.status == 1
    line = said.line("token" if what == "discord" else what)
    assert line.startswith("✗")
    assert "can't be reached" in line


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            {"status": 429, "headers": {"Retry-After": "7", "Via": "1.1"}},
            "wants us to slow down (429). Wait 7 s",
        ),
        ({"status": 503}, "having problems (status 503). Try again later"),
        ({"status": 200, "edge": True}, "Discord didn't answer; a web page did. Is a proxy"),
        ({"status": 403, "edge": True}, "Discord didn't answer; a web page did. Is a proxy"),
        ({"reset": "before"}, "can't be reached. Is this machine online"),
    ],
)
async def test_check_says_why_discord_was_not_asked(wire: Wire, fault: dict[str, Any], said: str) -> None:
    wire.server.faults = [Fault("GET", "", times=99, **fault)]
    token = (await run(wire, "check")).line("token")
    assert said in token
    assert "Error" not in token, "no names that only a programmer knows"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({"message": "Rate limit exceeded"}, 429, {"Retry-After": "7"}), "slow down. Wait 7 s."),
        (
            Answer(b"<html>Log in to the proxy</html>"),
            "didn't answer; a web page did. Is MODEL_API_URL right",
        ),
        (Answer(b"\n<!DOCTYPE html>", 407), "didn't answer; a web page did. Is MODEL_API_URL right"),
        (Answer(b"<html>Bad gateway</html>", 502), "having problems (status 502). Try again later."),
        (Answer([]), "gave no usable answer. Are MODEL_API_URL and MODEL_API_VERSION right"),
    ],
)
async def test_check_says_why_the_model_api_gave_no_answer(wire: Wire, answer: Answer, said: str) -> None:
    wire.api.balances = [answer]
    assert said in (await run(wire, "check")).line("model API")


async def test_check_looks_at_the_env_file(wire: Wire) -> None:
    env = wire.folder / ".env"
    env.write_text("RELOAD_SECOND=60\nCOMPOSE_PROJECT_NAME=x\nlog_level=DEBUG\n")
    env.chmod(0o644)
    said = await run(wire, "check")
    assert said.status == 1
    assert "RELOAD_SECOND in .env isn't a setting. Did you mean RELOAD_SECONDS?" in said.line("settings")
    assert "Others on this machine can read .env" in said.line("settings")
    assert "COMPOSE" not in said.out
    assert "log_level" not in said.out
    env.write_text("COMPOSE_PROJECT_NAME=x\n")
    env.chmod(0o600)
    assert (await run(wire, "check")).line("settings").startswith("✓")


async def test_check_warns_of_keys_that_can_be_read_on_the_way(wire: Wire) -> None:
    said = await run(wire, "check", MODEL_API_URL="http://models.example")
    assert "anyone along the way can read the keys. Use https" in said.line("model API")


async def shell(wire: Wire, command: str, what: str = "check") -> tuple[str, str]:
    """Return what a shell that pipes a command somewhere shows, and the text on standard error."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    made = await asyncio.create_subprocess_shell(
        command.format(shlex.join([sys.executable, "-m", "bot", what])),
        cwd=wire.folder,
        env={**buffered, **wire.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(made.communicate(), 60)
    return out.decode(), err.decode()


@pytest.mark.parametrize("lines", [0, 1])
async def test_check_into_head_ends_without_a_traceback(wire: Wire, lines: int) -> None:
    out, err = await shell(wire, f"{{}} | head -{lines}")
    assert (out.count("\n"), err) == (lines, "")


async def test_check_says_that_its_output_cannot_be_written(wire: Wire) -> None:
    out, err = await shell(wire, "{} > /dev/full; echo $?")
    assert (out, err) == ("1\n", "The output can't be written (No space left on device).\n")


async def test_check_without_a_standard_error_shows_its_lines(wire: Wire) -> None:
    out, _ = await shell(wire, "{} 2>&-")
    assert len(out.splitlines()) == len(ORDER) - 1


async def test_check_in_a_plain_terminal_shows_what_is_wrong(wire: Wire) -> None:
    wire.environment |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    out, err = await shell(wire, "{}")
    assert [line.partition(":")[0] for line in out.splitlines()][:4] == [
        *("ok settings", "ok disk", "ok store", "WRONG model API"),
    ]
    assert err == ""


async def test_check_of_a_server_that_it_is_not_in(wire: Wire) -> None:
    wire.api.balances = [INVALID]
    said = await run(wire, "check", "--server", "123456789012345678")
    assert said.status == 1
    assert re.match(
        r"✗ .*Invite it: https://discord.com/oauth2/\S*guild_id=123456789012345678", said.line("server")
    )


async def test_check_leaves_nothing_at_a_bot_that_is_stopped(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.set_key()
        process.terminate()
        await process.wait()
    wire.api.balances = [INVALID]
    before = {path.name: path.read_bytes() for path in (wire.folder / "data").iterdir()}
    said = await run(wire, "check")
    assert said.status == 0, said.out
    assert {path.name: path.read_bytes() for path in (wire.folder / "data").iterdir()} == before


async def test_check_says_which_key_does_not_open(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.set_key()
        process.terminate()
        await process.wait()
    store = EmbeddedStore(wire.folder / "data")
    row = await store.key(wire.guild.id)
    assert row is not None
    await store.set_key(wire.guild.id, replace(row, sealed=row.sealed[:-8] + "AAAAAAA="))
    store.close()
    said = await run(wire, "check")
    assert said.status == 1
    assert re.match(rf"✗ .*1 of 1 keys can't be decrypted .*{wire.guild.id}", said.line("store"))


async def test_check_where_the_data_folder_is_a_file(wire: Wire) -> None:
    (wire.folder / "data").write_text("a file")
    said = await run(wire, "check")
    assert said.status == 1
    assert re.match(r"✗ .*isn't a folder this user can write to", said.line("disk"))


async def test_check_with_settings_missing(wire: Wire) -> None:
    said = await run(wire, "check", DISCORD_TOKEN=None)
    assert said.status == 2
    assert said.err.startswith("DISCORD_TOKEN is missing")


# backup


async def test_backup_of_a_running_store_can_be_restored(used: Wire) -> None:
    target = used.folder / "copy.db"
    said = await run(used, "backup", str(target))
    assert (said.status, said.err) == (0, "")
    assert "checked" in said.out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert CANARY.encode() not in target.read_bytes()
    restored = used.folder / "restored"
    restored.mkdir()
    (restored / NAME).write_bytes(target.read_bytes())
    store = EmbeddedStore(restored)
    assert await store.key(used.guild.id) is not None
    assert len(await store.history(used.guild.id)) == 1
    store.close()
    assert sorted(path.name for path in used.folder.glob("copy*")) == ["copy.db"]


async def test_backup_overwrites_nothing(used: Wire) -> None:
    target = used.folder / "mine"
    target.write_text("mine")
    said = await run(used, "backup", str(target))
    assert said.status == 2
    assert said.err == f"{target} can't be written (File exists).\n"
    assert target.read_text() == "mine"


async def test_a_daily_backup_is_restored_as_the_page_says(wire: Wire) -> None:
    """The page's commands run as they are, with another folder and a `systemctl` that does nothing."""
    folder = wire.folder / "backups"
    folder.mkdir()
    async with wire.process() as process:
        await wire.set_key()
        said = await run(wire, "backup", "--keep", "7", str(folder))
        process.terminate()
        await process.wait()
    assert (said.status, said.err) == (0, "")
    [copy] = folder.iterdir()
    assert re.fullmatch(rf"{copy}: \d+ bytes, checked\. Old copies removed: 0\.\n", said.out)
    assert CANARY.encode() not in copy.read_bytes()
    said = await run(wire, "forget", str(wire.guild.id))
    assert said.out == f"Deleted everything about server {wire.guild.id}: 0 reloads, a key.\n"

    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    commands = page.partition("## Restore a backup")[2].partition("```sh\n")[2].partition("```")[0]
    commands = re.sub("BACKUP=.*", f"BACKUP={copy}", commands)
    commands = commands.replace("/var/lib/rewarm\n", f"{wire.folder / 'data'}\n")
    (wire.folder / "bin").mkdir()
    (wire.folder / "bin" / "systemctl").symlink_to("/bin/true")
    path = f"{wire.folder / 'bin'}:/usr/bin:/bin"
    subprocess.run(("/bin/sh", "-euc", commands), env={"PATH": path}, check=True)
    async with wire.process():
        await wire.ready()
        await wire.reload()
        await wire.server.wait_for(wire.pings, 10)
    assert len(wire.api.calls) > 0


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
async def test_how_many_to_keep_is_checked(wire: Wire, keep: str) -> None:
    said = await run(wire, "backup", f"--keep={keep}", "folder")
    assert said.status == 2
    assert "must be a number from 1 to 9999" in said.err


async def test_daily_backups_where_they_cannot_be(used: Wire) -> None:
    said = await run(used, "backup", "--keep", "7", "nowhere")
    assert (said.status, said.err) == (2, "nowhere can't be written (No such file or directory).\n")
    url = "postgresql://rewarm@127.0.0.1:9/rewarm"
    said = await run(used, "backup", "--keep", "7", str(used.folder), STORE_URL=url)
    assert said.status == 2
    assert "pg_dump" in said.err


async def test_backup_without_a_store(wire: Wire) -> None:
    said = await run(wire, "backup", "copy.db")
    assert said.status == 2
    assert said.err.startswith("DATA_DIR: data/rewarm.db doesn't exist")
    assert not (wire.folder / "copy.db").exists()


async def test_a_backup_that_fails_leaves_nothing(wire: Wire) -> None:
    (wire.folder / "data").mkdir()
    for content in (b"no store" * 1000, b""):
        (wire.folder / "data" / NAME).write_bytes(content)
        said = await run(wire, "backup", "copy.db")
        assert said.status == 2
        assert said.err.startswith("DATA_DIR: data/rewarm.db")
        assert len(said.err.splitlines()) == 1
        assert not (wire.folder / "copy.db").exists()


# forget


async def test_forget_and_block_in_a_wrong_place_say_so(wire: Wire) -> None:
    for command in (("forget", "123456789012345678"), ("servers", "block", "123456789012345678")):
        said = await run(wire, *command)
        assert said.status == 2
        assert said.err.startswith("DATA_DIR: data/rewarm.db doesn't exist: DATA_DIR is wrong")
    assert not (wire.folder / "data").exists()


async def test_forget_deletes_all_of_a_server_bytes_included(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.set_key()
        await wire.reload(model="canary-model-of-this-server")
        await wire.server.wait_for(wire.pings, 10)
        said = await run(wire, "forget", str(wire.guild.id))
        assert said.status == 2
        assert "in use by another bot: stop that one first" in said.err
        process.terminate()
        await process.wait()
    assert b"canary-model" in (wire.folder / "data" / NAME).read_bytes()
    said = await run(wire, "forget", str(wire.guild.id))
    assert (said.status, said.out) == (
        0,
        f"Deleted everything about server {wire.guild.id}: 1 reloads, a key.\n",
    )
    for path in (wire.folder / "data").iterdir():
        assert b"canary-model" not in path.read_bytes()
        assert str(wire.guild.id).encode() not in path.read_bytes()
    said = await run(wire, "forget", str(wire.guild.id))
    assert said.out == f"Deleted everything about server {wire.guild.id}: 0 reloads, no key.\n"


@pytest.mark.parametrize("server", ["abc", "12", "-5", "1" * 30])
async def test_a_servers_id_is_checked(wire: Wire, server: str) -> None:
    said = await run(wire, "servers", "leave", "--", server)
    assert said.status == 2
    assert "must be a server ID" in said.err


# servers


async def test_servers_are_listed_with_what_is_kept(used: Wire) -> None:
    other = used.server.add_guild("Another server")
    said = await run(used, "servers")
    lines = said.out.splitlines()
    assert re.fullmatch(rf"{used.guild.id} .* key  A server", lines[0])
    assert re.fullmatch(rf"{other.id} .*   Another server", lines[1])
    assert lines[2] == "2 servers."


async def test_leave_and_the_running_bot_forgets(used: Wire) -> None:
    said = await run(used, "servers", "leave", str(used.guild.id))
    assert said.status == 0
    assert used.guild.removed
    await used.logged("server.forgotten")
    assert (await run(used, "servers", "leave", str(used.guild.id))).status == 1


async def test_a_blocked_server_is_left_whenever_it_comes_back(used: Wire) -> None:
    said = await run(used, "servers", "block", str(used.guild.id))
    assert said.status == 0
    assert used.guild.removed
    await used.logged("server.forgotten")
    used.server.add_back(used.guild)
    await used.server.wait_for(lambda: used.guild.removed)
    assert f"{used.guild.id}  blocked" in (await run(used, "servers")).out
    await run(used, "servers", "unblock", str(used.guild.id))
    used.server.add_back(used.guild)
    await used.set_key()  # a server that sets a key again is served again
    assert not used.guild.removed


async def test_a_server_that_came_while_nobody_looked_is_left(wire: Wire) -> None:
    """It was blocked, and invited while the bot was away; the first attempt to leave fails, too."""
    other = wire.server.add_guild("Another server")
    async with wire.process() as process:
        await wire.ready()
        process.terminate()
        await process.wait()
    wire.server.remove_guild(other)
    await run(wire, "servers", "block", str(other.id))
    wire.server.add_back(other)
    async with wire.process():
        await wire.server.wait_for(lambda: other.removed, 10)


async def test_the_block_list_can_be_read_by_a_service_with_a_user_of_its_own(used: Wire) -> None:
    await run(used, "servers", "block", "123456789012345678")
    listed = used.folder / "data" / "blocked"
    assert stat.S_IMODE(listed.stat().st_mode) == 0o644
    listed.write_bytes(b"\xef\xbb\xbf123456789012345678, 223456789012345678\r\n\xb2\n")
    said = await run(used, "servers")
    assert [line for line in said.out.splitlines() if line.endswith("blocked")] == [
        "123456789012345678  blocked",
        "223456789012345678  blocked",
    ]


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_trouble_of_discord_is_one_line(used: Wire, status: int) -> None:
    used.server.faults = [Fault("DELETE", "/users/@me/guilds/", status=status, times=99)]
    said = await run(used, "servers", "leave", str(used.guild.id))
    assert said.status == 1
    assert len(said.err.splitlines()) == 1


async def test_a_server_can_be_blocked_before_it_comes(used: Wire) -> None:
    said = await run(used, "servers", "block", "123456789012345678")
    assert said.status == 0
    assert "is blocked" in said.out


# init


async def test_init_asks_writes_and_invites(wire: Wire) -> None:
    said = await _init(wire, wire.server.token)
    assert (said.status, said.err) == (0, ""), said.err
    env = wire.folder / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert f"DISCORD_TOKEN={wire.server.token}\n" in env.read_text()
    assert f"client_id={wire.server.application_id}" in said.out
    assert "permissions=274877975552" in said.out
    assert "scope=bot+applications.commands" in said.out
    wire.environment.pop("DISCORD_TOKEN")
    wire.environment.pop("KEY_ENCRYPTION_KEYS")
    async with wire.process():  # the bot runs with what init wrote
        await wire.set_key()


async def test_init_keeps_what_is_there(wire: Wire) -> None:
    env = wire.folder / ".env"
    env.write_text("# mine\nRELOAD_SECONDS=60\nDISCORD_TOKEN=\n")
    env.chmod(0o644)
    await _init(wire, wire.server.token)
    text = env.read_text()
    assert text.startswith("# mine\nRELOAD_SECONDS=60\n")
    assert text.count("DISCORD_TOKEN=") == 1
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    said = await _init(wire, "")
    assert said.out.startswith("DISCORD_TOKEN: already set.")
    assert env.read_text() == text


async def test_init_makes_no_second_key_for_a_store(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.set_key()
        process.terminate()
        await process.wait()
    said = await _init(wire, wire.server.token)
    assert said.status == 2
    assert "is missing, but the store in data was encrypted with one" in said.err
    assert not (wire.folder / ".env").exists()


async def test_init_closes_a_file_that_others_could_read(wire: Wire) -> None:
    await _init(wire, wire.server.token)
    env = wire.folder / ".env"
    env.chmod(0o644)
    said = await _init(wire)
    assert "was readable by others" in said.out
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["folder", "bytes"])
async def test_init_with_an_odd_file_is_one_line(wire: Wire, what: str) -> None:
    env = wire.folder / ".env"
    if what == "folder":
        env.mkdir()
    else:
        env.write_bytes(b"\xff\xfe")
    said = await _init(wire, wire.server.token)
    assert said.status == 2
    assert said.err.startswith(".env can't be ")


async def test_init_asks_again_for_a_refused_token(wire: Wire) -> None:
    said = await _init(wire, "wrong.wrong.wrong", wire.server.token)
    assert "Discord rejects this token" in said.out
    assert said.status == 0
    said = await _init(wire, *["wrong.wrong.wrong"] * 3, folder=wire.folder / "elsewhere")
    assert said.status == 2
    assert said.err.startswith("Nothing was written")
    assert list((wire.folder / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("typed", ["my-password", "client.secret", "a.b.c.d", "öäü.b.c", "a b.c.d"])
async def test_init_takes_nothing_that_cannot_be_a_token(wire: Wire, typed: str) -> None:
    wire.server.faults = [Fault("GET", "/users/@me", status=503, times=99)]
    said = await _init(wire, typed)
    assert "that isn't a bot token" in said.out
    assert typed not in said.out + said.err
    assert said.status == 2
    assert not (wire.folder / ".env").exists()


@pytest.mark.parametrize("standard_input", ["< /dev/null", "<&-"])
async def test_init_without_input_is_one_line(wire: Wire, standard_input: str) -> None:
    del wire.environment["DISCORD_TOKEN"]
    out, err = await shell(wire, f"{{}} {standard_input}", "init")
    assert (out, err) == ("", "Nothing was written: no valid token was entered.\n")
    assert not (wire.folder / ".env").exists()


async def test_init_names_commands_as_they_were_typed(wire: Wire) -> None:
    wire.environment["MAKELEVEL"] = "1"
    said = await run(wire, "init")
    assert "Next: `make check` checks your setup, `make run` starts the bot." in said.out


async def test_init_where_discord_cannot_be_asked(wire: Wire) -> None:
    wire.server.faults = [Fault("GET", "/users/@me", status=503, times=99)]
    said = await _init(wire, wire.server.token)
    assert said.status == 0
    assert "The token wasn't checked: Discord is having problems" in said.out
    assert "`python -m bot check` does that later, and prints the invite link." in said.out
    assert (wire.folder / ".env").exists()


async def test_the_token_is_not_shown_while_it_is_typed(wire: Wire) -> None:
    ours, theirs = pty.openpty()
    environment = {name: wire.environment[name] for name in ("PYTHONPATH", "DISCORD_API_URL")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "init"),
        cwd=wire.folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    shown = b""
    async with asyncio.timeout(20):
        while b"hidden while you type" not in shown:
            shown += await loop.run_in_executor(None, os.read, ours, 1024)
        os.write(ours, f"{wire.server.token}\n".encode())
        while b"run` starts the bot" not in shown:
            shown += await loop.run_in_executor(None, os.read, ours, 1024)
        assert await process.wait() == 0
    os.close(ours)
    assert wire.server.token.encode() not in shown
    await _ctrl_c_ends_it(wire)
    assert wire.server.token in (wire.folder / ".env").read_text()


_IN_A_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv = ["bot", "init"]
runpy.run_module("bot", run_name="__main__")
"""


async def _ctrl_c_ends_it(wire: Wire) -> None:
    (wire.folder / ".env").rename(wire.folder / "kept")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IN_A_TERMINAL),
        cwd=wire.folder,
        env={name: wire.environment[name] for name in ("PYTHONPATH", "DISCORD_API_URL")},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while b"hidden while you type" not in shown:
            shown += await loop.run_in_executor(None, os.read, ours, 1024)
        os.write(ours, b"\x03")
        assert await process.wait() == 130
    os.close(ours)
    (wire.folder / "kept").rename(wire.folder / ".env")


async def _init(wire: Wire, *typed: str, folder: Path | None = None) -> Said:
    if folder is not None:
        folder.mkdir()
    lines = "".join(f"{line}\n" for line in typed)
    nothing = {"DISCORD_TOKEN": None, "KEY_ENCRYPTION_KEYS": None}
    return await run(wire, "init", typed=lines, folder=folder, **nothing)


# forget --person


async def test_a_person_is_forgotten_from_the_command_line(wire: Wire) -> None:
    wire.environment["RELOAD_SECONDS"] = "1"
    async with wire.process() as process:
        await wire.set_key()
        await wire.reload()
        await wire.logged("to=ended")
        process.terminate()
        await process.wait()
    said = await run(wire, "forget", "--person", str(wire.ana.id), "--dry-run")
    assert (said.status, said.err) == (0, "")
    assert said.out == f"Would remove {wire.ana.id} from: 1 reloads that nobody else requested (deleted).\n"
    said = await run(wire, "forget", "--person", str(wire.ana.id))
    assert (said.status, said.err) == (0, "")
    assert said.out == f"Removed {wire.ana.id} from: 1 reloads that nobody else requested (deleted).\n"
    said = await run(wire, "forget", "--person", str(wire.ana.id))
    assert said.out == f"Nothing names {wire.ana.id}.\n"
    assert (await run(wire, "forget", "--person", "ana")).status == 2
    assert (
        "--dry-run works only with --person"
        in (await run(wire, "forget", str(wire.guild.id), "--dry-run")).err
    )
    said = await run(wire, "forget", "--person", str(wire.mod.id))
    assert (
        said.out == f"Removed {wire.mod.id} from: 1 keys (they stay), 1 messages to moderators (they stay).\n"
    )
    async with wire.process():
        await wire.ready()
        status = await wire.server.slash(wire.mod, wire.general, "key status")
        await wire.server.wait_for(lambda: "API key, set on <t:" in wire.reply(status).text)
