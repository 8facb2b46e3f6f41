"""Runs one job that only the leader may run and prints a line at each round, until it is killed."""

from __future__ import annotations

import asyncio
import os
import sys

from parlance.jobs.supervisor import Supervisor
from parlance.plugins.items import Job
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database


async def main(url: str) -> None:
    supervisor = Supervisor(Database.open(DatabaseSettings(url=url)))

    async def work() -> None:
        print("round", flush=True)

    supervisor.add("shop", Job("only", work, every_s=0.01, scope="one"))
    await supervisor.start()
    await asyncio.to_thread(sys.stdin.read)  # ends when the test does, however that ends
    os._exit(1)


asyncio.run(main(sys.argv[1]))
