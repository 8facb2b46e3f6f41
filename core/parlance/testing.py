"""Parts for tests of plugins: a fake engine, a plugin's context over a real database, and a whole application.

Nothing here loads a model. The database is real (a temporary SQLite file unless another is given), migrations included.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parlance.clock import Clock, ManualClock
from parlance.engine.interface import DEFAULT_OPTIONS, CallOptions
from parlance.errors import ValidationFailed
from parlance.settings import DatabaseSettings, LoadedSettings, load_settings
from parlance.tasks import (
    Classification,
    Embeddings,
    GenerateOptions,
    Message,
    Origin,
    Piece,
    Role,
    Scores,
    Span,
)

if TYPE_CHECKING:
    from parlance.app import Application
    from parlance.plugins.context import PluginContext

__all__ = ["Call", "FakeEngine", "application", "context", "temporary_database"]

WIDTH = 256
_POSITIVE = (
    "profit",
    "rise",
    "rose",
    "gain",
    "beat",
    "grow",
    "record",
    "good",
    "great",
    "上涨",
    "盈利",
    "增长",
    "利好",
    "好",
)
_NEGATIVE = (
    "loss",
    "fall",
    "fell",
    "drop",
    "miss",
    "fraud",
    "recall",
    "bad",
    "cut",
    "下跌",
    "亏损",
    "暴跌",
    "违约",
    "差",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a fake engine received."""

    task: str
    texts: tuple[str, ...]
    model: str
    options: Any = None


@dataclass(slots=True)
class FakeEngine:
    """Answers at once, by rules instead of models, and records every call.

    ``embed`` hashes words and Chinese characters into unit vectors, so that texts that share words lie close to each
    other. ``classify`` gives positive, neutral or negative by a few words of both languages, or what ``classifier``
    says. ``errors`` are raised one per call, oldest first. ``gate``, when set, holds every call until it is set.
    """

    classifier: Callable[[str], Mapping[str, float]] | None = None
    tagger: Callable[[str], list[Span]] | None = None
    reply: str = "A made-up answer."
    version: str = "fake"
    calls: list[Call] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def embed(
        self,
        texts: Sequence[str],
        *,
        model: str,
        role: Role = Role.PASSAGE,  # noqa: ARG002  # the engine's interface
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> Embeddings:
        await self._enter("embed", texts, model, options)
        vectors = np.stack([_hashed(text) for text in texts]) if texts else np.zeros((0, WIDTH), np.float32)
        return Embeddings(vectors=vectors, origin=self._origin(model, texts))

    async def classify(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[Classification]:
        await self._enter("classify", texts, model, options)
        return [self._classification(text, model) for text in texts]

    async def tag(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[list[Span]]:
        await self._enter("tag", texts, model, options)
        return [self.tagger(text) if self.tagger else [] for text in texts]

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> Scores:
        flat = [text for pair in pairs for text in pair]
        await self._enter("score", flat, model, options)
        values = [float(_hashed(first) @ _hashed(second)) for first, second in pairs]
        return Scores(values=np.asarray(values, np.float32), origin=self._origin(model, flat))

    async def generate(
        self, messages: Sequence[Message], *, model: str, options: GenerateOptions | None = None
    ) -> AsyncIterator[Piece]:
        await self._enter("generate", [message.content for message in messages], model, options)
        words = self.reply.split(" ")
        for number, word in enumerate(words):
            yield Piece(text=word if number == 0 else f" {word}")
        yield Piece(text="", finish_reason="stop", prompt_tokens=len(messages), completion_tokens=len(words))

    async def _enter(self, task: str, texts: Sequence[str], model: str, options: Any) -> None:
        self.calls.append(Call(task, tuple(texts), model, options))
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        for index, text in enumerate(texts):
            if not text.strip():
                raise ValidationFailed(f"texts[{index}] is empty.", code="empty_text", index=index)

    def _origin(self, model: str, texts: Sequence[str]) -> Origin:
        return Origin(model=model, version=self.version, tokens=sum(len(_units(text)) + 2 for text in texts))

    def _classification(self, text: str, model: str) -> Classification:
        probabilities = dict(self.classifier(text)) if self.classifier else _by_words(text)
        ordered = dict(sorted(probabilities.items(), key=lambda item: -item[1]))
        label = next(iter(ordered))
        return Classification(
            label=label,
            confidence=ordered[label],
            probabilities=ordered,
            labels=(label,),
            origin=self._origin(model, [text]),
        )


def _units(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+|[㐀-鿿]", text.lower())


def _hashed(text: str) -> NDArray[np.float32]:
    """A bag of hashed words: float32, shape ``(WIDTH,)``, unit length."""
    vector = np.full(WIDTH, 1e-3, np.float32)
    for unit in _units(text):
        vector[zlib.crc32(unit.encode()) % WIDTH] += 1.0
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _by_words(text: str) -> dict[str, float]:
    lowered = text.lower()
    good = sum(word in lowered for word in _POSITIVE)
    bad = sum(word in lowered for word in _NEGATIVE)
    if good > bad:
        return {"positive": 0.9, "neutral": 0.06, "negative": 0.04}
    if bad > good:
        return {"positive": 0.04, "neutral": 0.06, "negative": 0.9}
    return {"positive": 0.1, "neutral": 0.8, "negative": 0.1}


def temporary_database(folder: Path) -> DatabaseSettings:
    """Settings of a SQLite database in a folder."""
    return DatabaseSettings(url=f"sqlite:///{folder / 'test.sqlite'}")


@asynccontextmanager
async def application(
    plugins: Mapping[str, object] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    database: DatabaseSettings | None = None,
    engine: Any = None,
    clock: Clock | None = None,
    demo: bool = False,
) -> AsyncIterator[Application]:
    """A whole application with chosen plugins and a fake engine, built but not started.

    Start it by ``litestar.testing.AsyncTestClient(app.asgi)``, whose block runs the lifespan.

    Args:
        plugins: plugin objects by name; the core's own features are always there. ``None``: none beside those.
        settings: values by dotted key: ``{"support.threshold": 0.5, "limits.batch_texts": 8}``.
        database: where to store; a temporary SQLite file by default.
        engine: a :class:`FakeEngine` by default.
        clock: the machine's clock by default.
        demo: whether plugins load their demonstration data.
    """
    from parlance.app import build

    with tempfile.TemporaryDirectory() as folder:
        loaded = _settings(settings, database or temporary_database(Path(folder)), folder)
        yield build(
            loaded,
            engine=engine if engine is not None else FakeEngine(),
            clock=clock,
            plugins=dict(plugins or {}),
            discover=False,
            demo=demo,
        )


@asynccontextmanager
async def context(
    name: str,
    plugin: object,
    *,
    settings: Mapping[str, Any] | None = None,
    database: DatabaseSettings | None = None,
    engine: Any = None,
    clock: Clock | None = None,
) -> AsyncIterator[PluginContext[Any]]:
    """A plugin's context over a migrated database, without HTTP: for tests of services.

    Args:
        name: the plugin's name.
        plugin: the plugin object; its settings type and tables are taken from its hooks.
        settings: as in :func:`application`.
        database: as in :func:`application`.
        engine: a :class:`FakeEngine` by default.
        clock: a :class:`~parlance.clock.ManualClock` by default.
    """
    async with application(
        {name: plugin}, settings=settings, database=database, engine=engine, clock=clock or ManualClock()
    ) as app:
        await app.migrate()
        try:
            yield app.contexts[name]
        finally:
            await app.close()


def _settings(values: Mapping[str, Any] | None, database: DatabaseSettings, folder: str) -> LoadedSettings:
    flags: dict[str, Any] = {
        "database.url": database.url,
        "models.cache": str(Path(folder) / "models"),
        "server.auth": "off",
        "http_client.allow_private": True,
    }
    return load_settings(flags=flags | dict(values or {}), environment={})
