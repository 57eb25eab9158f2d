"""REST: the application, its servers, its commands and their permissions.

Source: docs.discord.com/developers: User, Guild, Application, Application Commands, Gateway.
"""

from tests.stand_ins.discord.command_rules import broken_commands
from tests.stand_ins.discord.payloads import channel_payload, guild_payload, member_payload, user_payload
from tests.stand_ins.discord.places import Places
from tests.stand_ins.discord.rules import RefusedError, insist
from tests.stand_ins.discord.state import Answer, Guild, Member, Request


class Application(Places):
    """Requests about the bot and its servers, and registrations."""

    def _get_me(self, request: Request) -> Answer:
        return 200, {**self._bot_user(), "locale": "en-US", "mfa_enabled": False}

    def _get_guilds(self, request: Request) -> Answer:
        """At most 200 at a time, by id; a server in an outage is not among them (which is not known)."""
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 200))
        insist([("limit", "must be 1 to 200")] if not 1 <= limit <= 200 else [])
        listed = sorted((g for g in self.guilds if not g.outage and g.id > after), key=lambda guild: guild.id)
        return 200, [
            {
                "id": str(g.id),
                "name": g.name,
                "icon": None,
                "owner": False,
                "permissions": "0",
                "features": [],
            }
            for g in listed[:limit]
        ]

    def _known_guild(self, number: str) -> Guild:
        found = [guild for guild in self.guilds if guild.id == int(number)]
        if not found:
            raise RefusedError(404, 10004, "Unknown Guild")
        return found[0]

    def _leave_guild(self, request: Request, guild: str) -> Answer:
        self.remove_guild(self._known_guild(guild))
        return 204, None

    def _get_guild(self, request: Request, guild: str) -> Answer:
        return 200, guild_payload(self._known_guild(guild))

    def _get_member(self, request: Request, guild: str, user: str) -> Answer:
        known = self._known_guild(guild)
        if int(user) == self.application_id:
            return 200, member_payload(Member(int(user), known, "bot"))
        found = [member for member in known.members if member.id == int(user)]
        if not found:
            raise RefusedError(404, 10007, "Unknown Member")
        return 200, member_payload(found[0])

    def _get_channels(self, request: Request, guild: str) -> Answer:
        """Without those that the bot may not view, and without threads."""
        return 200, [channel_payload(c) for c in self._known_guild(guild).channels if c.is_seen]

    def _get_application(self, request: Request) -> Answer:
        return 200, {
            "id": str(self.application_id),
            "name": "bot",
            "icon": None,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags": 0,
            "flags_new": "0",
            "type": None,
            "explicit_content_filter": 0,
            "eligible_oauth2_scopes": ["bot", "applications.commands"],
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "approximate_guild_count": len(self.guilds),
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "owner": user_payload(1, "owner"),
            "team": None,
            **self.application,
        }

    def _get_gateway(self, request: Request) -> Answer:
        logins = self.logins
        left = {
            "total": logins.total,
            "remaining": max(0, logins.remaining),
            "reset_after": int(logins.reset_after * 1000),
            "max_concurrency": logins.max_concurrency,
        }
        return 200, {"url": self._gateway_url, "shards": self.shards, "session_start_limit": left}

    def _get_commands(self, request: Request, app: str) -> Answer:
        return 200, self.commands

    def _get_permissions(self, request: Request, app: str, guild: str, command: str) -> Answer:
        self._known_guild(guild)
        if app != str(self.application_id):
            raise RefusedError(403, 50001, "Missing Access")
        if int(command) not in self.permissions:
            raise RefusedError(404, 10066, "Unknown application command permissions")
        ids = {"id": command, "application_id": app, "guild_id": guild}
        return 200, {**ids, "permissions": self.permissions[int(command)]}

    def _put_commands(self, request: Request, app: str) -> Answer:
        if app != str(self.application_id):
            raise RefusedError(
                403, 20012, "You are not authorized to perform this action on this application"
            )
        insist(broken_commands(request.body))
        ids = {command["name"]: command["id"] for command in self.commands}
        self.commands = [
            {
                "options": [],
                "default_member_permissions": None,
                **command,
                "id": ids.get(command["name"], str(self._new_id())),
                "application_id": app,
                "version": str(self._new_id()),
                "type": 1,
            }
            for command in request.body
        ]
        return 200, self.commands
