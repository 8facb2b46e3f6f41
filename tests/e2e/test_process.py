"""The server as a process: starting, refusing to start, stopping, and dying at the worst moment."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from processes import Server

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("e2e")]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parlance", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def test_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    """A taken port ends the start with exit status 2 and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("serve", "--no-build", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "[port_in_use]" in done.stderr


def test_public_address_needs_keys(tmp_path: Path) -> None:
    """The server refuses to listen elsewhere than on loopback while there is no API key."""
    done = run("serve", "--no-build", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "keys create" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1\n", "Did you mean 'port'?"),
        ("[servr]\nport = 1\n", "servr"),
        ("[server]\nport = 'x'\n", "server.port"),
        ("[server\n", "not valid TOML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, expected: str) -> None:
    """A misspelt section or key, a bad value and broken TOML each give one line with file and key, exit status 2."""
    (tmp_path / "parlance.toml").write_text(text, encoding="utf-8")
    done = run("serve", "--no-build", cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "parlance.toml" in done.stderr or expected == "servr"


def test_acknowledged_documents_survive_kill_9(own_server: Server) -> None:
    """Killing the server while documents stream in loses none that was acknowledged."""
    own_server.start()
    acknowledged: list[str] = []
    enough = threading.Event()

    def write() -> None:
        for number in range(1000):
            body = {"id": f"kill-{number}", "text": f"Company {number} reports a loss of {number} million."}
            try:
                answer = own_server.request("POST", "/sentiment/documents", body)
            except OSError:
                return
            if answer.status != 200:
                return
            acknowledged.append(f"kill-{number}")
            if number == 20:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(timeout=60)
    own_server.stop(signal.SIGKILL)
    writer.join(timeout=60)
    own_server.start()
    lost = [name for name in acknowledged if own_server.request("GET", f"/sentiment/documents/{name}").status != 200]
    assert len(acknowledged) > 20
    assert lost == []
    assert own_server.stop() == 0


@pytest.mark.parametrize("program", ["granian", "uvicorn"])
def test_requests_under_way_are_finished_at_the_stop(own_server: Server, program: str) -> None:
    """SIGTERM lets a running request finish, then the server ends with status 0."""
    own_server.arguments = ("--server", program)
    own_server.start()
    texts = [f"Sentence number {number} about the weather and the markets today." for number in range(64)]
    answers: list[int] = []
    sending = threading.Event()

    def ask() -> None:
        sending.set()
        answers.append(own_server.request("POST", "/v1/embeddings", {"model": "embed-multi", "input": texts}).status)

    caller = threading.Thread(target=ask)
    caller.start()
    assert sending.wait(timeout=10)
    while b"inflight_requests 1.0" not in own_server.request("GET", "/metrics").body.replace(b"parlance_http_", b""):
        if answers:
            break
    status = own_server.stop()
    caller.join(timeout=60)
    assert status == 0, own_server.log
    assert answers == [200]


@pytest.mark.parametrize("program", ["granian", "uvicorn"])
def test_an_open_event_stream_does_not_hold_up_the_stop(own_server: Server, program: str) -> None:
    """At SIGTERM a follower of the alerts gets the proper end of the stream, and the server ends with status 0."""
    own_server.arguments = ("--server", program)
    own_server.start()
    with closing(http.client.HTTPConnection("127.0.0.1", own_server.port, timeout=60)) as follower:
        follower.request("GET", "/sentiment/alerts/stream")
        with follower.getresponse() as stream:
            first = stream.readline()
            status = own_server.stop()
            stream.read()  # raises IncompleteRead where the connection was only cut
    assert first.rstrip() == b": following sentiment.alerts"
    assert status == 0, own_server.log
