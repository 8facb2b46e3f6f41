"""2,000 texts of 5–125 tokens (mean near 34), made from a seed: short questions to long letters."""

from __future__ import annotations

import random

__all__ = ["corpus"]

_WORDS = [
    "the",
    "a",
    "my",
    "your",
    "this",
    "order",
    "card",
    "payment",
    "refund",
    "account",
    "delivery",
    "parcel",
    "invoice",
    "profit",
    "quarter",
    "bank",
    "loan",
    "shares",
    "market",
    "rose",
    "fell",
    "by",
    "since",
    "because",
    "when",
    "after",
    "before",
    "customer",
    "service",
    "reply",
    "late",
    "early",
    "was",
    "is",
    "were",
    "has",
    "been",
    "not",
    "please",
    "could",
    "would",
    "help",
    "send",
    "change",
    "cancel",
    "check",
    "price",
    "discount",
    "app",
    "website",
    "phone",
    "email",
    "number",
    "code",
    "screen",
    "blue",
    "green",
    "new",
    "old",
    "small",
    "large",
    "two",
    "three",
    "ten",
    "percent",
    "million",
    "euro",
    "dollar",
    "week",
    "month",
    "year",
    "today",
    "yesterday",
    "tomorrow",
]


def corpus(size: int = 2000, *, seed: int = 7) -> list[str]:
    """Distinct texts; the number of words is log-normal, as in mixed short and long messages."""
    draw = random.Random(seed)  # no secret
    texts = []
    for number in range(size):
        words = min(120, max(2, round(draw.lognormvariate(3.2, 0.65))))
        texts.append(" ".join([*draw.choices(_WORDS, k=words - 1), str(number)]) + ".")
    return texts
