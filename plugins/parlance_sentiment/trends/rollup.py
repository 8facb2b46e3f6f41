"""Hours rolled up to the hours, days or weeks of a time zone, with empty ones filled in on request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, get_args

import msgspec

from parlance.errors import ValidationFailed
from parlance_sentiment.trends.counters import MICRO, Tally

__all__ = ["BUCKETS", "BucketSize", "Point", "Totals", "floor_time", "next_time", "roll_up"]

BucketSize = Literal["hour", "day", "week"]
BUCKETS: tuple[str, ...] = get_args(BucketSize)
MAX_POINTS = 5000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and means; the means are ``None`` where nothing was counted."""

    documents: int
    positive: int
    neutral: int
    negative: int
    mean_score: float | None
    negative_share: float | None

    @classmethod
    def of(cls, tally: Tally) -> Totals:
        """Counts as a reader wants them."""
        count = tally.documents
        return cls(
            documents=count,
            positive=tally.positive,
            neutral=tally.neutral,
            negative=tally.negative,
            mean_score=round(tally.score_micro / MICRO / count, 6) if count else None,
            negative_share=round(tally.negative / count, 6) if count else None,
        )


class Point(Totals, frozen=True, kw_only=True):
    """One bucket: the half-open time ``[start, end)`` in the zone that was asked for."""

    start: datetime
    end: datetime


def floor_time(moment: datetime, size: BucketSize, zone: tzinfo) -> datetime:
    """Start of the bucket that holds ``moment``, in ``zone``. Weeks begin on Monday (ISO 8601)."""
    if size == "hour":
        return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0).astimezone(zone)
    local = moment.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight - timedelta(days=midnight.weekday()) if size == "week" else midnight


def next_time(start: datetime, size: BucketSize) -> datetime:
    """Start of the following bucket; a day of a zone with summer time may have 23 or 25 hours."""
    if size == "hour":
        return (start.astimezone(UTC) + timedelta(hours=1)).astimezone(start.tzinfo)
    return start + timedelta(days=7 if size == "week" else 1)


def roll_up(
    hours: Iterable[tuple[datetime, Tally]],
    *,
    size: BucketSize,
    zone: tzinfo,
    start: datetime,
    end: datetime,
    fill: bool,
) -> list[Point]:
    """Points in order of time.

    An hour belongs to the bucket in which it starts (this matters only in zones that are not whole hours from UTC).

    Args:
        hours: UTC hours within ``[start, end)`` with their counts, in any order, the same hour any number of times.
        fill: give a point of zeros for every bucket without documents.

    Raises:
        ValidationFailed: code ``range_too_long``; ``fill`` would give more than 5,000 points.
    """
    sums: dict[datetime, Tally] = {}
    for hour, tally in hours:
        at = floor_time(hour, size, zone)
        sums[at] = sums.get(at, Tally()) + tally
    if fill:
        span_s = {"hour": 3600, "day": 86400, "week": 7 * 86400}[size]
        expected = (end - start).total_seconds() / span_s
        if expected > MAX_POINTS:
            raise ValidationFailed(
                f"From {start.isoformat()} to {end.isoformat()} there are {expected:,.0f} buckets of one {size}; "
                f"the limit is {MAX_POINTS:,}.",
                hint="Ask for a shorter time, a larger bucket, or fill=false.",
                code="range_too_long",
                limit=MAX_POINTS,
            )
        at = floor_time(start, size, zone)
        while at < end:
            sums.setdefault(at, Tally())
            at = next_time(at, size)
    starts = sorted(at for at in sums if fill or sums[at].documents)
    return [_point(at, next_time(at, size), Totals.of(sums[at])) for at in starts]


def _point(start: datetime, end: datetime, totals: Totals) -> Point:
    return Point(start=start, end=end, **msgspec.structs.asdict(totals))
