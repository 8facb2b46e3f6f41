"""Connections that end early, never end by themselves, or carry too much, against a real server process."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable

import pytest

from processes import Server

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("e2e")]

PROGRAMS = pytest.mark.parametrize("program", ["granian", "uvicorn"])


def metric(server: Server, name: str) -> float:
    """A number of /metrics, summed over its labels."""
    body = server.request("GET", "/metrics").body.decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", body, flags=re.MULTILINE))


def until(condition: Callable[[], bool], *, what: str, seconds: float = 30.0) -> None:
    """Ask a foreign process again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)  # polling a foreign process: there is no event to wait for


def send(server: Server, head: str, body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(f"{head}\r\nhost: 127.0.0.1\r\n".encode() + b"\r\n" + body)
    return connection


@PROGRAMS
def test_work_of_a_caller_that_hung_up_is_dropped(own_server: Server, program: str) -> None:
    """A client that goes away in the middle of a big request leaves no work behind: what waits is not computed."""
    own_server.arguments = ("--server", program)
    own_server.start()
    texts = [
        f"Sentence {number}: " + f"the board of company {number} met today and said so. " * 20 for number in range(256)
    ]
    body = json.dumps({"model": "embed-multi", "input": texts}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    with send(own_server, head, body):
        until(lambda: metric(own_server, "parlance_engine_queue_tokens") > 10_000, what="nothing was queued")
        assert metric(own_server, "parlance_http_inflight_requests") == 1.0
    until(lambda: metric(own_server, "parlance_engine_queue_tokens") == 0.0, what="the queue was not emptied")
    until(lambda: metric(own_server, "parlance_http_inflight_requests") == 0.0, what="the request did not end")
    computed = metric(own_server, "parlance_engine_texts_total")
    assert computed < len(texts) / 2, f"{computed} of {len(texts)} texts were computed for nobody"
    assert metric(own_server, "parlance_engine_dropped_total") > len(texts) / 2
    answer = own_server.request("POST", "/v1/embeddings", {"model": "embed-multi", "input": "Are you there?"})
    assert answer.status == 200
    assert own_server.stop() == 0, own_server.log


@PROGRAMS
def test_an_open_event_stream_does_not_hold_the_stop(own_server: Server, program: str) -> None:
    """A follower of alerts gets what happens, and a proper end of its stream when the server stops."""
    own_server.arguments = ("--server", program)
    own_server.start()
    rule = {"name": "one", "keys": ["company:*"], "window": "1d", "min_documents": 1, "negative_share": 0.5}
    assert own_server.request("POST", "/sentiment/rules", rule).status == 201
    with send(own_server, "GET /sentiment/alerts/stream?after=0 HTTP/1.1\r\naccept: text/event-stream") as connection:
        seen = connection.recv(65536)
        assert seen.startswith(b"HTTP/1.1 200")
        document = {"text": "The company reports a huge loss and its shares plunge.", "companies": ["Stream & Co"]}
        assert own_server.request("POST", "/sentiment/documents", document).status == 200
        while b"alert.firing" not in seen:
            seen += connection.recv(65536)
        started = time.monotonic()
        status = own_server.stop()
        took = time.monotonic() - started
        rest = b""
        while part := connection.recv(65536):
            rest += part
    assert status == 0, own_server.log
    assert took < 10, f"the stop took {took:.1f} s"
    assert (seen + rest).endswith(b"0\r\n\r\n"), "the stream was cut off, not ended"


def test_a_body_over_the_limit_is_a_problem_document(server: Server) -> None:
    """4 MB and a byte is refused by its Content-Length, and the server goes on."""
    head = "POST /v1/embeddings HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 4000001"
    with send(server, head) as connection:
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413"), answer
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["limit"]) == ("body_too_large", 4_000_000)
    assert server.request("GET", "/health/live").status == 200
