"""Loaded models: loading within a memory budget, warming up, moving names to new versions, letting old ones drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from parlance.engine.early import EarlyLoads
from parlance.engine.loading import Loader
from parlance.engine.served import ServedModel
from parlance.engine.status import ModelStatus
from parlance.errors import ConfigError, ModelError, ParlanceError, Unavailable
from parlance.models.artefact import Artefact
from parlance.runners.base import RunnerFactory

__all__ = ["Catalogue", "ModelPool"]

_LOADERS = 2
_MB = 1_000_000

T = TypeVar("T")


class Catalogue(Protocol):
    """What the pool needs of the model registry."""

    def resolve(self, name: str, *, verify: bool = True) -> Artefact:
        """The built version that a model name or alias stands for now, its files verified. Blocking."""

    def names(self) -> Sequence[str]:
        """All model names."""

    def changed(self) -> bool:
        """Whether a name may stand for something else since the last call. Blocking."""


class ModelPool:
    """Names → models that take traffic. Event loop only; loading happens on threads.

    Args:
        cache: folder of built models; choices of runners are kept in it.
        on_gone: called with a model's reference when its last use has ended.
        early: models whose loading began before the pool was there.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        runners: Mapping[str, RunnerFactory],
        wanted: str,
        threads: int,
        cache: Path,
        memory_mb: int,
        on_gone: Callable[[str], None],
        early: EarlyLoads | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._loader = Loader(runners, wanted=wanted, threads=threads, choices=cache / "choices")
        self._early = early
        self._eager: frozenset[str] = frozenset()
        self._limit_bytes = memory_mb * _MB
        self._on_gone = on_gone
        self._names: dict[str, ServedModel] = {}
        self._models: dict[str, ServedModel] = {}
        self._loading: dict[str, asyncio.Task[ServedModel]] = {}
        self._by_reference: dict[str, asyncio.Task[ServedModel]] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._failed: dict[str, str] = {}
        self._reserved_bytes = 0
        self._executor = ThreadPoolExecutor(_LOADERS, thread_name_prefix="parlance-load")

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of the loaded models, those that still drain included."""
        return self._reserved_bytes

    def ready(self, name: str) -> ServedModel | None:
        """The model behind a name when it is loaded."""
        return self._names.get(name)

    async def get(self, name: str) -> ServedModel:
        """The model behind a name, loaded when it is not yet; several callers share one load.

        Raises:
            NotFound: unknown name. Unavailable: not built, or over the memory budget. ModelError: it cannot be loaded.
        """
        found = self._names.get(name)
        if found is not None:
            return found
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._point(name), name=f"load {name}")
            task.add_done_callback(lambda done: self._loaded(name, done))
        # A caller that goes away does not end the load: the next one wants it too.
        return await asyncio.shield(task)

    async def resolve(self, name: str) -> Artefact:
        """The artefact behind a name."""
        return await self._in_thread(lambda: self._catalogue.resolve(name))

    async def refresh(self) -> list[str]:
        """Move every name in use to the version that it stands for now; the old one serves until the new one is warm.

        Returns:
            One line for each name that could not be moved; it stays at its old version.
        """
        problems = []
        for name, old in list(self._names.items()):
            try:
                artefact = await self.resolve(name)
                if artefact.reference != old.artefact.reference:
                    await self._point(name, artefact)
            except ParlanceError as error:
                problems.append(f"{name} stays at {old.artefact.reference}: {error}")
                self._failed[name] = problems[-1]
                logging.getLogger(__name__).exception("%s stays at %s", name, old.artefact.reference)
            else:
                self._failed.pop(name, None)
        return problems

    def eager(self, names: Sequence[str]) -> list[str]:
        """Models to load at start: those named, and built ones whose manifest says so. Blocking."""
        wanted = list(dict.fromkeys(names))
        for name in self._catalogue.names():
            if name in wanted:
                continue
            try:
                if self._catalogue.resolve(name, verify=False).eager:
                    wanted.append(name)
            except ParlanceError:
                continue  # not built: it is no model that could be loaded
        self._eager = frozenset(wanted)
        return wanted

    async def eager_names(self, names: Sequence[str]) -> list[str]:
        """As ``eager``, off the loop."""
        return await self._in_thread(lambda: self.eager(names))

    def unload(self, name: str) -> bool:
        """Forget a name; its model goes when no other name and no call uses it. False when it was not loaded."""
        old = self._names.pop(name, None)
        if old is None:
            return False
        self._retire(old)
        return True

    def enter(self, model: ServedModel) -> None:
        """A call uses the model until ``leave``."""
        model.calls += 1

    def leave(self, model: ServedModel) -> None:
        """The call has ended; the last one of a model that has been replaced takes it along."""
        model.calls -= 1
        self._end_if_unused(model)

    def end_early(self) -> None:
        """The eager models have been asked for: early loads that nobody took are not needed."""
        if self._early is not None:
            self._early.close()

    async def close(self) -> None:
        """Close every model. No call is running any more."""
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        self._names.clear()
        for model in list(self._models.values()):
            model.calls = 0
            self._retire(model)
        await asyncio.gather(*self._closing, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def status(self) -> tuple[ModelStatus, ...]:
        """One entry for each name in use, loading or failed."""
        entries = {
            name: ModelStatus(
                name=name,
                state="ready",
                model=model.artefact.name,
                version=model.artefact.version,
                task=model.artefact.task,
                runner=model.runner.name,
                precision=model.precision,
                budget_tokens=model.budget_tokens,
                tokens_per_s=round(model.tokens_per_s, 1),
                memory_mb=model.memory_bytes // _MB,
                calls=model.calls,
                eager=name in self._eager,
                detail=self._failed.get(name, ""),
            )
            for name, model in self._names.items()
        }
        for name, detail in self._failed.items():
            entries.setdefault(name, ModelStatus(name=name, state="failed", eager=name in self._eager, detail=detail))
        for name in self._loading:
            entries[name] = ModelStatus(name=name, state="loading", eager=name in self._eager)
        return tuple(entries[name] for name in sorted(entries))

    def _loaded(self, name: str, task: asyncio.Task[ServedModel]) -> None:
        self._loading.pop(name, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._failed.pop(name, None)
        elif isinstance(error, (ModelError, ConfigError)) or getattr(error, "code", "") == "memory_budget":
            self._failed[name] = str(error)

    async def _point(self, name: str, artefact: Artefact | None = None) -> ServedModel:
        """Load what the name stands for (once for all its names), then move the name to it."""
        artefact = artefact or await self.resolve(name)
        model = self._models.get(artefact.reference)
        if model is None:
            task = self._by_reference.get(artefact.reference)
            if task is None:
                task = self._by_reference[artefact.reference] = asyncio.create_task(self._load(artefact))
                task.add_done_callback(lambda _: self._by_reference.pop(artefact.reference, None))
            model = await asyncio.shield(task)
        old = self._names.get(name)
        self._names[name] = model
        model.retired = False
        if old is not None and old is not model:
            self._retire(old)
        return model

    async def _load(self, artefact: Artefact) -> ServedModel:
        size = await self._in_thread(lambda: self._loader.memory_bytes(artefact))
        if self._reserved_bytes + size > self._limit_bytes:
            raise Unavailable(
                f"Loading {artefact.reference} needs about {size // _MB} MB; the loaded models take "
                f"{self._reserved_bytes // _MB} of models.memory_mb = {self._limit_bytes // _MB} MB.",
                hint="Raise models.memory_mb or unload another model.",
                code="memory_budget",
                model=artefact.name,
            )
        self._reserved_bytes += size
        try:
            loaded = await self._load_early(artefact)
            if loaded is None:
                loaded = await self._in_thread(lambda: self._loader.load(artefact))
        except BaseException:
            self._reserved_bytes -= size
            raise
        self._reserved_bytes += loaded.memory_bytes - size
        self._models[artefact.reference] = loaded
        return loaded

    async def _load_early(self, artefact: Artefact) -> ServedModel | None:
        load = self._early.take(artefact, self._loader) if self._early is not None else None
        if load is None:
            return None
        try:
            return await asyncio.wrap_future(load)
        except Exception as error:  # noqa: BLE001  # whatever it was, the usual load meets it again and reports it
            logging.getLogger(__name__).debug("the early load of %s failed: %r", artefact.reference, error)
            return None

    def _retire(self, model: ServedModel) -> None:
        if model not in self._names.values():
            model.retired = True
            self._end_if_unused(model)

    def _end_if_unused(self, model: ServedModel) -> None:
        if not model.retired or model.calls or self._models.get(model.artefact.reference) is not model:
            return
        del self._models[model.artefact.reference]
        self._on_gone(model.artefact.reference)
        closing = asyncio.get_running_loop().run_in_executor(self._executor, model.runner.close)
        self._closing.add(closing)

        def closed(done: asyncio.Future[None]) -> None:
            self._closing.discard(done)
            self._reserved_bytes -= model.memory_bytes
            if not done.cancelled() and (error := done.exception()) is not None:
                logging.getLogger(__name__).error("closing %s failed: %r", model.artefact.reference, error)

        closing.add_done_callback(closed)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
