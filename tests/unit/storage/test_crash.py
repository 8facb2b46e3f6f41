"""kill -9 in the middle of writes and deliveries loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from parlance.clock import ManualClock
from parlance.http.client import HttpClient
from parlance.settings import HttpClientSettings
from parlance.storage.database import Database
from parlance.storage.delivery import Delivery
from parlance.storage.events import EventLog
from parlance.storage.outbox import Outbox
from servers import Receiver

CHILD = Path(__file__).with_name("crash_child.py")


async def test_kill_9_loses_nothing_acknowledged(database: Database, database_settings, receiver: Receiver) -> None:
    """Three kills at random moments; every acknowledged row is there, with its message, and every message arrives."""
    dice = random.Random(20261123)
    acknowledged: list[tuple[str, int, str]] = []
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CHILD),
            database_settings.url,
            receiver.url,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(CHILD.parents[3] / "core")},
        )
        lines = [await child.stdout.readline() for _ in range(dice.randint(5, 40))]
        child.kill()
        rest = (await child.stdout.read()).splitlines()
        assert await child.wait() == -9
        for line in [*lines, *rest]:
            parts = line.decode().split()
            if len(parts) == 3 and len(parts[2]) == 36:
                acknowledged.append((parts[0], int(parts[1]), parts[2]))
    assert len(acknowledged) > 30
    log = EventLog(database)
    events = [e for topic in "ab" for e in await log.read(topic=topic, limit=100_000)]
    found = {(e.topic, e.id, e.body["message"]) for e in events}
    assert set(acknowledged) <= found
    clock = ManualClock(datetime.now(UTC) + timedelta(hours=2))
    http = HttpClient(HttpClientSettings(allow_private=True))
    box = Outbox(database, clock=clock)
    await Delivery(box, http).flush()
    await http.close()
    assert {m.status for m in await box.list_messages(limit=100_000)} == {"delivered"}
    received = {r.headers["webhook-id"] for r in receiver.requests}
    assert received == {message for _, _, message in found}
    if database.dialect == "sqlite":
        async with database.read() as connection:
            assert await connection.scalar(text("PRAGMA integrity_check")) == "ok"
