"""Says that it is ready, waits for a line, migrates, and prints whose migrations it applied."""

from __future__ import annotations

import asyncio
import json
import sys

from parlance.plugins.items import Tables
from parlance.settings import DatabaseSettings
from parlance.storage import alembic_runner  # noqa: F401  # imported before the start, so that all start at once
from parlance.storage.database import Database
from parlance.storage.migrations import CORE_FOLDER, migrate
from parlance.storage.tables import metadata


async def main(url: str) -> None:
    database = Database.open(DatabaseSettings(url=url))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    done = await migrate(database, [("core", Tables(metadata, CORE_FOLDER))])
    print(json.dumps([one.owner for one in done]))
    await database.close()


asyncio.run(main(sys.argv[1]))
