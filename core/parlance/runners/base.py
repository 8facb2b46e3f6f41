"""What a runner is: the thing that computes forward passes of one built model, whatever library it uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parlance.models.artefact import Artefact, Precision

__all__ = ["Runner", "RunnerFactory"]


class Runner(Protocol):
    """One loaded model. ``run`` may be called from several threads at once, one forward pass each."""

    name: str
    precision: Precision

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Compute one batch.

        Args:
            inputs: the artefact's ``inputs`` by name, int64, shape ``(batch, tokens)``, padded to one width.

        Returns:
            The artefact's ``output``: float32, first axis ``batch``, rows in the order given.
        """

    def close(self) -> None:
        """Give the memory back; no ``run`` follows."""


class RunnerFactory(Protocol):
    """Makes runners of one kind."""

    def unavailable(self) -> str | None:
        """Why this machine cannot use it (a missing package and how to install it), or ``None`` when it can."""

    def precisions(self) -> tuple[Precision, ...]:
        """Arithmetics that this machine computes fast with it (bf16 only where the CPU has AMX)."""

    def load(self, artefact: Artefact, *, precision: Precision, threads: int) -> Runner:
        """Load a built model for ``threads`` concurrent one-thread forward passes. Blocking: call it in a thread."""
