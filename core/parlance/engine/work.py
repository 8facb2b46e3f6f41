"""The unit of scheduling: one text with its token ids, and the call that waits for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parlance.errors import ParlanceError
from parlance.tasks.options import Priority

if TYPE_CHECKING:
    from parlance.engine.served import ServedModel

__all__ = ["Call", "Entry", "Tokens"]

_SEQUENCE = itertools.count()


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised input: ids with special tokens, never padded.

    ``offsets``: half-open character ranges into the text that was tokenised, one for each id (only for ``tag``).
    """

    ids: list[int]
    type_ids: list[int] | None = None
    offsets: list[tuple[int, int]] | None = None
    truncated: bool = False


class Call:
    """One caller's texts: counts down until every one of them is settled. Event loop only."""

    __slots__ = ("entries", "future", "pending", "queued_at", "results", "run_s", "started_at", "wait_s")

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.results: list[Any] = [None] * size
        self.entries: list[Entry] = []
        self.pending = 0
        self.future: asyncio.Future[None] = loop.create_future()
        self.wait_s = 0.0
        self.run_s = 0.0

    def settle(self, index: int, value: Any) -> None:
        """One text's result is there."""
        self.results[index] = value
        self.pending -= 1
        if self.pending == 0 and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: ParlanceError) -> None:
        """One text failed, hence the call."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class Entry:
    """One text to compute, once, for everybody who waits for it.

    ``waiters`` belongs to the event loop; ``queued`` and ``lane`` to the queue, under its lock.
    """

    model: ServedModel
    key: Hashable
    tokens: Tokens
    priority: Priority
    charge_to: str
    deadline: float
    """Monotonic time after which no waiter wants it; infinite without one."""
    put_at: float = 0.0
    cost_s: float = 0.0
    """Estimated seconds of one worker."""
    queued: bool = False
    waiters: list[tuple[Call, int]] = field(default_factory=list)
    sequence: int = field(default_factory=lambda: next(_SEQUENCE))

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return len(self.tokens.ids)
