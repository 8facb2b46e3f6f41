"""The small frozen structures that hooks return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import MetaData

__all__ = ["Check", "CheckResult", "ConsolePage", "Job", "Tables", "TaskType"]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that a plugin owns.

    ``metadata``: SQLAlchemy metadata; every table's name starts with the plugin's name and an underscore.
    ``migrations``: the folder of Alembic revisions (``versions``-style files, no ``env.py``).
    """

    metadata: MetaData
    migrations: Path


@dataclass(frozen=True, slots=True)
class Job:
    """Background work, run supervised.

    ``run`` does one round and returns; it is called every ``every_s`` seconds (measured from end to start), or again at
    once while it returns ``True`` ("there is more"). An exception is logged, counted and followed by a back-off that
    doubles from ``backoff_s`` up to ``longest_backoff_s``. ``scope`` "one" runs it in one process only (leader by
    database lease), "every" in each.
    """

    name: str
    run: Callable[[], Awaitable[bool | None]]
    every_s: float
    scope: Literal["one", "every"] = "one"
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a readiness check found."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A readiness check: called when ``/health/ready`` is asked, with two seconds to answer."""

    name: str
    run: Callable[[], Awaitable[CheckResult]]


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page of the console: an HTML file served at ``/console/<plugin><path>`` and linked from the console's menu."""

    title: str
    path: str
    html: Path


@dataclass(frozen=True, slots=True)
class TaskType:
    """A further task that a plugin's models may have: how a runner's output becomes a result."""

    name: str
    request: type
    result: type
