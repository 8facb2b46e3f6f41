"""The in-process engine at a concurrency, in a process of its own.

``python tests/bench/served.py ARTEFACT.json TEXTS.json RUNNER CONCURRENCY SECONDS CACHE`` prints one JSON line.
CPU outside the model is the process's CPU time less that of the forward passes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from parlance.engine.engine import LocalEngine
from parlance.models.artefact import Artefact
from parlance.observe.metrics import Metrics
from parlance.runners import default_runners
from parlance.settings import EngineSettings, ModelSettings
from parlance.tasks.options import CallOptions


class _One:
    """A registry of one model."""

    def __init__(self, artefact: Artefact) -> None:
        self._artefact = artefact

    def resolve(self, name: str, *, verify: bool = True) -> Artefact:
        return self._artefact

    def names(self) -> list[str]:
        return []

    def changed(self) -> bool:
        return False


async def main() -> None:
    artefact = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Artefact)
    texts = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    runner, concurrency, seconds, cache = sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
    engine = LocalEngine(
        _One(artefact),
        settings=EngineSettings(runner=runner, cache_mb=0),
        model_settings=ModelSettings(cache=cache),
        runners=default_runners(),
        metrics=Metrics(CollectorRegistry(), "core"),
    )
    await engine.start()
    await engine.load("model")
    served = engine._pool.ready("model")
    model_cpu = [0.0]
    if runner == "onnxruntime":  # computes on the calling thread, so that thread's clock is the model's
        inner = served.runner.run

        def timed(inputs):
            started = time.thread_time()
            output = inner(inputs)
            model_cpu[0] += time.thread_time() - started
            return output

        served.runner.run = timed
    options = CallOptions(deadline_s=60.0)
    latencies: list[float] = []
    until = time.perf_counter() + 1.0
    position = 0

    async def caller() -> None:
        nonlocal position
        while time.perf_counter() < until:
            text = texts[position % len(texts)]
            position += 1
            started = time.perf_counter()
            await engine.embed([text], model="model", options=options)
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(caller() for _ in range(concurrency)))  # warm
    latencies.clear()
    model_cpu[0] = 0.0
    cpu, started = time.process_time(), time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    p50, p99 = np.percentile(latencies, [50, 99])
    result = {"texts": len(latencies), "wall_s": wall, "cpu_s": cpu, "p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3}
    result["runner"] = f"{served.runner.name} {served.runner.precision}"
    if model_cpu[0]:
        result["outside_ms"] = (cpu - model_cpu[0]) / len(latencies) * 1e3
    print(json.dumps(result))
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
