"""Generation, piece by piece, through whatever generating runner a plugin brings."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from parlance.errors import DeadlineExceeded, ModelError, ParlanceError, ValidationFailed
from parlance.models.artefact import Artefact
from parlance.runners.base import RunnerFactory
from parlance.runners.generator import Generator, GeneratorFactory
from parlance.tasks import GenerateOptions, Message, Piece

__all__ = ["Generation"]


class Generation:
    """Loaded generators, and the threads on which they run (one for each generation, as many as the engine's)."""

    def __init__(self, runners: Mapping[str, RunnerFactory], *, threads: int) -> None:
        self._runners = runners
        self._threads = threads
        self._generators: dict[str, Generator] = {}
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="parlance-generate")

    async def generate(
        self, artefact: Artefact, messages: Sequence[Message], options: GenerateOptions
    ) -> AsyncIterator[Piece]:
        """Pieces as they are made. Leaving the iterator early stops the generator.

        Raises:
            ValidationFailed: no message, or an empty one. DeadlineExceeded: it took too long.
            ModelError: no runner here can generate, or it failed.
        """
        _check(messages)
        loop = asyncio.get_running_loop()
        until = None if options.deadline_s is None else time.monotonic() + options.deadline_s
        generator = await self._generator(artefact)
        pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        cancelled = threading.Event()

        def give(piece: Piece | BaseException | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def work() -> None:
            try:
                for piece in generator.pieces(messages, options, cancelled):
                    give(piece)
                    if cancelled.is_set():
                        break
                give(None)
            except BaseException as error:  # noqa: BLE001  # whatever a runner raises reaches the caller
                give(error)

        self._executor.submit(work)
        try:
            while True:
                remaining = None if until is None else max(0.0, until - time.monotonic())
                try:
                    piece = await asyncio.wait_for(pieces.get(), remaining)
                except TimeoutError as error:
                    raise DeadlineExceeded(
                        f"{artefact.reference} did not finish within {options.deadline_s} s."
                    ) from error
                if piece is None:
                    return
                if isinstance(piece, ParlanceError):
                    raise piece
                if isinstance(piece, BaseException):
                    raise ModelError(f"{artefact.reference} failed while generating: {piece!r}.") from piece
                yield piece
        finally:
            cancelled.set()

    async def close(self) -> None:
        """Close the generators."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for generator in self._generators.values():
            await asyncio.to_thread(generator.close)
        self._generators.clear()

    async def _generator(self, artefact: Artefact) -> Generator:
        async with self._lock:
            found = self._generators.get(artefact.reference)
            if found is None:
                factory = next(
                    (
                        one
                        for one in self._runners.values()
                        if isinstance(one, GeneratorFactory) and one.unavailable() is None
                    ),
                    None,
                )
                if factory is None:
                    raise ModelError(
                        f"No runner here can generate with {artefact.reference}.",
                        hint="Install a plugin whose parlance_runners() brings one (parlance.runners.generator).",
                        code="no_generator",
                        model=artefact.name,
                    )
                found = await asyncio.to_thread(factory.load_generator, artefact, threads=self._threads)
                self._generators[artefact.reference] = found
            return found


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise ValidationFailed("There is no message to answer.", hint="Send at least one.", code="empty_text")
    for index, message in enumerate(messages):
        if not message.content.strip():
            raise ValidationFailed(f"Message {index} is empty or only white space.", code="empty_text", index=index)
