"""A tiny tokenizer, a fake runner that can be held or broken, and an engine on them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from parlance.engine.engine import LocalEngine
from parlance.errors import NotFound
from parlance.models.artefact import Artefact
from parlance.observe.metrics import Metrics
from parlance.settings import EngineSettings, ModelSettings

WIDTH = 8


def write_tokenizer(path: Path) -> None:
    """Characters as tokens: ids are known, Chinese and English alike."""
    characters = [chr(code) for code in range(33, 127)] + list("今天天气很好退款申请利润下降上升公司在北京张伟")
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    for character in dict.fromkeys(characters):
        vocabulary[character] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(pattern="", behavior="isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


class FakeRunner:
    """Computes a known function of the ids; can be held, made to fail on a token, and tells what it ran."""

    name = "fake"
    precision = "fp32"

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.running = threading.Semaphore(0)
        self.poison: int | None = None
        self.error: BaseException = RuntimeError("poisoned")
        self.closed = False

    def run(self, inputs: Any) -> Any:
        assert not self.closed, "run after close"
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        self.batches.append(mask.sum(1).tolist())
        self.running.release()
        self.gate.wait(10)
        if self.poison is not None and (ids == self.poison).any():
            raise self.error
        table = np.sin(np.arange(400 * WIDTH, dtype=np.float32).reshape(400, WIDTH) * 0.7 + 0.1)
        if self.artefact.task == "tag":
            labels = len(self.artefact.labels)
            return np.eye(labels, dtype=np.float32)[ids % labels] * 4
        vectors = (table[ids] * mask[..., None]).sum(1)
        if self.artefact.task == "embed":
            return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
        return vectors[:, : max(1, len(self.artefact.labels))].astype(np.float32)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeFactory:
    """Makes fake runners and remembers them."""

    made: list[FakeRunner] = field(default_factory=list)
    failure: Exception | None = None

    def unavailable(self) -> str | None:
        return None

    def precisions(self) -> tuple[str, ...]:
        return ("fp32",)

    def load(self, artefact: Artefact, *, precision: str, threads: int) -> FakeRunner:
        if self.failure is not None:
            raise self.failure
        self.made.append(FakeRunner(artefact))
        return self.made[-1]


class FakeRegistry:
    """Names → artefacts; ``move`` an alias and everybody who waits for a change hears of it."""

    def __init__(self, artefacts: dict[str, Artefact]) -> None:
        self.artefacts = artefacts
        self.moved = False

    def resolve(self, name: str, *, verify: bool = True) -> Artefact:
        if name not in self.artefacts:
            raise NotFound(f"There is no model '{name}'.", code="unknown_model")
        return self.artefacts[name]

    def names(self) -> list[str]:
        return [name for name in self.artefacts if "@" not in name]

    def changed(self) -> bool:
        moved, self.moved = self.moved, False
        return moved

    def move(self, name: str, artefact: Artefact) -> None:
        self.artefacts[name] = artefact
        self.moved = True


@dataclass
class Bench:
    """An engine on fakes."""

    engine: LocalEngine
    registry: FakeRegistry
    factory: FakeFactory
    metrics: CollectorRegistry

    @property
    def runner(self) -> FakeRunner:
        return self.factory.made[-1]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.get_sample_value(f"parlance_engine_{name}", labels) or 0.0


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_tokenizer(folder / "tokenizer.json")
    return folder


@pytest.fixture
def artefact(model_folder: Path) -> Callable[..., Artefact]:
    def make(task: str = "embed", **changes: Any) -> Artefact:
        base = Artefact(
            name=changes.pop("name", f"tiny-{task}"),
            version="v1",
            task=task,
            folder=str(model_folder),
            max_tokens=64,
            width=WIDTH,
            labels={"classify": ("negative", "neutral", "positive"), "tag": ("O", "B-PER", "I-PER")}.get(task, ()),
        )
        return msgspec.structs.replace(base, **changes)

    return make


@pytest.fixture
def bench(tmp_path: Path, artefact: Callable[..., Artefact]) -> Callable[..., Any]:
    """``async with bench(threads=1, …) as b``; one ready-made model for each task, ``m@live`` is an alias."""

    @asynccontextmanager
    async def make(
        *, threads: int = 1, memory_mb: int = 1000, eager: tuple[str, ...] = (), **settings: Any
    ) -> AsyncIterator[Bench]:
        artefacts = {task: artefact(task) for task in ("embed", "classify", "tag", "score", "generate")}
        registry = FakeRegistry({**artefacts, "m@live": artefacts["embed"]})
        factory = FakeFactory()
        metrics = CollectorRegistry()
        engine = LocalEngine(
            registry,
            settings=EngineSettings(threads=threads, **settings),
            model_settings=ModelSettings(cache=str(tmp_path), memory_mb=memory_mb, eager=eager),
            runners={"fake": factory},
            metrics=Metrics(metrics, "core"),
        )
        await engine.start()
        try:
            yield Bench(engine, registry, factory, metrics)
        finally:
            for runner in factory.made:
                runner.gate.set()
            await engine.close()

    return make


@asynccontextmanager
async def _held(runner: FakeRunner, engine: LocalEngine, *, workers: int = 1) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Every worker inside the model until the block ends."""
    runner.gate.clear()
    while runner.running.acquire(blocking=False):
        pass
    blockers = []
    for number in range(workers):
        blockers.append(asyncio.create_task(engine.embed(["z" * (40 + number)], model="embed")))
        assert await asyncio.to_thread(runner.running.acquire, True, 5)
    runner.batches.clear()
    try:
        yield blockers
    finally:
        runner.gate.set()
        await asyncio.gather(*blockers, return_exceptions=True)


@pytest.fixture
def held() -> Callable[..., Any]:
    """``async with held(runner, engine)``: every worker is inside the model until the block ends."""
    return _held
