"""One loaded model version: its tokenizer and runner, how fast it is, and who uses it."""

from __future__ import annotations

from collections.abc import Hashable

from parlance.engine.tokenise import Tokeniser
from parlance.engine.work import Entry
from parlance.models.artefact import Artefact, Precision
from parlance.runners.base import Runner
from parlance.runners.profile import Profile

__all__ = ["ServedModel"]

_NEW_WEIGHT = 0.05
"""Of the newest batch in the running mean of the rate."""


class ServedModel:
    """A model that takes traffic. ``calls`` and ``in_flight`` belong to the event loop."""

    def __init__(
        self, artefact: Artefact, *, runner: Runner, tokeniser: Tokeniser, profile: Profile, memory_bytes: int
    ) -> None:
        self.artefact = artefact
        self.runner = runner
        self.tokeniser = tokeniser
        self.profile = profile
        self.memory_bytes = memory_bytes
        self.budget_tokens = profile.budget_tokens
        self.tokens_per_s = profile.tokens_per_s
        self.in_flight: dict[Hashable, Entry] = {}
        self.calls = 0
        self.retired = False

    @property
    def precision(self) -> Precision:
        """Arithmetic of the runner that was chosen."""
        return self.runner.precision

    def cost_s(self, length: int) -> float:
        """Estimated seconds of one worker for a text of ``length`` tokens."""
        return length / self.tokens_per_s

    def joins(self, count: int, width: int, length: int, limit_tokens: int) -> bool:
        """Whether a text of ``length`` tokens may join ``count`` texts padded to ``width``.

        It may within the padded-token budget, and where the padding that it causes costs less than a run of its own.
        """
        if self.profile.alone:
            return False
        wider = max(width, length)
        padded = (count + 1) * wider
        return padded <= limit_tokens and padded - count * width - length <= self.profile.overhead_tokens

    def learn(self, tokens: int, padded: int, seconds: float) -> None:
        """Correct the rate by a batch that ran; small ones say little about a busy machine."""
        if seconds > 0 and padded * 2 >= self.budget_tokens:
            self.tokens_per_s += _NEW_WEIGHT * (tokens / seconds - self.tokens_per_s)
