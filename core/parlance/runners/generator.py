"""What a generating runner is; the core ships none, a plugin may bring one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from parlance.models.artefact import Artefact
from parlance.tasks import GenerateOptions, Message, Piece

__all__ = ["Generator", "GeneratorFactory"]


class Generator(Protocol):
    """One loaded generating model. ``pieces`` may run on several threads at once."""

    def pieces(
        self, messages: Sequence[Message], options: GenerateOptions, cancelled: threading.Event
    ) -> Iterator[Piece]:
        """Generate; the last piece has a ``finish_reason``. Stops soon after ``cancelled`` is set."""

    def close(self) -> None:
        """Give the memory back."""


@runtime_checkable
class GeneratorFactory(Protocol):
    """What a runner factory has besides ``RunnerFactory`` when it can generate."""

    def unavailable(self) -> str | None:
        """As in ``RunnerFactory``."""

    def load_generator(self, artefact: Artefact, *, threads: int) -> Generator:
        """Load a built model of the task ``generate``. Blocking: call it in a thread."""
