"""Runs the application under an HTTP server program: granian in this process, or uvicorn."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parlance.clock import SystemClock
from parlance.errors import ParlanceError

if TYPE_CHECKING:
    from parlance.app import Application
    from parlance.engine.early import EarlyLoads
    from parlance.plugins.state import ServerState
    from parlance.settings import LoadedSettings

__all__ = ["run"]


def run(loaded: LoadedSettings, *, demo: bool = False, prepare: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain: refuse new work, let running requests finish, stop the parts.

    Args:
        loaded: the settings.
        demo: load the plugins' demonstration data.
        prepare: what must be done before the application is put together (building models that are missing); the
            models that are there load beside it.

    Raises:
        ParlanceError: the application could not be built or started.
    """
    started = time.monotonic()
    gc.disable()  # what is made while starting stays: looking through it again and again costs a tenth of the start

    def ready(state: ServerState) -> None:
        gc.freeze()
        gc.enable()
        _announce(app, state, time.monotonic() - started)

    from parlance.engine.early import EarlyLoads

    early = EarlyLoads(loaded.core)  # before the heavy imports: models load beside them
    try:
        if prepare is not None:
            prepare()
        app = _build(loaded, demo, ready, early)
    except BaseException:
        early.close()
        raise
    asyncio_run = _loop_runner()
    asyncio_run(_serve(app))


def _build(
    loaded: LoadedSettings, demo: bool, on_ready: Callable[[ServerState], None], early: EarlyLoads
) -> Application:
    from parlance.app import build
    from parlance.observe.logging import configure

    configure(loaded.core.log)
    return build(loaded, demo=demo, on_ready=on_ready, early=early)


def _loop_runner() -> Callable[[Any], Any]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _serve(app: Application) -> None:
    from parlance.http.api_keys import ApiKeys, check_exposure

    settings = app.settings.core
    await app.migrate()
    check_exposure(settings, await ApiKeys(app.database, clock=SystemClock()).any())
    server = _uvicorn(app) if settings.server.server == "uvicorn" else _granian(app)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    serving = asyncio.ensure_future(server.serve())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    app.state.drain()
    if not serving.done():
        server.stop()
    waiting.cancel()
    try:
        await serving
    except Exception:
        if app.state.failure is None:
            raise
        # The server program only knows that the start failed; what failed is known here.
        raise _failure(app.state.failure) from app.state.failure
    if app.state.failure is not None:
        raise _failure(app.state.failure)


def _failure(failure: BaseException) -> ParlanceError:
    if isinstance(failure, ParlanceError):
        return failure
    return ParlanceError(f"The server could not start: {type(failure).__name__}: {failure}")


def _granian(app: Application) -> Any:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    settings = app.settings.core.server
    return Server(
        app.asgi,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        backlog=1024,
    )


class _Uvicorn:
    """Uvicorn behind the two methods that granian's embedded server has."""

    def __init__(self, app: Application) -> None:
        import uvicorn

        settings = app.settings.core.server
        self._server = uvicorn.Server(
            uvicorn.Config(
                app.asgi,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(settings.drain_s),
            )
        )
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    async def serve(self) -> None:
        await self._server._serve()  # noqa: SLF001  # serve() would take over the signals

    def stop(self) -> None:
        self._server.should_exit = True


def _uvicorn(app: Application) -> _Uvicorn:
    return _Uvicorn(app)


def _announce(app: Application, state: ServerState, seconds: float) -> None:
    settings = app.settings.core.server
    base = f"http://{settings.host}:{settings.port}"
    lines = [
        f"Parlance is ready on {base} after {seconds:.1f} s.",
        f"  documentation  {base}/docs        console  {base}/console        health  {base}/health/ready",
    ]
    if state.tips:
        lines.append("Try this:")
        address = base.removeprefix("http://")
        lines.extend(
            f"  {tip.replace('127.0.0.1:8000', address).replace('localhost:8000', address)}" for tip in state.tips
        )
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
