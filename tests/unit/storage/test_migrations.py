"""Migrations per owner: applied once, wholly or not at all, never by an older version."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect, text

from parlance.errors import PluginError, StorageError
from parlance.plugins.items import Tables
from parlance.storage.database import Database
from parlance.storage.migrations import migrate, status

CORE = str(Path(__file__).parents[3] / "core")
FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("shop_a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
    op.create_table("shop_b", sa.Column("a", sa.Integer, sa.ForeignKey("shop_a.id", ondelete="CASCADE")))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision: str = "0002"
down_revision: str | None = "0001"
def upgrade():
    with op.batch_alter_table("shop_a") as batch:
        batch.alter_column("n", existing_type=sa.Integer(), nullable=False)
"""
FAILING = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.create_table("shop_c", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO shop_missing VALUES (1)")
"""


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, Tables]:
    folder = tmp_path / "50% migrations"
    folder.mkdir()
    (folder / "0001_first.py").write_text(FIRST)
    return "shop", Tables(MetaData(), folder)


@pytest.fixture
async def empty(database_settings):
    database = Database.open(database_settings)
    yield database
    await database.close()


async def names(database: Database) -> set[str]:
    async with database.read() as connection:
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))


async def test_missing_revisions_are_applied_once(empty: Database, shop, core_tables) -> None:
    owners = [core_tables, shop]
    assert [s.state for s in await status(empty, owners)] == ["pending", "pending"]
    assert [one.owner for one in await migrate(empty, owners)] == ["core", "shop"]
    assert {"core_events", "shop_a", "shop_migrations", "core_migrations"} <= await names(empty)
    assert await migrate(empty, owners) == []
    (shop[1].migrations / "0002_second.py").write_text(SECOND)
    assert [s.pending for s in await status(empty, [shop])] == [("0002",)]
    assert [one.applied for one in await migrate(empty, owners)] == [("0002",)]


async def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(empty: Database, shop) -> None:
    await migrate(empty, [shop])
    async with empty.transaction() as connection:
        await connection.execute(text("INSERT INTO shop_a VALUES (1, 1)"))
        await connection.execute(text("INSERT INTO shop_b VALUES (1)"))
    (shop[1].migrations / "0002_second.py").write_text(SECOND)
    await migrate(empty, [shop])
    async with empty.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM shop_b")) == 1


async def test_a_failing_migration_changes_nothing_and_names_its_owner(empty: Database, shop) -> None:
    await migrate(empty, [shop])
    (shop[1].migrations / "0002_bad.py").write_text(FAILING)
    with pytest.raises(PluginError, match="'shop' failed and was rolled back") as caught:
        await migrate(empty, [shop])
    assert caught.value.code == "migration_failed"
    assert "shop_c" not in await names(empty)
    assert [s.revision for s in await status(empty, [shop])] == ["0001"]


async def test_an_older_version_refuses_a_newer_database_and_changes_nothing(
    empty: Database, shop, core_tables
) -> None:
    (shop[1].migrations / "0002_second.py").write_text(SECOND)
    await migrate(empty, [shop])
    (shop[1].migrations / "0002_second.py").unlink()
    with pytest.raises(StorageError, match="'shop' is at 0002, this version knows up to 0001") as caught:
        await migrate(empty, [core_tables, shop])
    assert caught.value.code == "database_newer"
    assert "core_events" not in await names(empty)


async def test_of_three_processes_that_start_at_once_one_migrates(database_settings, core_tables) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("migrating_child.py")),
            database_settings.url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": CORE},
        )
        for _ in range(3)
    ]
    for child in children:
        assert await child.stdout.readline() == b"ready\n"
    done = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    assert [child.returncode for child in children] == [0, 0, 0]
    assert sorted(json.loads(out) for out, _ in done) == [[], [], ["core"]]
    database = Database.open(database_settings)
    assert [one.state for one in await status(database, [core_tables])] == ["current"]
    await database.close()


async def test_several_databases_of_one_process_may_be_migrated_at_once(database_settings, core_tables, shop) -> None:
    databases = [Database.open(database_settings) for _ in range(4)]
    done = await asyncio.gather(*(migrate(one, [core_tables, shop]) for one in databases))
    assert sorted(one.owner for migrated in done for one in migrated) == ["core", "shop"]
    for one in databases:
        await one.close()


async def test_the_core_tables_are_what_the_migrations_make(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    import parlance.search.tables  # noqa: F401
    from parlance.storage.tables import metadata

    def differences(connection):
        options = {"include_name": lambda name, kind, _: kind != "table" or not name.endswith("_migrations")}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not one line"),
        ({"0001.py": "revision = 1"}, "is no revision"),
        ({"0001.py": "def"}, "is no revision"),
        ({"0001.py": 'revision = "1"'}, "is no revision"),
        ({"a.py": FIRST, "b.py": FIRST.replace("0001", "0002")}, "Two revisions"),
        ({"b.py": SECOND}, "not one line"),
    ],
)
async def test_a_folder_that_is_no_line_of_revisions_is_refused(tmp_path, new_sqlite, files, message) -> None:
    from parlance.settings import DatabaseSettings

    folder = tmp_path / "m"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    with pytest.raises(PluginError, match=message):
        await status(Database.open(DatabaseSettings(url=new_sqlite())), [("shop", Tables(MetaData(), folder))])


def test_a_start_with_nothing_to_migrate_does_not_import_alembic() -> None:
    code = "import sys, parlance.storage.migrations; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": CORE}, check=False).returncode == 0
