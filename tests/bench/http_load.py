"""A server in a process of its own, and a light client whose cost is not counted (only the server's CPU time is)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil

__all__ = ["HttpServer", "load"]

_READY_S = 120.0


class HttpServer:
    """``parlance serve`` on a free loopback port, with the embedding cache off."""

    def __init__(self, *, runner: str, model: str = "embed-en") -> None:
        self.model = model
        self.port = 0
        self._runner = runner
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        folder = Path(self._folder.name)
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2] / "core"),
            "PARLANCE_ENGINE__RUNNER": self._runner,
            "PARLANCE_ENGINE__CACHE_MB": "0",
            "PARLANCE_ENGINE__INTERACTIVE_DEADLINE_S": "60",
            "PARLANCE_DATABASE__URL": f"sqlite:///{folder / 'bench.sqlite'}",
            "PARLANCE_SERVER__PORT": str(self.port),
            "PARLANCE_PLUGINS__DISABLED": "support,sentiment,recommend",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from parlance.cli.main import main; main()", "serve", "--no-build"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + _READY_S
        while time.monotonic() < limit:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2):
                    return self
            except (OSError, urllib.error.URLError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError("parlance serve did not become ready; run it by hand to see why.")

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._folder.cleanup()

    def cpu_s(self) -> float:
        """CPU seconds of the server and its children so far."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])


def load(server: HttpServer, texts: list[str], *, concurrency: int, seconds: float) -> dict[str, Any]:
    """One text a request on keep-alive connections."""
    requests = [_request(server, text) for text in texts]

    async def run(duration: float) -> list[float]:
        latencies: list[float] = []
        position = 0
        until = time.perf_counter() + duration

        async def caller() -> None:
            nonlocal position
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            while time.perf_counter() < until:
                request = requests[position % len(requests)]
                position += 1
                started = time.perf_counter()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head.split(b"\r\n", 1)[0]:
                    raise RuntimeError(head.decode(errors="replace"))
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                latencies.append(time.perf_counter() - started)
            writer.close()

        await asyncio.gather(*(caller() for _ in range(concurrency)))
        return latencies

    asyncio.run(run(1.0))
    cpu, started = server.cpu_s(), time.perf_counter()
    latencies = asyncio.run(run(seconds))
    wall, cpu = time.perf_counter() - started, server.cpu_s() - cpu
    p50, p99 = np.percentile(latencies, [50, 99])
    return {"texts": len(latencies), "wall_s": wall, "cpu_s": cpu, "p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3}


def _request(server: HttpServer, text: str) -> bytes:
    body = json.dumps({"model": server.model, "input": text}).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
