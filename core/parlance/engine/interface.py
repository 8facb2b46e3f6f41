"""What a plugin sees of the engine: async methods, one per task; how they are computed is not its business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from parlance.tasks import Classification, Embeddings, GenerateOptions, Message, Piece, Role, Scores, Span
from parlance.tasks.options import DEFAULT_OPTIONS, CallOptions, Priority

__all__ = ["DEFAULT_OPTIONS", "CallOptions", "Engine", "Priority"]


class Engine(Protocol):
    """Texts in, results out, in the same order.

    ``model`` is a model name (``"fin-sentiment"``) or an alias (``"sentiment@live"``).

    Raises (every method): ``NotFound`` (code ``unknown_model``), ``ValidationFailed`` (an empty text, a lone
    surrogate, a wrong task; names the index), ``Overloaded``, ``DeadlineExceeded``, ``ModelError``.
    """

    async def embed(
        self, texts: Sequence[str], *, model: str, role: Role = Role.PASSAGE, options: CallOptions = DEFAULT_OPTIONS
    ) -> Embeddings: ...

    async def classify(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[Classification]: ...

    async def tag(
        self, texts: Sequence[str], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> list[list[Span]]: ...

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, model: str, options: CallOptions = DEFAULT_OPTIONS
    ) -> Scores: ...

    def generate(
        self, messages: Sequence[Message], *, model: str, options: GenerateOptions | None = None
    ) -> AsyncIterator[Piece]: ...
