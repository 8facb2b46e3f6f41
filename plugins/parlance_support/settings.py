"""The ``[support]`` section of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["SupportSettings"]


class SupportSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the support plugin; every one has a default that works."""

    embedding_model: Annotated[str, Meta(min_length=1)] = "embed-multi"
    """Model or alias that embeds questions and entries. Another model needs its own ``calibration_file``."""
    calibration_file: str = ""
    """JSON file with calibration weights (``tests/bench/support_answering.py --write`` makes one); empty takes the
    weights that come with the plugin, which were fitted for ``embed-multi``."""
    answer_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Least confidence with which an entry is given as the answer; higher gives fewer false answers and more
    fallbacks. The README has a table of what each value costs."""
    alternatives: Annotated[int, Meta(ge=0, le=20)] = 3
    """How many further entries a reply names."""
    default_language: Literal["en", "zh"] = "en"
    """Language of the reply when that of the message cannot be told."""
    fallback_en: str = "I am sorry, I have no answer to that. Could you put it in other words?"
    """What is said to an English message that nothing in the knowledge base answers."""
    fallback_zh: str = "抱歉，我暂时无法回答这个问题。您可以换一种说法再问一次吗？"
    """What is said to a Chinese message that nothing in the knowledge base answers."""
    message_chars: Annotated[int, Meta(ge=1, le=100_000)] = 4_000
    """Longest message of a customer, in characters; above it 422."""
    deadline_s: Annotated[float, Meta(gt=0)] = 5.0
    """How long a message may wait for the model; a longer estimated wait is refused at once with 429."""
    turn_wait_s: Annotated[float, Meta(gt=0)] = 10.0
    """How long a message waits for earlier messages of its conversation; then 409."""
    retention_days: Annotated[int, Meta(ge=0)] = 0
    """Conversations without a message for this many days are deleted; 0 keeps them."""
