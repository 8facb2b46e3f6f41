"""The engine's state, for ``/health/ready`` and administration."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["EngineStatus", "ModelStatus"]


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model under the name by which it was asked for; ``name`` may be an alias."""

    name: str
    state: Literal["loading", "ready", "failed"]
    model: str = ""
    version: str = ""
    task: str = ""
    runner: str = ""
    precision: str = ""
    budget_tokens: int = 0
    tokens_per_s: float = 0.0
    memory_mb: int = 0
    calls: int = 0
    eager: bool = False
    """Belongs to what has to be loaded for the server to be ready."""
    detail: str = ""


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``ready`` when the engine has started and none of the eager models is loading or failed."""

    ready: bool
    threads: int
    models: tuple[ModelStatus, ...] = ()
    memory_mb: int = 0
    memory_limit_mb: int = 0
    queued_texts: int = 0
    queued_tokens: dict[str, int] = {}
    estimated_wait_s: dict[str, float] = {}
    cached_vectors: int = 0
    cache_bytes: int = 0
