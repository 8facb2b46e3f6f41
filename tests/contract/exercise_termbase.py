"""Runs the installed third-party plugin in a started application and prints what was seen, as JSON.

Started by ``test_thirdparty.py`` in a process of its own, with the folder of the installed distribution in its path.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litestar.testing import AsyncTestClient
from prometheus_client import CollectorRegistry

from parlance.app import build
from parlance.engine.engine import LocalEngine
from parlance.observe.metrics import Metrics
from parlance.plugins.contributions import merged
from parlance.settings import EngineSettings, ModelSettings, load_settings
from parlance.testing import FakeEngine


class OwnModelsOnly:
    """The real engine, without loading the models that the project itself loads at start."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    async def start(self) -> None:
        await self._engine.start(eager=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def exercise(work: Path) -> dict[str, Any]:
    cache = str(work / "models")
    settings = load_settings(
        flags={
            "database.url": f"sqlite:///{work / 'termbase.sqlite'}",
            "models.cache": cache,
            "plugins.disabled": ["support", "sentiment", "recommend"],
            "server.auth": "off",
            "termbase.count_every_s": 0.01,
        },
        environment={},
    )
    probe = build(settings, engine=FakeEngine())
    artefact = await asyncio.to_thread(probe.registry.build, "termbase-tiny")
    runners = merged(probe.plugins, "parlance_runners")
    await probe.close()
    engine = LocalEngine(
        probe.registry,
        settings=EngineSettings(runner="termbase", threads=1),
        model_settings=ModelSettings(cache=cache),
        runners=runners,
        metrics=Metrics(CollectorRegistry(), "core"),
    )
    app = build(settings, engine=OwnModelsOnly(engine), demo=True)
    plugin = app.plugins.found["termbase"].plugin
    seen: dict[str, Any] = {
        "version": version("parlance-termbase"),
        "origin": app.plugins.found["termbase"].origin,
        "hooks": app.plugins.found["termbase"].hooks,
        "artefact": {"name": artefact.name, "files": sorted(artefact.files)},
        "runners": sorted(runners),
        "tasks": sorted(app.state.tasks),
        "settings": app.contexts["termbase"].settings.count_every_s,
    }
    async with AsyncTestClient(app.asgi) as client:
        seen["life_while_serving"] = list(plugin.life.steps)
        seen["demo"] = (await client.get("/termbase/terms")).json()
        seen["tips"] = app.state.tips
        added = await client.post("/termbase/terms", json={"en": "rate", "zh": "率"})
        seen["added"] = {"status": added.status_code, "body": added.json()}
        refused = await client.post("/termbase/terms", json={"en": "rate", "zh": "率", "de": "Kurs"})
        seen["refused"] = {"status": refused.status_code, "body": refused.json()}
        async with asyncio.timeout(20):
            await plugin.life.counted.wait()
        seen["job"] = True
        ready = (await client.get("/health/ready")).json()
        seen["check"] = next(found for found in ready["plugins"] if found["name"] == "termbase")
        seen["metrics"] = [line for line in (await client.get("/metrics")).text.splitlines() if "termbase" in line]
        seen["page"] = (await client.get("/console/termbase/")).text
        seen["menu"] = (await client.get("/console")).text
        seen["openapi"] = [path for path in (await client.get("/openapi.json")).json()["paths"] if "termbase" in path]
        seen["runner"] = [model.runner for model in app.engine.status().models if model.name == "termbase-tiny"]
        events = await app.contexts["termbase"].events.read(topic="termbase", after=0)
        seen["events"] = [event.body for event in events]
    seen["life_after_stop"] = list(plugin.life.steps)
    return seen


if __name__ == "__main__":
    json.dump(asyncio.run(exercise(Path(sys.argv[1]))), sys.stdout, ensure_ascii=False)
