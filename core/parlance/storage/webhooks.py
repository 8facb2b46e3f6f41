"""Registered webhook endpoints, and the signature that their deliveries carry (Standard Webhooks 1.0).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from parlance.errors import ValidationFailed

__all__ = ["Webhook", "check_secret", "check_url", "new_secret", "signature"]

SECRET_PREFIX = "whsec_"  # noqa: S105  # the standard's prefix, not a secret


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint that wants events of some kinds."""

    name: str
    url: str
    kinds: tuple[str, ...]
    """Patterns as of a shell: ``alert.*``; ``*`` for all."""
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    secret: str | None = None
    """Only where it was just made: it is shown once."""

    def wants(self, kind: str) -> bool:
        """Whether messages of a kind go there."""
        return self.disabled_at is None and any(fnmatch.fnmatchcase(kind, pattern) for pattern in self.kinds)


def new_secret() -> str:
    """A fresh signing secret: 32 random bytes, base64, with the standard's prefix."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, *, message_id: str, timestamp: int, payload: bytes) -> str:
    """The value of the ``webhook-signature`` header.

    Args:
        secret: ``whsec_`` and base64.
        message_id: the value of ``webhook-id``; the same at every try.
        timestamp: the value of ``webhook-timestamp``: seconds since 1970, of this try.
        payload: the body's bytes.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), payload))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def check_secret(secret: str) -> str:
    """Return a secret that can be used.

    Raises:
        ValidationFailed: not ``whsec_`` with base64 of 24 to 64 bytes, which the standard asks for.
    """
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not secret.startswith(SECRET_PREFIX) or not 24 <= size <= 64:
        raise ValidationFailed(
            "A webhook's secret must be 'whsec_' followed by base64 of 24 to 64 bytes.",
            hint="Leave it out to have one made.",
        )
    return secret


def check_url(url: str) -> str:
    """Return a URL that can be delivered to.

    Raises:
        ValidationFailed: not an absolute http or https URL.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or len(url) > 2000:
        raise ValidationFailed(
            f"'{url[:100]}' is no URL to deliver to.", hint="Use http://host/path or https://host/path."
        )
    return url


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return patterns that can be used.

    Raises:
        ValidationFailed: none, or an empty one.
    """
    if isinstance(kinds, str) or not kinds or not all(kind.strip() for kind in kinds):
        raise ValidationFailed("A webhook needs at least one kind of message.", hint="Use '*' for all.")
    return tuple(kinds)
