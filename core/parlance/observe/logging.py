"""Structured logs: events with fields, as JSON lines or for a terminal, on standard error.

Only the server and the command line call ``configure``; importing this changes nothing. Texts of users, request bodies
and headers are never logged. Lines of other libraries (through ``logging``) come out in the same form.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

import structlog
from structlog.contextvars import merge_contextvars

from parlance.settings import LogSettings

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["configure", "get_logger"]

_QUIET = ("aiosqlite", "alembic", "asyncio", "httpcore", "httpx", "sqlalchemy.engine")
"""Libraries whose lines below a warning help nobody."""


def configure(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Set up logging for this process; calling it again replaces the former set-up.

    Args:
        settings: level and form; form ``auto`` is for the eye on a terminal and JSON otherwise.
        stream: where lines go; default standard error.
    """
    stream = stream if stream is not None else cast("TextIO", _StandardError())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    shared: list[Processor] = [
        merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]
    renderers = _console_renderers(stream) if console else _json_renderers()
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class _StandardError(io.TextIOBase):
    """Whatever ``sys.stderr`` is at the moment of a line: it may be replaced after the set-up."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry ``component=<name>``."""
    return cast("FilteringBoundLogger", structlog.get_logger(component=name))


def _console_renderers(stream: TextIO) -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]


def _json_renderers() -> list[Processor]:
    import msgspec

    encoder = msgspec.json.Encoder(enc_hook=repr)
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=lambda event, **_: encoder.encode(event).decode()),
    ]
