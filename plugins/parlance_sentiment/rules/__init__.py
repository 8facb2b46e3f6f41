"""Rules: typed, versioned kinds of conditions over what was published about a key."""

from parlance_sentiment.rules.observation import Observation
from parlance_sentiment.rules.threshold import ThresholdRule, Verdict, judge
from parlance_sentiment.rules.version import rule_version

__all__ = ["Observation", "ThresholdRule", "Verdict", "judge", "rule_version"]
