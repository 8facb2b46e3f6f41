"""How long work tells what it is doing: silent by default, a progress bar in the command line."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress", "Silent"]


class Progress(Protocol):
    """Receives steps of long work. Called from the thread that does the work."""

    def step(self, text: str, *, total: float | None = None) -> None:
        """A new step begins; ``total`` is its amount of work, ``None`` when unknown."""

    def advance(self, amount: float) -> None:
        """``amount`` more of the present step is done."""


class Silent:
    """Shows nothing."""

    def step(self, text: str, *, total: float | None = None) -> None:
        """Ignores the step."""

    def advance(self, amount: float) -> None:
        """Ignores the amount."""


SILENT = Silent()
