"""An alert: one rule's condition on one key, from firing to resolved."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec

from parlance_sentiment.alerts.evidence import Evidence

__all__ = ["Alert", "Resolution", "State", "fingerprint_of"]

State = Literal["firing", "resolved"]
Reason = Literal["recovered", "restated", "rule_changed", "rule_removed"]


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Why an alert ended: the condition recovered, documents were corrected or withdrawn (``restated``), or the rule
    was changed or removed. The counts are those of the last window, where one was judged."""

    reason: Reason
    documents: int | None = None
    negative: int | None = None
    negative_share: float | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as stored. ``starts_at`` and ``ends_at`` are on the rule's time basis (clock or event time);
    ``raised_at`` and ``resolved_at`` are the moments at which the server noticed."""

    id: str
    fingerprint: str
    rule: str
    rule_version: str
    kind: str
    key: str
    severity: str
    state: State
    starts_at: datetime
    ends_at: datetime | None = None
    raised_at: datetime
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    comment: str = ""
    evidence: Evidence
    resolution: Resolution | None = None

    def as_body(self) -> dict[str, Any]:
        """Plain JSON values, for the event log."""
        body = msgspec.to_builtins(self)
        return dict(body)


def fingerprint_of(rule: str, key: str) -> str:
    """Sixteen hexadecimal digits that stay the same for every alert of one rule on one key."""
    return hashlib.sha256(f"{rule}\x1e{key}".encode()).hexdigest()[:16]
