"""A real server in a process of its own, on a free port, with the real models and the demonstration data."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import Server, free_port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as ``make serve`` runs it, shared by the tests that only ask."""
    server = Server(tmp_path_factory.mktemp("server"), free_port()).start()
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may stop, kill and start again; not started yet."""
    server = Server(tmp_path, free_port())
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop(signal.SIGKILL)
