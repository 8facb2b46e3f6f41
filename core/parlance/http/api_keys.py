"""API keys: ``plk_<id>_<secret>``, random, shown once, kept as a hash; looked up through a short-lived cache.

The secret has 256 random bits, so one SHA-256 is enough: there is nothing to guess (NIST SP 800-63B, look-up secrets of
at least 112 bits need no salt). Revocation takes effect within ``CACHE_S`` seconds in every process.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address

import msgspec
from sqlalchemy import bindparam, func, insert, select, update

from parlance.clock import Clock, SystemClock
from parlance.errors import ConfigError, NotFound, Unauthorized
from parlance.http.auth import ANONYMOUS, Caller, check_scope_names, nobody
from parlance.settings import ServerSettings, Settings
from parlance.storage.database import Database
from parlance.storage.tables import api_keys

__all__ = ["CACHE_S", "ApiKey", "ApiKeys", "Authenticator", "check_exposure", "keys_are_on"]

CACHE_S = 3.0
"""How long a looked-up key is believed."""
_CACHE_ENTRIES = 4096
_TOKEN = re.compile(r"plk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; never the key itself."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """When a request was last accepted with it; written about once a minute."""


class ApiKeys:
    """The keys in the database."""

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def create(
        self, name: str, scopes: Sequence[str], *, valid_for: timedelta | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key. The second value is the key itself: it is nowhere kept and cannot be shown again.

        Raises:
            ValidationFailed: a scope that cannot be one (code ``unknown_scope``).
        """
        check_scope_names(scopes)
        now = self._clock.now()
        key = ApiKey(
            id=secrets.token_hex(6),
            name=name,
            scopes=tuple(sorted(set(scopes))),
            created_at=now,
            expires_at=now + valid_for if valid_for is not None else None,
        )
        secret = secrets.token_urlsafe(32)
        row = {**msgspec.structs.asdict(key), "scopes": list(key.scopes), "hash": _hash(secret)}
        async with self._database.transaction() as connection:
            await connection.execute(insert(api_keys).values(row))
        return key, f"plk_{key.id}_{secret}"

    async def list_keys(self) -> list[ApiKey]:
        """All keys, also revoked and expired ones, oldest first."""
        async with self._database.read() as connection:
            rows = (
                await connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))
            ).mappings()
            return [_key(dict(row)) for row in rows]

    async def any(self) -> bool:
        """Whether there is at least one key that works."""
        async with self._database.read() as connection:
            count = await connection.scalar(
                select(func.count())
                .select_from(api_keys)
                .where(api_keys.c.revoked_at.is_(None))
                .where(api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > self._clock.now()))
            )
        return bool(count)

    async def revoke(self, name_or_id: str) -> list[ApiKey]:
        """Revoke a key by id, or all keys of a name.

        Raises:
            NotFound: there is no such key that is not revoked already (code ``unknown_api_key``).
        """
        matches = ((api_keys.c.id == name_or_id) | (api_keys.c.name == name_or_id)) & api_keys.c.revoked_at.is_(None)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(api_keys).where(matches))).mappings().all()
            if not rows:
                raise NotFound(
                    f"There is no API key '{name_or_id}' in force.",
                    hint="'parlance keys list' shows them.",
                    code="unknown_api_key",
                )
            now = self._clock.now()
            await connection.execute(
                update(api_keys).where(api_keys.c.id.in_([row["id"] for row in rows])).values(revoked_at=now)
            )
        return [msgspec.structs.replace(_key(dict(row)), revoked_at=now) for row in rows]

    async def note_use(self, uses: Mapping[str, datetime]) -> None:
        """Write when keys (by id) were last used; a later time that another process wrote stands."""
        if not uses:
            return
        statement = (
            update(api_keys)
            .where(api_keys.c.id == bindparam("key_id"))
            .where(api_keys.c.last_used_at.is_(None) | (api_keys.c.last_used_at < bindparam("used_at")))
            .values(last_used_at=bindparam("used_at"))
        )
        async with self._database.transaction() as connection:
            await connection.execute(statement, [{"key_id": key_id, "used_at": at} for key_id, at in uses.items()])

    async def find(self, key_id: str) -> tuple[ApiKey, str] | None:
        """A key with the hash of its secret."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).mappings().first()
        return None if row is None else (_key(dict(row)), str(row["hash"]))


class Authenticator:
    """Turns the key of a request into a caller, mostly without asking the database."""

    def __init__(
        self,
        keys: ApiKeys,
        *,
        clock: Clock | None = None,
        cache_s: float = CACHE_S,
        uses: MutableMapping[str, datetime] | None = None,
    ) -> None:
        self._keys = keys
        self._uses = uses
        self._clock = clock or SystemClock()
        self._cache_s = cache_s
        self._found: OrderedDict[str, tuple[float, tuple[ApiKey, str] | None]] = OrderedDict()

    async def identify(self, token: str) -> Caller:
        """The caller behind ``token``; without a valid key a caller whose ``refusal`` says why.

        Raises:
            StorageError: the database cannot be asked.
        """
        if not token:
            return nobody()
        parts = _TOKEN.fullmatch(token)
        found = await self._look_up(parts.group(1)) if parts else None
        if parts is None or found is None or not hmac.compare_digest(found[1], _hash(parts.group(2))):
            return _refused("The API key is not known here.", code="api_key_unknown")
        key = found[0]
        if key.revoked_at is not None:
            return _refused(f"The API key '{key.name}' was revoked.", code="api_key_revoked")
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            return _refused(f"The API key '{key.name}' has expired.", code="api_key_expired")
        if self._uses is not None:
            self._uses[key.id] = self._clock.now()
        return Caller(name=key.name, scopes=frozenset(key.scopes), key_id=key.id)

    async def _look_up(self, key_id: str) -> tuple[ApiKey, str] | None:
        now = time.monotonic()
        cached = self._found.get(key_id)
        if cached is not None and cached[0] > now:
            return cached[1]
        found = await self._keys.find(key_id)
        self._found[key_id] = (now + self._cache_s, found)
        self._found.move_to_end(key_id)
        while len(self._found) > _CACHE_ENTRIES:
            self._found.popitem(last=False)
        return found


class OpenDoor:
    """Stands in for the authenticator where keys are off: everybody may do everything."""

    async def identify(self, _: str) -> Caller:
        """The anonymous caller, whatever the token."""
        return ANONYMOUS


def keys_are_on(server: ServerSettings) -> bool:
    """Whether requests need API keys: ``auto`` means everywhere but on a loopback address."""
    if server.auth == "auto":
        return not (_is_loopback(server.host) or server.allow_anonymous)
    return server.auth == "on"


def check_exposure(settings: Settings, any_keys: bool) -> None:
    """Refuse to listen on a public address without API keys.

    Args:
        settings: the effective settings.
        any_keys: whether there is at least one key in force.

    Raises:
        ConfigError: the address is not loopback, and keys are off or there are none (code ``exposed_without_keys``).
    """
    server = settings.server
    if _is_loopback(server.host) or server.allow_anonymous:
        return
    if keys_are_on(server) and any_keys:
        return
    reason = "there is no API key yet" if keys_are_on(server) else "API keys are off (server.auth)"
    raise ConfigError(
        f"The server would listen on {server.host}, which others can reach, but {reason}.",
        hint="Run 'parlance keys create NAME --scope admin', or listen on 127.0.0.1, or set server.allow_anonymous "
        "behind a gateway that authenticates.",
        code="exposed_without_keys",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _refused(detail: str, *, code: str) -> Caller:
    hint = "'parlance keys create' makes a new one."
    return Caller(name="anonymous", scopes=frozenset(), refusal=Unauthorized(detail, hint=hint, code=code))


def _key(row: dict[str, object]) -> ApiKey:
    return msgspec.convert({name: row[name] for name in ApiKey.__struct_fields__}, ApiKey)
