"""The texts that wait: who is next (priority, fairness, age), and which others go into the same batch.

A pure data structure under one lock; it knows nothing of threads that run models or of the event loop.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from parlance.engine.work import Entry
from parlance.tasks.options import Priority

if TYPE_CHECKING:
    from parlance.engine.served import ServedModel

__all__ = ["BACKGROUND_SHARE", "WorkQueue"]

BACKGROUND_SHARE = 0.1
"""Least share of the machine that waiting background work gets while interactive work waits too, so that it never
starves."""


class _Account:
    """One payer's waiting texts in a lane, oldest first."""

    __slots__ = ("entries", "queued_s", "virtual")

    def __init__(self, virtual: float) -> None:
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self.queued_s = 0.0
        self.virtual = virtual


class _Lengths:
    """One model's waiting texts of a lane by length, for finding neighbours."""

    __slots__ = ("by_length", "lengths")

    def __init__(self) -> None:
        self.by_length: dict[int, OrderedDict[int, Entry]] = {}
        self.lengths: list[int] = []

    def add(self, entry: Entry) -> None:
        bucket = self.by_length.get(entry.length)
        if bucket is None:
            bucket = self.by_length[entry.length] = OrderedDict()
            bisect.insort(self.lengths, entry.length)
        bucket[entry.sequence] = entry

    def remove(self, entry: Entry) -> None:
        bucket = self.by_length[entry.length]
        del bucket[entry.sequence]
        if not bucket:
            del self.by_length[entry.length]
            del self.lengths[bisect.bisect_left(self.lengths, entry.length)]

    def nearest(self, length: int) -> Entry | None:
        """The oldest of those whose length differs least; of two equally near lengths the shorter."""
        place = bisect.bisect_left(self.lengths, length)
        around = self.lengths[max(0, place - 1) : place + 1]
        if not around:
            return None
        best = min(around, key=lambda other: (abs(other - length), other))
        return next(iter(self.by_length[best].values()))


class _Lane:
    """All waiting texts of one priority, shared fairly by accounts: start-time fair queueing (Goyal et al. 1996)."""

    def __init__(self) -> None:
        self.accounts: dict[str, _Account] = {}
        self.models: dict[ServedModel, _Lengths] = {}
        self.count = 0
        self.tokens = 0
        self.virtual = 0.0
        """Virtual time: that of the account served last; a payer that was away starts from here."""

    def add(self, entry: Entry) -> None:
        account = self.accounts.get(entry.charge_to)
        if account is None:
            account = self.accounts[entry.charge_to] = _Account(self.virtual)
        account.entries[entry.sequence] = entry
        account.queued_s += entry.cost_s
        lengths = self.models.get(entry.model)
        if lengths is None:
            lengths = self.models[entry.model] = _Lengths()
        lengths.add(entry)
        self.count += 1
        self.tokens += entry.length

    def remove(self, entry: Entry, *, served: bool) -> None:
        account = self.accounts[entry.charge_to]
        del account.entries[entry.sequence]
        account.queued_s -= entry.cost_s
        if served:
            account.virtual += entry.cost_s
        if not account.entries:
            del self.accounts[entry.charge_to]
        lengths = self.models[entry.model]
        lengths.remove(entry)
        if not lengths.lengths:
            del self.models[entry.model]
        self.count -= 1
        self.tokens -= entry.length

    def head(self) -> Entry | None:
        """The oldest text of the account that has had least."""
        if not self.accounts:
            return None
        account = min(self.accounts.values(), key=lambda one: (one.virtual, next(iter(one.entries))))
        self.virtual = max(self.virtual, account.virtual)
        return next(iter(account.entries.values()))


class WorkQueue:
    """Waiting texts of all models. Every method is thread-safe.

    Args:
        threads: workers that take from it; estimates divide by it.
    """

    def __init__(self, *, threads: int) -> None:
        self.threads = threads
        self._condition = threading.Condition()
        self._lanes = {priority: _Lane() for priority in Priority}
        self._owed_s = 0.0
        self._idle = 0
        self._running_s = 0.0
        self._closed = False

    def put(self, entries: Iterable[Entry], *, now: float) -> None:
        """Add texts and wake as many workers as there are texts."""
        with self._condition:
            added = 0
            for entry in entries:
                entry.put_at = now
                entry.cost_s = entry.model.cost_s(entry.length)
                entry.queued = True
                self._lanes[entry.priority].add(entry)
                added += 1
            self._condition.notify(added)

    def remove(self, entry: Entry) -> bool:
        """Take out a text that nobody waits for any more; false when a worker has it already."""
        with self._condition:
            if not entry.queued:
                return False
            entry.queued = False
            self._lanes[entry.priority].remove(entry, served=False)
            return True

    def join(self, entry: Entry, *, priority: Priority, charge_to: str, deadline: float) -> None:
        """A further caller waits for the same text: it is kept as long, and goes as early, as either of them wants."""
        with self._condition:
            if entry.queued and priority < entry.priority:
                self._lanes[entry.priority].remove(entry, served=False)
                entry.priority, entry.charge_to = priority, charge_to
                self._lanes[priority].add(entry)
            entry.deadline = max(entry.deadline, deadline)

    def take(self, *, wait: bool = True) -> list[Entry] | None:
        """The next batch, all of one model; blocks while there is none.

        Returns:
            Texts, the head first; empty when nothing waits and ``wait`` is false; ``None`` once the queue is closed.
            Texts past their deadline come too: the caller settles them without running them.
        """
        with self._condition:
            self._idle += 1
            try:
                while not self._closed:
                    head = self._head()
                    if head is not None:
                        return self._batch(head)
                    if not wait:
                        return []
                    self._condition.wait()
                return None
            finally:
                self._idle -= 1

    def done(self, cost_s: float) -> None:
        """A batch that was taken has run."""
        with self._condition:
            self._running_s = max(0.0, self._running_s - cost_s)

    def wait_s(self, *, priority: Priority, charge_to: str) -> float:
        """Estimated seconds until a text that came now would be started.

        Under fair sharing an account waits for its own queue and, of every other account, for no more than that.
        """
        with self._condition:
            lane = self._lanes[Priority.INTERACTIVE]
            waiting = self._fair_s(lane, charge_to)
            if priority is Priority.BACKGROUND:
                waiting = sum(account.queued_s for account in lane.accounts.values())
                waiting += self._fair_s(self._lanes[Priority.BACKGROUND], charge_to)
            elif waiting and self._lanes[Priority.BACKGROUND].count:
                waiting /= 1.0 - BACKGROUND_SHARE
            # A batch that runs is on average half done.
            return max(0.0, waiting + (self._running_s / 2 if not self._idle else 0.0)) / self.threads

    def tokens(self, priority: Priority) -> int:
        """Queued tokens of one priority."""
        return self._lanes[priority].tokens

    def count(self) -> int:
        """Queued texts."""
        return sum(lane.count for lane in self._lanes.values())

    def close(self) -> list[Entry]:
        """Refuse to give out more; returns the texts that were still waiting."""
        with self._condition:
            self._closed = True
            left = [
                entry
                for lane in self._lanes.values()
                for account in lane.accounts.values()
                for entry in account.entries.values()
            ]
            for entry in left:
                entry.queued = False
            self._lanes = {priority: _Lane() for priority in Priority}
            self._condition.notify_all()
            return left

    @staticmethod
    def _fair_s(lane: _Lane, charge_to: str) -> float:
        own = lane.accounts.get(charge_to)
        own_s = own.queued_s if own is not None else 0.0
        if own is None:
            # A newcomer starts with the account that has had least: it waits for one text of each other at most.
            return sum(next(iter(one.entries.values())).cost_s for one in lane.accounts.values())
        return own_s + sum(min(one.queued_s, own_s) for one in lane.accounts.values() if one is not own)

    def _head(self) -> Entry | None:
        interactive = self._lanes[Priority.INTERACTIVE].head()
        background = self._lanes[Priority.BACKGROUND].head()
        if interactive is None or background is None:
            self._owed_s = 0.0
            return interactive or background
        return background if self._owed_s >= background.cost_s else interactive

    def _batch(self, head: Entry) -> list[Entry]:
        """The head and its nearest in length within the budget, shared with the other free workers."""
        model = head.model
        limit = model.budget_tokens
        waiting = sum(lane.tokens for lane in self._lanes.values())
        if self._idle > 1:
            limit = min(limit, math.ceil(waiting / self._idle))
        contended = all(lane.count for lane in self._lanes.values())
        batch = [head]
        width = self._take_out(head)
        lanes = [self._lanes[head.priority], *(lane for p, lane in self._lanes.items() if p is not head.priority)]
        for lane in lanes:
            while (lengths := lane.models.get(model)) is not None:
                near = lengths.nearest(head.length)
                if near is None or not model.joins(len(batch), width, near.length, limit):
                    break
                width = max(width, self._take_out(near))
                batch.append(near)
        cost_s = sum(entry.cost_s for entry in batch)
        self._running_s += cost_s
        if contended:
            background_s = sum(entry.cost_s for entry in batch if entry.priority is Priority.BACKGROUND)
            self._owed_s += (cost_s - background_s) * BACKGROUND_SHARE / (1.0 - BACKGROUND_SHARE) - background_s
        return batch

    def _take_out(self, entry: Entry) -> int:
        entry.queued = False
        self._lanes[entry.priority].remove(entry, served=True)
        return entry.length
