"""Trends: commutative counters per key and hour, rolled up to hours, days or weeks of a time zone."""

from parlance_sentiment.trends.counters import Bucket, Tally, changes, hour_of
from parlance_sentiment.trends.rollup import BUCKETS, Point, Totals, floor_time, next_time, roll_up

__all__ = [
    "BUCKETS",
    "Bucket",
    "Point",
    "Tally",
    "Totals",
    "changes",
    "floor_time",
    "hour_of",
    "next_time",
    "roll_up",
]
