"""Where the time of the present request went: stages add up in a context variable and end in its summary line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

__all__ = ["add_stage", "begin_stages", "current_stages", "end_stages", "stage"]

_STAGES: ContextVar[dict[str, float] | None] = ContextVar("parlance_stages", default=None)


def begin_stages() -> tuple[dict[str, float], Token[dict[str, float] | None]]:
    """Start collecting for one request; tasks that it starts write into the same dictionary (seconds by stage)."""
    stages: dict[str, float] = {}
    return stages, _STAGES.set(stages)


def end_stages(token: Token[dict[str, float] | None]) -> None:
    """Stop collecting for the request that ``begin_stages`` started."""
    _STAGES.reset(token)


def current_stages() -> dict[str, float] | None:
    """Seconds by stage of the present request; ``None`` outside of one."""
    return _STAGES.get()


def add_stage(name: str, seconds: float) -> None:
    """Add time to a stage of the present request; outside of a request it does nothing."""
    stages = _STAGES.get()
    if stages is not None:
        stages[name] = stages.get(name, 0.0) + seconds


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure a block as one stage (``tokenise``, ``queue``, ``run``, ``database`` …); repeated blocks add up."""
    started = time.perf_counter()
    try:
        yield
    finally:
        add_stage(name, time.perf_counter() - started)
