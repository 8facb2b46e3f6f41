"""How a call on the engine is to be treated: deadline, priority, fairness, overlong texts."""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

__all__ = ["DEFAULT_OPTIONS", "CallOptions", "Priority"]


class Priority(enum.IntEnum):
    """Who goes first. Background work (feeds, indexing) never starves, but waits for interactive work."""

    INTERACTIVE = 0
    BACKGROUND = 1


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one call is to be treated.

    ``deadline_s``: seconds from now after which the result is of no use; the call is refused at once with
    ``Overloaded`` when the estimated wait is longer, and dropped unrun when it passes in the queue. ``None`` takes the
    server's default for the priority (background work has none).
    ``charge_to``: whose share of the machine this uses (an API key's name), for fairness.
    ``overlong``: cut a text above the model's token limit, or refuse it by index.
    """

    deadline_s: float | None = None
    priority: Priority = Priority.INTERACTIVE
    charge_to: str = ""
    overlong: Literal["truncate", "refuse"] = "truncate"


DEFAULT_OPTIONS = CallOptions()
