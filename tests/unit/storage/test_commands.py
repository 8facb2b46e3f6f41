"""``parlance db`` and ``parlance outbox`` as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from parlance.cli.main import main
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database
from parlance.storage.outbox import Outbox
from parlance.storage.tables import webhooks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLANCE_DATABASE__URL", f"sqlite:///{tmp_path}/x.sqlite")

    def call(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


def test_status_and_migrate(run, tmp_path: Path) -> None:
    status, out, _ = run("db", "status")
    assert status == 1
    assert "not there yet" in out
    assert not (tmp_path / "x.sqlite").exists()
    status, out, err = run("db", "migrate")
    assert (status, err) == (0, "")
    assert "core: applied 0001" in out
    assert "nothing to do" in run("db", "migrate")[1]
    status, out, _ = run("db", "status", "--json")
    assert status == 0
    assert json.loads(out)["current"] is True


def test_webhooks_are_added_listed_and_removed(run) -> None:
    run("db", "migrate")
    status, out, err = run("outbox", "webhooks", "add", "desk", "https://example.org/in", "--kind", "alert.*")
    assert (status, err) == (0, "")
    assert "whsec_" in out
    listed = run("outbox", "webhooks", "list", "--json")[1]
    assert json.loads(listed)[0]["kinds"] == ["alert.*"]
    assert "whsec_" not in listed
    assert run("outbox", "messages", "--json")[1] == "[]\n"
    assert run("outbox", "webhooks", "remove", "desk")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("outbox", "webhooks", "add", "desk", "ftp://x"), "no URL to deliver to"),
        (("outbox", "webhooks", "remove", "nobody"), "no webhook named 'nobody'"),
        (("outbox", "attempts", "msg_x"), "no message 'msg_x'"),
        (("outbox", "redeliver", "msg_x"), "no message 'msg_x'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run, arguments, message) -> None:
    run("db", "migrate")
    status, _, err = run(*arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_corrupt_database_is_one_line_and_exit_1(tmp_path: Path) -> None:
    """As a program of its own."""
    (tmp_path / "x.sqlite").write_bytes(b"not a database" * 100)
    environment = {
        "PYTHONPATH": f"{ROOT}/core:{ROOT}/plugins",
        "PARLANCE_DATABASE__URL": f"sqlite:///{tmp_path}/x.sqlite",
        "PATH": "/usr/bin:/bin",
    }
    code = "import sys; from parlance.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "db", "migrate"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "[database_corrupt]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dead_letter_is_shown_and_sent_again(run) -> None:
    run("db", "migrate")
    message_id = asyncio.run(_dead_letter())
    status, out, _ = run("outbox", "messages", "--status", "dead")
    assert status == 0
    assert message_id in out
    assert "the endpoint is disabled" in out
    assert run("outbox", "attempts", message_id) == (0, "", "")
    assert run("outbox", "webhooks", "enable", "desk")[0] == 0
    assert run("outbox", "redeliver", message_id) == (0, f"{message_id}: will be sent again\n", "")
    (message,) = json.loads(run("outbox", "messages", "--status", "pending", "--json")[1])
    assert (message["id"], message["webhook"]) == (message_id, "desk")


async def _dead_letter() -> str:
    """A message to an endpoint that answered 410 earlier."""
    database = Database.open(DatabaseSettings(url=os.environ["PARLANCE_DATABASE__URL"]))
    box = Outbox(database)
    await box.add_webhook(name="desk", url="https://example.org/in")
    async with database.transaction() as connection:
        await connection.execute(update(webhooks).values(disabled_at=datetime.now(UTC), disabled_reason="410"))
    async with database.transaction() as connection:
        (message_id,) = await box.put(connection, kind="alert.raised", body={"text": "利润下降"}, webhook="desk")
    await database.close()
    return message_id
