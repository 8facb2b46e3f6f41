"""The version of a rule: a hash of everything that decides."""

from __future__ import annotations

import hashlib

import msgspec

from parlance_sentiment.rules.threshold import ThresholdRule

__all__ = ["rule_version"]


def rule_version(rule: ThresholdRule) -> str:
    """First 12 hexadecimal digits of the SHA-256 of the rule as JSON; alerts carry it as evidence."""
    return hashlib.sha256(msgspec.json.encode(rule, order="sorted")).hexdigest()[:12]
