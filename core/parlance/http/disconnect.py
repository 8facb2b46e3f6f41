"""Stop costly work when its caller has gone away.

Litestar runs a handler to its end whatever the connection does; watching every request would cost about half of the
throughput, so only costly routes watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar import Request

from parlance.errors import ClientGone

__all__ = ["cancel_on_disconnect"]

T = TypeVar("T")


async def cancel_on_disconnect(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, and cancel it when the caller closes the connection.

    The body must have been read before (a ``data`` parameter does that). Work that was handed to a thread is not
    stopped by this; the engine drops it when it forms the next batch.

    Raises:
        ClientGone: the caller went away; nobody reads the answer.
    """
    running = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise ClientGone("The caller closed the connection before the answer was ready.")
    finally:
        for task in (running, watching):
            if not task.done():
                task.cancel()
        await asyncio.gather(running, watching, return_exceptions=True)


async def _disconnected(request: Request[Any, Any, Any]) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
