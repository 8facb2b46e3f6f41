"""Transactions, reads and errors of the database, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from parlance.errors import ConfigError, Conflict, ParlanceError, StorageError, ValidationFailed
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database
from parlance.storage.failures import translate
from parlance.storage.tables import events, leases
from parlance.storage.upsert import insert_or_ignore, upsert
from servers import PostgreSQL

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def row(name: str = "a", fence: int = 1) -> dict[str, object]:
    return {"name": name, "holder": "谁", "fence": fence, "expires_at": NOW}


async def number(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(leases)) or 0


async def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row()])
            raise KeyError
    assert await number(database) == 0


async def test_a_cancelled_block_writes_nothing_and_frees_the_writer(database: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row()])
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await number(database) == 0
    async with database.transaction() as connection:
        await connection.execute(insert(leases), [row()])
    assert await number(database) == 1


async def test_concurrent_writers_all_commit(database: Database) -> None:
    async def write(n: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row(f"n{n}")])

    await asyncio.gather(*(write(n) for n in range(40)))
    assert await number(database) == 40


async def test_readers_see_a_snapshot_and_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(leases), [row()])
        task = asyncio.create_task(number(database))
        assert await task == 0
    assert await number(database) == 1


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(StorageError) as caught:
        async with database.read() as connection:
            await connection.execute(insert(leases), [row()])
    assert caught.value.code == "database_read_only"


async def test_a_transaction_in_a_transaction_is_named_as_a_mistake(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="pass its connection"):
            async with database.transaction():
                pass


async def test_callbacks_run_after_the_commit_and_only_then(database: Database) -> None:
    called: list[str] = []
    with pytest.raises(KeyError):
        async with database.transaction() as connection:
            database.after_commit(connection, lambda: called.append("rolled back"))
            raise KeyError
    async with database.transaction() as connection:
        database.after_commit(connection, lambda: called.append("committed"))
        assert not called
    assert called == ["committed"]
    with pytest.raises(RuntimeError, match="open transaction"):
        database.after_commit(connection, lambda: None)


async def test_a_commit_that_is_under_way_cannot_be_broken_off(database: Database) -> None:
    """Its outcome would be unknown, and what waits for the commit (a search index, say) would miss it."""
    called: list[str] = []

    async def write() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row()])
            database.after_commit(connection, lambda: called.append("committed"))

    task = asyncio.create_task(write())
    event.listen(database._writer.sync_engine, "commit", lambda _: task.cancel(), once=True)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert called == ["committed"]
    assert await number(database) == 1


async def test_times_come_back_in_utc_with_microseconds(database: Database) -> None:
    shanghai = NOW.astimezone(timezone(timedelta(hours=8)))
    async with database.transaction() as connection:
        await connection.execute(insert(leases), [row() | {"expires_at": shanghai}])
        found = await connection.scalar(select(leases.c.expires_at))
    assert found == NOW
    assert found.tzinfo is UTC


async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(ParlanceError, match="no time zone"):
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row() | {"expires_at": NOW.replace(tzinfo=None)}])


async def test_a_violated_key_is_a_conflict(database: Database) -> None:
    with pytest.raises(Conflict) as caught:
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row()])
            await connection.execute(insert(leases), [row()])
    assert caught.value.code == "row_conflict"
    assert await number(database) == 0


async def test_a_lone_surrogate_is_refused_with_a_clear_error(database: Database) -> None:
    with pytest.raises(ValidationFailed):
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row("half \ud83d")])
    with pytest.raises(ValidationFailed):
        async with database.transaction() as connection:
            body = {"t": "half \ud83d"}
            await connection.execute(insert(events).values(topic="t", kind="k", key="", body=body, at=NOW))


async def test_nul_is_stored_or_refused_with_a_clear_error(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(leases), [row("a\0b")])

    if database.dialect == "sqlite":
        await write()
        async with database.read() as connection:
            assert await connection.scalar(select(leases.c.name)) == "a\0b"
        return
    with pytest.raises(ValidationFailed, match="NUL") as caught:
        await write()
    assert caught.value.code == "text_not_storable"
    assert await number(database) == 0


async def test_upsert_and_ignore_work_with_values_and_with_many_rows(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert_or_ignore(leases, [row("a", 1), row("b", 1)], key=["name"]))
        await connection.execute(insert_or_ignore(leases, [row("a", 2)], key=["name"]))
        await connection.execute(insert_or_ignore(leases, key=["name"]), [row(f"n{n}") for n in range(2000)])
        await connection.execute(upsert(leases, [row("b", 5)], key=["name"], update=["fence"]))
        await connection.execute(upsert(leases, key=["name"], update=["fence"]), [row("n7", 8), row("n8", 9)])
        found = dict((await connection.execute(select(leases.c.name, leases.c.fence))).all())
    assert len(found) == 2002
    assert [found[name] for name in ("a", "b", "n7", "n8")] == [1, 5, 8, 9]


async def test_a_locked_sqlite_file_is_reported_and_nothing_is_written(tmp_path) -> None:
    file = tmp_path / "a.sqlite"
    database = Database.open(DatabaseSettings(url=f"sqlite:///{file}", lock_timeout_s=0.2))
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER)"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
    assert caught.value.code == "database_locked"
    other.execute("ROLLBACK")
    other.close()
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO t VALUES (2)"))
    async with database.read() as connection:
        assert (await connection.scalars(text("SELECT x FROM t"))).all() == [2]
    await database.close()


async def test_a_long_write_in_this_process_locks_others_out_for_the_timeout_only(new_sqlite) -> None:
    database = Database.open(DatabaseSettings(url=new_sqlite(), lock_timeout_s=0.1))
    async with database.transaction():
        other = asyncio.create_task(_write(database))
        with pytest.raises(StorageError) as caught:
            await other
    assert caught.value.code == "database_locked"
    await database.close()


async def _write(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(leases), [row()])


async def test_a_row_lock_on_postgresql_is_waited_for_only_so_long(postgresql: PostgreSQL, core_tables) -> None:
    from parlance.storage.migrations import migrate

    database = Database.open(DatabaseSettings(url=postgresql.create("rowlock"), lock_timeout_s=0.3))
    await migrate(database, [core_tables])
    async with database.transaction() as connection:
        await connection.execute(insert(leases), [row()])
        other = asyncio.create_task(_write(database))
        with pytest.raises(StorageError) as caught:
            await other
    assert caught.value.code == "database_locked"
    await database.close()


@pytest.mark.parametrize("content", [b"this is no database " * 200, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_corrupt_file_is_reported(tmp_path, content: bytes) -> None:
    file = tmp_path / "a.sqlite"
    file.write_bytes(content)
    database = Database.open(DatabaseSettings(url=f"sqlite:///{file}"))
    with pytest.raises(StorageError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert caught.value.code == "database_corrupt"
    assert file.read_bytes() == content
    await database.close()


async def test_a_folder_that_cannot_be_made_is_reported(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    database = Database.open(DatabaseSettings(url=f"sqlite:///{tmp_path}/file/b/c.sqlite"))
    with pytest.raises(StorageError) as caught:
        await database.ping()
    assert caught.value.code == "database_gone"


async def test_a_full_disk_is_reported_and_loses_nothing_that_was_committed(tmp_path) -> None:
    """In a child whose files may have 300 kB: SQLite meets a limit, a quota and a full disk in the same place."""
    script = f"""
import asyncio, resource, signal, sys
from sqlalchemy import text
from parlance.errors import StorageError
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main():
    database = Database.open(DatabaseSettings(url="sqlite:///{tmp_path}/full.sqlite"))
    async with database.transaction() as c:
        await c.execute(text("CREATE TABLE t (x INTEGER, y TEXT)"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    done = 0
    try:
        for n in range(1000):
            async with database.transaction() as c:
                await c.execute(text("INSERT INTO t VALUES (:n, :y)"), {{"n": n, "y": "x" * 10_000}})
            done += 1
    except StorageError as error:
        print(error.code, done)
    async with database.read() as c:
        print((await c.execute(text("SELECT count(*), max(x) FROM t"))).one())
    await database.close()
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "core")},
    )
    out = (await child.communicate())[0].decode().splitlines()
    code, done = out[0].split()
    assert code == "disk_full"
    assert int(done) > 5
    assert out[1] == f"({done}, {int(done) - 1})"


async def test_a_server_that_goes_away_and_comes_back_is_survived(postgresql: PostgreSQL) -> None:
    database = Database.open(DatabaseSettings(url=postgresql.create("goesaway")))
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER)"))
    postgresql.stop()
    try:
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                async with database.transaction() as connection:
                    await connection.execute(text("INSERT INTO t VALUES (1)"))
            assert caught.value.code == "database_gone"
    finally:
        postgresql.start()
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO t VALUES (2)"))
    async with database.read() as connection:
        assert (await connection.scalars(text("SELECT x FROM t"))).all() == [2]
    await database.close()


async def test_a_database_that_is_not_there_is_a_configuration_error(postgresql: PostgreSQL) -> None:
    database = Database.open(DatabaseSettings(url=postgresql.url("parlance", "nowhere")))
    with pytest.raises(ConfigError) as caught:
        await database.ping()
    assert caught.value.code == "database_refused"


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "nonsense", "sqlite://", "sqlite:///:memory:", "postgresql://h/d?foo=1", "sqlite:///a?x=1"]
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url"):
        Database.open(DatabaseSettings(url=url))


def test_a_missing_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlance.storage.location.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'parlance\[postgres\]'"):
        Database.open(DatabaseSettings(url="postgresql://u:secret@h/d"))


def test_the_password_is_never_shown() -> None:
    database = Database.open(DatabaseSettings(url="postgresql://u:secret@h/d?sslmode=require"))
    assert "secret" not in database.name
    assert database.location.connect_args == {"ssl": "require"}


def test_the_url_may_come_from_a_file(tmp_path) -> None:
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/x.sqlite\n")
    assert Database.open(DatabaseSettings(url_file=str(tmp_path / "url"))).name.endswith("x.sqlite")
    with pytest.raises(ConfigError, match="url_file"):
        Database.open(DatabaseSettings(url_file=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "disk_full"),
        ("53300", "database_busy"),
        ("40P01", "database_locked"),
        ("40001", "database_locked"),
        ("57P01", "database_gone"),
        ("XX001", "database_corrupt"),
        ("28P01", "database_refused"),
        ("42P01", "database_schema"),
        ("22021", "text_not_storable"),
        ("22003", "value_not_storable"),
    ],
)
def test_a_state_of_postgresql_has_the_code_that_says_what_to_do(state: str, code: str) -> None:
    class Answer(Exception):
        sqlstate = state

    assert translate(DBAPIError("SELECT 1", None, Answer("so")), where="db").code == code
