"""The change counter: one number that grows with every change, in the order of the commits."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance_recommend.tables import state

__all__ = ["State", "count_erasure", "next_revision", "read_state", "set_version"]


class State(NamedTuple):
    """What another process must compare to know whether it is up to date."""

    revision: int
    erasures: int
    version: str


async def next_revision(connection: AsyncConnection) -> int:
    """Take the next number. The row stays locked until the commit, so numbers become visible in their order."""
    statement = update(state).where(state.c.name == "revision").values(number=state.c.number + 1)
    return int((await connection.execute(statement.returning(state.c.number))).scalar_one())


async def count_erasure(connection: AsyncConnection) -> None:
    """Tell all processes to forget what they counted."""
    await connection.execute(update(state).where(state.c.name == "erasures").values(number=state.c.number + 1))


async def set_version(connection: AsyncConnection, version: str) -> None:
    """Record the model version whose vectors are in use."""
    await connection.execute(update(state).where(state.c.name == "version").values(text=version))


async def read_state(connection: AsyncConnection) -> State:
    """The present state."""
    rows = {row.name: row for row in await connection.execute(select(state))}
    return State(int(rows["revision"].number), int(rows["erasures"].number), str(rows["version"].text))
