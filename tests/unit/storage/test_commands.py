"""``parlance db`` and ``parlance outbox`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(tmp_path: Path):
    def call(*arguments: str) -> tuple[int, str, str]:
        environment = {
            "PYTHONPATH": f"{ROOT}/core:{ROOT}/plugins",
            "PARLANCE_DATABASE__URL": f"sqlite:///{tmp_path}/x.sqlite",
            "PATH": "/usr/bin:/bin",
        }
        code = "import sys; from parlance.cli.main import main; main(sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

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


def test_a_corrupt_database_is_one_line_and_exit_1(run, tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database" * 100)
    status, _, err = run("db", "migrate")
    assert status == 1
    assert "[database_corrupt]" in err
    assert err.count("\n") == 1
