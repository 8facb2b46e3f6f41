"""Who may enter the queue: a call whose estimated wait is longer than its deadline is refused at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from parlance.engine.queue import WorkQueue
from parlance.errors import Overloaded, ValidationFailed
from parlance.settings import EngineSettings
from parlance.tasks.options import CallOptions, Priority

__all__ = ["Admission", "Limit"]

_LEAST_RETRY_S = 0.1
_OWN_TIME_FACTOR = 3.0
"""A call without a deadline of its own may take the default deadline plus this many times its estimated time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a call may take: ``wait_s`` until it starts; ``given`` when the caller said so."""

    wait_s: float
    given: bool
    expires: bool

    def deadline(self, now: float, own_s: float) -> float:
        """Monotonic time after which nobody wants the result."""
        if not self.expires:
            return math.inf
        return now + self.wait_s + (0.0 if self.given else _OWN_TIME_FACTOR * own_s)


class Admission:
    """Decides by the queue's estimate."""

    def __init__(self, queue: WorkQueue, settings: EngineSettings) -> None:
        self._queue = queue
        self._settings = settings

    def limit(self, options: CallOptions) -> Limit:
        """What the options mean.

        Raises:
            ValidationFailed: a deadline that is no positive number.
        """
        if options.deadline_s is not None:
            if not options.deadline_s > 0 or math.isinf(options.deadline_s):
                raise ValidationFailed(
                    f"deadline_s is {options.deadline_s}; it has to be a positive number of seconds.",
                    hint="Leave it out for the server's default.",
                )
            return Limit(options.deadline_s, given=True, expires=True)
        if options.priority is Priority.BACKGROUND:
            return Limit(self._settings.background_queue_s, given=False, expires=False)
        return Limit(self._settings.interactive_deadline_s, given=False, expires=True)

    def check(self, limit: Limit, options: CallOptions, own_s: float = 0.0) -> None:
        """Refuse a call that would come too late; ``own_s`` is its own estimated time once it has started.

        Raises:
            Overloaded: names limit and estimate, and when to come again.
        """
        wait_s = self._queue.wait_s(priority=options.priority, charge_to=options.charge_to)
        needed_s = wait_s + own_s if limit.given else wait_s
        if needed_s <= limit.wait_s:
            return
        alone = own_s > limit.wait_s and limit.given
        raise Overloaded(
            f"The estimated wait is {wait_s:.2f} s and this call takes about {own_s:.2f} s; the limit is "
            f"{limit.wait_s:.2f} s ({self._queue.count()} texts wait).",
            hint="Send fewer texts at a time, or a longer deadline." if alone else "Try again later.",
            retry_after_s=max(_LEAST_RETRY_S, needed_s - limit.wait_s if not alone else wait_s),
            estimated_wait_s=round(wait_s, 3),
            limit_s=round(limit.wait_s, 3),
            queued_texts=self._queue.count(),
        )
