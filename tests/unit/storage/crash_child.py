"""Writes rows with outbox messages and delivers them until it is killed; prints an id only after its commit."""

from __future__ import annotations

import asyncio
import sys

from parlance.http.client import HttpClient
from parlance.settings import DatabaseSettings, HttpClientSettings
from parlance.storage.database import Database
from parlance.storage.delivery import Delivery
from parlance.storage.events import EventLog
from parlance.storage.outbox import Outbox


async def main(url: str, receiver: str) -> None:
    database = Database.open(DatabaseSettings(url=url))
    log, box = EventLog(database), Outbox(database)
    delivery = Delivery(box, HttpClient(HttpClientSettings(allow_private=True)))

    async def write(topic: str) -> None:
        while True:
            async with database.transaction() as connection:
                (message,) = await box.put(connection, kind="k", body={"topic": topic}, url=receiver)
                event = await log.append(connection, topic=topic, kind="k", body={"message": message})
            print(topic, event, message, flush=True)

    async def deliver() -> None:
        while True:
            await delivery.run()

    await asyncio.gather(write("a"), write("b"), deliver())


asyncio.run(main(*sys.argv[1:]))
