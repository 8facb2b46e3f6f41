"""The engine of one process: texts in, results out, in order, whatever is cancelled, late or broken meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from parlance.clock import Clock, SystemClock
from parlance.engine.cache import CachedVector, EmbeddingCache, cache_key
from parlance.engine.checks import check_pairs, check_task, check_texts
from parlance.engine.decode import classification, to_spans
from parlance.engine.dispatch import Computed, Dispatcher
from parlance.engine.early import EarlyLoads
from parlance.engine.generation import Generation
from parlance.engine.metrics import EngineMetrics
from parlance.engine.pool import Catalogue, ModelPool
from parlance.engine.served import ServedModel
from parlance.engine.status import EngineStatus
from parlance.engine.tokenise import keep_to_one_thread
from parlance.errors import ParlanceError, Unavailable
from parlance.models.artefact import Artefact
from parlance.observe.metrics import Metrics
from parlance.runners.base import RunnerFactory
from parlance.runners.machine import available_cores
from parlance.settings import EngineSettings, ModelSettings
from parlance.tasks import Classification, Embeddings, GenerateOptions, Message, Origin, Piece, Role, Scores, Span
from parlance.tasks.options import DEFAULT_OPTIONS, CallOptions, Priority

__all__ = ["LocalEngine"]

_MB = 1_000_000
_WATCH_S = 1.0
"""Between looks at the registry for moved aliases and new versions (a look is a few file stats)."""


class LocalEngine:
    """Implements ``parlance.engine.interface.Engine`` with models of this process. Use it from one event loop.

    Args:
        registry: gives the built version behind a name or alias.
        runners: factories by name.
        early: eager models whose loading has begun.
    """

    def __init__(
        self,
        registry: Catalogue,
        *,
        settings: EngineSettings,
        model_settings: ModelSettings,
        runners: Mapping[str, RunnerFactory],
        metrics: Metrics,
        clock: Clock | None = None,
        early: EarlyLoads | None = None,
    ) -> None:
        self._registry = registry
        self._eager = model_settings.eager
        self._limit_mb = model_settings.memory_mb
        self._threads = settings.threads or available_cores()
        self._cache = EmbeddingCache(settings.cache_mb * _MB)
        self._metrics = EngineMetrics(metrics)
        self._dispatcher = Dispatcher(
            threads=self._threads, settings=settings, clock=clock or SystemClock(), metrics=self._metrics
        )
        self._pool = ModelPool(
            registry,
            runners=runners,
            wanted=settings.runner,
            threads=self._threads,
            cache=Path(model_settings.cache).expanduser(),
            memory_mb=model_settings.memory_mb,
            on_gone=self._cache.forget,
            early=early,
        )
        self._generation = Generation(runners, threads=self._threads)
        self._watching: asyncio.Task[None] | None = None
        self._started = False
        self._closed = False

    async def start(self, *, eager: bool = True) -> None:
        """Start the workers, then load and warm the eager models, two at a time.

        Args:
            eager: whether models are loaded at all; commands load theirs with the first call.

        Raises:
            ParlanceError: an eager model cannot be loaded (all of them are tried first).
        """
        keep_to_one_thread()
        self._dispatcher.start()
        names = await self._pool.eager_names(self._eager) if eager else []
        results = await asyncio.gather(*(self._pool.get(name) for name in names), return_exceptions=True)
        self._pool.end_early()
        self._watching = asyncio.create_task(self._watch(), name="watch the model registry")
        self._started = True
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def close(self) -> None:
        """Refuse new calls, fail what still waits, let running batches finish, close the models."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._dispatcher.close()
        await self._pool.close()
        await self._generation.close()

    async def load(self, name: str) -> None:
        """Load and warm a model now. Raises as the task methods do."""
        await self._model(name)

    async def unload(self, name: str) -> bool:
        """Give a name's model back once its running calls have ended; false when it was not loaded."""
        return self._pool.unload(name)

    async def refresh(self) -> list[str]:
        """Follow aliases and versions that have moved; returns a line for each name that could not."""
        return await self._pool.refresh()

    def status(self) -> EngineStatus:
        """What is loaded and what waits."""
        models = self._pool.status()
        queue = self._dispatcher.queue
        return EngineStatus(
            ready=self._started and not self._closed and all(model.state == "ready" for model in models if model.eager),
            threads=self._threads,
            models=models,
            memory_mb=self._pool.memory_bytes // _MB,
            memory_limit_mb=self._limit_mb,
            queued_texts=queue.count(),
            queued_tokens={one.name.lower(): queue.tokens(one) for one in Priority},
            estimated_wait_s={one.name.lower(): round(queue.wait_s(priority=one, charge_to=""), 3) for one in Priority},
            cached_vectors=len(self._cache),
            cache_bytes=self._cache.size_bytes,
        )

    async def embed(
        self, texts: Sequence[str], *, model: str, role: Role = Role.PASSAGE, options: CallOptions = DEFAULT_OPTIONS
    ) -> Embeddings:
        """Unit vectors of the texts: float32, shape ``(texts, width)``."""
        check_texts(texts)
        served = await self._model(model, task="embed")
        prefix = _prefix(served.artefact, role)
        inputs = [prefix + text for text in texts] if prefix else texts
        vectors = np.empty((len(texts), served.artefact.width), dtype=np.float32)
        tokens = 0
        truncated: list[int] = []
        keys = []
        missing: Sequence[int] = range(len(inputs))
        if self._cache.limit_bytes:
            keys = [cache_key(served.artefact.reference, served.precision, text) for text in inputs]
            kept = [self._cache.get(key) for key in keys]
            for index, found in enumerate(kept):
                if found is not None and not (found.truncated and options.overlong == "refuse"):
                    vectors[index] = found.vector
                    tokens += found.tokens
                    truncated += [index] * found.truncated
                else:
                    kept[index] = None
            missing = [index for index, found in enumerate(kept) if found is None]
            self._metrics.cache.labels("hit").inc(len(inputs) - len(missing))
            self._metrics.cache.labels("miss").inc(len(missing))
        computed = await self._compute(served, [inputs[index] for index in missing], options, indices=missing)
        for index, one in zip(missing, computed, strict=True):
            vectors[index] = one.value
            tokens += one.tokens
            truncated += [index] * one.truncated
            if keys:
                self._cache.put(keys[index], CachedVector(one.value, one.tokens, one.truncated))
        origin = _origin(served, tokens, sorted(truncated))
        return Embeddings(vectors=vectors, origin=origin)

    async def classify(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[Classification]:
        """Calibrated probabilities and the chosen label or an abstention, for each text."""
        check_texts(texts)
        served = await self._model(model, task="classify")
        prefix = _prefix(served.artefact, None)
        computed = await self._compute(served, [prefix + text for text in texts], options)
        origin = _total(served, computed)
        return [classification(served.artefact, one.value, truncated=one.truncated, origin=origin) for one in computed]

    async def tag(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[list[Span]]:
        """Labelled spans of each text, in characters of the text as it was given."""
        check_texts(texts)
        served = await self._model(model, task="tag")
        prefix = _prefix(served.artefact, None)
        computed = await self._compute(served, [prefix + text for text in texts], options)
        return [to_spans(text, one.value, shift=len(prefix)) for text, one in zip(texts, computed, strict=True)]

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """A number for each pair: float32, shape ``(pairs,)``, higher for a better match."""
        check_pairs(pairs)
        served = await self._model(model, task="score")
        computed = await self._compute(served, [(first, second) for first, second in pairs], options)
        values = np.array([one.value for one in computed], dtype=np.float32)
        return Scores(values=values, origin=_total(served, computed))

    async def generate(
        self, messages: Sequence[Message], *, model: str, options: GenerateOptions | None = None
    ) -> AsyncIterator[Piece]:
        """Pieces of an answer as they are made."""
        self._refuse_when_closed()
        artefact = await self._pool.resolve(model)
        check_task(model, has=artefact.task, wanted="generate")
        async for piece in self._generation.generate(artefact, messages, options or GenerateOptions()):
            yield piece

    async def _model(self, name: str, *, task: str | None = None) -> ServedModel:
        self._refuse_when_closed()
        served = self._pool.ready(name)
        if served is None:
            if task is not None:
                check_task(name, has=(await self._pool.resolve(name)).task, wanted=task)
            served = await self._pool.get(name)
        if task is not None:
            check_task(name, has=served.artefact.task, wanted=task)
        return served

    async def _compute(
        self,
        served: ServedModel,
        inputs: Sequence[str | tuple[str, str]],
        options: CallOptions,
        *,
        indices: Sequence[int] | None = None,
    ) -> list[Computed]:
        if not inputs:
            return []
        self._pool.enter(served)
        try:
            return await self._dispatcher.compute(
                served, inputs, options, indices=indices if indices is not None else range(len(inputs))
            )
        finally:
            self._pool.leave(served)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                if await asyncio.to_thread(self._registry.changed):
                    await self._pool.refresh()
            except (ParlanceError, OSError):
                logging.getLogger(__name__).exception("the models could not be refreshed")

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("The server is shutting down.", hint="Send it to another one.", code="shutting_down")


def _prefix(artefact: Artefact, role: Role | None) -> str:
    general = artefact.prefixes.get("*", "")
    return general if role is None else artefact.prefixes.get(role.value, general)


def _origin(served: ServedModel, tokens: int, truncated: Sequence[int]) -> Origin:
    artefact = served.artefact
    return Origin(
        model=artefact.name,
        version=artefact.version,
        precision=served.precision,
        tokens=tokens,
        truncated=tuple(truncated),
    )


def _total(served: ServedModel, computed: Sequence[Computed]) -> Origin:
    truncated = [index for index, one in enumerate(computed) if one.truncated]
    return _origin(served, sum(one.tokens for one in computed), truncated)
