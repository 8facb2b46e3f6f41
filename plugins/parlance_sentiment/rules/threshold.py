"""``threshold.v1``: the share of negative documents in a sliding window, with a separate threshold for recovery."""

from __future__ import annotations

import enum
import re
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance_sentiment.rules.observation import Observation

__all__ = ["ThresholdRule", "Verdict", "judge"]

Share = Annotated[float, Meta(ge=0, le=1)]
_NAME = r"^[a-z0-9][a-z0-9_.-]{0,79}$"
_SPAN = re.compile(r"^([1-9]\d{0,4})([mhd])$")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=366)


class ThresholdRule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="threshold.v1"
):
    """Fire when at least ``min_documents`` were published about a key within ``window`` and the share of negative ones
    is ``negative_share`` or more; resolve when the share has fallen to ``recovery_share`` or fewer than
    ``recovery_documents`` are left in the window."""

    name: Annotated[str, Meta(pattern=_NAME, description="Unique name: small letters, digits, '-', '_' and '.'.")]
    keys: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=300)], ...],
        Meta(
            min_length=1,
            max_length=100,
            description="Keys to watch, each by itself; patterns with * and ?.",
            examples=[["company:*"], ["company:Borealis Motors", "topic:supply chain"]],
        ),
    ] = ("company:*",)
    window: Annotated[
        str, Meta(description="Length of the sliding window: minutes, hours or days.", examples=["90m", "6h", "1d"])
    ] = "6h"
    negative_share: Annotated[Share, Meta(description="Fire at this share of negative documents or more.")] = 0.6
    min_documents: Annotated[int, Meta(ge=1, description="Never fire on fewer documents in the window.")] = 5
    recovery_share: Annotated[
        Share | None, Meta(description="Resolve at this share or less. Default: three quarters of negative_share.")
    ] = None
    recovery_documents: Annotated[
        int | None,
        Meta(description="Resolve with fewer documents than this left. Default: half of min_documents, rounded up."),
    ] = None
    basis: Annotated[
        Literal["clock", "event"],
        Meta(
            description="Where the window ends: 'clock' at the present moment (live news); 'event' at the published "
            "time of each document as it arrives (histories and replays)."
        ),
    ] = "clock"
    severity: Annotated[Literal["info", "warning", "critical"], Meta(description="Passed on with the alert.")] = (
        "warning"
    )
    description: Annotated[str, Meta(max_length=1000, description="For the reader of the alert.")] = ""
    enabled: bool = True

    def __post_init__(self) -> None:
        match = _SPAN.match(self.window)
        if not match or timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) > _LONGEST:
            raise ValueError(f"window {self.window!r} is no length such as 90m, 6h or 7d (at most 366d)")
        if self.negative_share <= 0:
            raise ValueError("negative_share must be above 0, or the rule would always fire")
        if self.recovers_at >= self.negative_share:
            raise ValueError(
                f"recovery_share {self.recovers_at} must be below negative_share {self.negative_share}, "
                "or the alert flaps"
            )
        if not 1 <= self.recovers_below <= self.min_documents:
            raise ValueError(f"recovery_documents {self.recovers_below} must be from 1 to min_documents")

    @property
    def window_length(self) -> timedelta:
        """The window as a duration."""
        match = _SPAN.match(self.window)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else timedelta()

    @property
    def recovers_at(self) -> float:
        """Share at or below which a firing alert resolves."""
        return self.negative_share * 0.75 if self.recovery_share is None else self.recovery_share

    @property
    def recovers_below(self) -> int:
        """Number of documents below which a firing alert resolves."""
        return (self.min_documents + 1) // 2 if self.recovery_documents is None else self.recovery_documents

    def watches(self, key: str) -> bool:
        """Whether the rule judges this key."""
        return any(fnmatchcase(key, pattern) for pattern in self.keys)


class Verdict(enum.Enum):
    """What an observation means for the state of an alert."""

    FIRE = "fire"
    RESOLVE = "resolve"
    KEEP = "keep"


def judge(rule: ThresholdRule, seen: Observation, *, firing: bool) -> Verdict:
    """Compare an observation with a rule; between the two thresholds the state stays what it is (hysteresis)."""
    if firing:
        recovered = seen.negative_share <= rule.recovers_at or seen.documents < rule.recovers_below
        return Verdict.RESOLVE if recovered else Verdict.KEEP
    critical = seen.documents >= rule.min_documents and seen.negative_share >= rule.negative_share
    return Verdict.FIRE if critical else Verdict.KEEP
