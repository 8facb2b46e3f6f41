"""One turn at a time per conversation, within a process: the next begins as soon as the one before has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parlance.errors import Conflict

__all__ = ["Turns"]


class Turns:
    """Locks by conversation, kept only while somebody holds or awaits them; first come, first served."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, conversation_id: str) -> AsyncIterator[None]:
        """Wait for the turns before, then have the conversation for oneself.

        Raises:
            Conflict: earlier turns took too long (``conversation_busy``).
        """
        lock, users = self._locks.get(conversation_id, (asyncio.Lock(), 0))
        self._locks[conversation_id] = (lock, users + 1)
        try:
            await self._acquire(lock, conversation_id)
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks[conversation_id]
            if users == 1:
                del self._locks[conversation_id]
            else:
                self._locks[conversation_id] = (lock, users - 1)

    async def _acquire(self, lock: asyncio.Lock, conversation_id: str) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await lock.acquire()
        except TimeoutError as error:
            raise Conflict(
                f"Earlier messages of conversation '{conversation_id}' took longer than {self._wait_s} s.",
                hint="Send the message again, with the same message_id.",
                code="conversation_busy",
                retry_after_s=1.0,
            ) from error
