"""What every request passes first: request id, caller, rate limit; and last: metrics and one summary line.

It stands around the whole Litestar application, so that answers to unknown paths and wrong methods are covered too.
Event streams end when the server stops: to their handlers that looks like a caller who went away.
Texts, bodies and headers are not logged; the summary line holds the route's template, not the path.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import Any, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge, Histogram
from structlog.contextvars import bind_contextvars, reset_contextvars

from parlance.errors import Overloaded, ParlanceError
from parlance.http.auth import CALLER_KEY, Caller
from parlance.http.problems import ERROR_KEY, MEDIA_TYPE, REQUEST_ID_KEY, problem_body, problem_headers
from parlance.http.rate import Allowance, RateLimiter
from parlance.observe.logging import get_logger
from parlance.observe.metrics import Metrics
from parlance.observe.stages import begin_stages, end_stages
from parlance.plugins.state import ServerState

__all__ = ["Gateway", "Identifies"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_UNLIMITED = {"/health/live", "/health/ready", "/metrics"}
"""Probes and scrapes: neither rate-limited, nor counted as in flight, nor logged above debug."""


class Identifies(Protocol):
    """What turns a key into a caller."""

    async def identify(self, token: str, /) -> Caller:
        """See :meth:`parlance.http.api_keys.Authenticator.identify`."""


class Gateway:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, *, door: Identifies, state: ServerState, metrics: Metrics) -> None:
        self._app = app
        self._door = door
        self._state = state
        per_minute = state.settings.core.limits.requests_per_minute
        self._limiter = RateLimiter(per_minute) if per_minute else None
        self._log = get_logger("parlance.http")
        labels = ("method", "route", "status")
        self._requests: Counter = metrics.counter("requests", "HTTP requests answered.", labels)
        self._seconds: Histogram = metrics.histogram("request_seconds", "Time to answer.", ("method", "route"))
        self._inflight: Gauge = metrics.gauge("inflight_requests", "HTTP requests being answered, probes left out.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; anything but HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        await _Exchange(self, scope, send).run(receive)

    def allowance(self, scope: HTTPScope, caller: Caller) -> Allowance | None:
        """Take a request from the caller's bucket; ``None`` where there is no limit."""
        if self._limiter is None or scope["path"] in _UNLIMITED:
            return None
        client = scope.get("client")
        return self._limiter.take(caller.key_id or (client[0] if client else "unknown"))


class _Exchange:
    """One request and its answer."""

    def __init__(self, gateway: Gateway, scope: HTTPScope, send: Send) -> None:
        self.gateway = gateway
        self.scope: dict[str, Any] = scope  # type: ignore[assignment]  # also holds our own keys
        self._send = send
        self.status = 0
        self.bytes_out = 0
        self.extra_headers: list[tuple[bytes, bytes]] = []
        self.endless = False
        self.finished = False

    async def run(self, receive: Receive) -> None:
        gateway, scope = self.gateway, self.scope
        started = time.perf_counter()
        headers = _wanted_headers(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        scope[REQUEST_ID_KEY] = request_id
        self.extra_headers.append((b"x-request-id", request_id.encode()))
        trace = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
        bound = {"request_id": request_id, **({"trace_id": trace.group(1).decode()} if trace else {})}
        context = bind_contextvars(**bound)
        stages, token = begin_stages()
        counted = scope["path"] not in _UNLIMITED
        if counted:
            gateway._inflight.inc()  # noqa: SLF001  # one class in two halves
        try:
            caller = await self._identify(headers)
            scope[CALLER_KEY] = caller
            allowance = gateway.allowance(scope, caller)  # type: ignore[arg-type]  # a plain dictionary here
            if allowance is not None:
                self.extra_headers.extend(allowance.headers())
            if gateway._state.phase == "draining":  # noqa: SLF001
                self.extra_headers.append((b"connection", b"close"))
            if allowance is not None and not allowance.allowed:
                await self._refuse(allowance)
            else:
                await gateway._app(scope, self._receiver(receive), self._answer)  # type: ignore[arg-type]  # noqa: SLF001
                if self.endless and not self.finished and gateway._state.stopping.is_set():  # noqa: SLF001
                    await self._answer({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception:
            gateway._log.exception("response_broken", route=scope.get("path_template", ""))  # noqa: SLF001
            self.status = self.status or 500
            raise
        finally:
            if counted:
                gateway._inflight.dec()  # noqa: SLF001
            end_stages(token)
            self._finish(time.perf_counter() - started, stages, headers)
            reset_contextvars(**context)

    async def _identify(self, headers: dict[bytes, bytes]) -> Caller:
        """Who calls; a database that cannot be asked refuses only the routes that need to know."""
        try:
            return await self.gateway._door.identify(_token(headers))  # noqa: SLF001
        except ParlanceError as error:
            return Caller(name="anonymous", scopes=frozenset(), refusal=error)

    def _receiver(self, receive: Receive) -> Receive:
        """What the handler receives: what the caller sends, and a disconnect for event streams at the stop."""
        stopping = self.gateway._state.stopping  # noqa: SLF001

        async def received() -> Any:
            if not self.endless:
                return await receive()
            tasks = (asyncio.ensure_future(receive()), asyncio.ensure_future(stopping.wait()))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return tasks[0].result() if tasks[0].done() else {"type": "http.disconnect"}
            finally:
                for task in tasks:  # not awaited: granian's receive ends only with the connection
                    task.cancel()

        return received

    async def _refuse(self, allowance: Allowance) -> None:
        error = Overloaded(
            f"More than {allowance.limit} requests in a minute.",
            hint="Wait as long as Retry-After says, or raise limits.requests_per_minute.",
            retry_after_s=allowance.reset_s,
            limit=allowance.limit,
        )
        error.code = "rate_limited"  # type: ignore[misc]  # a finer code than its class's
        self.scope[ERROR_KEY] = error.code
        body = problem_body(error, self.scope[REQUEST_ID_KEY])
        headers = [(name.encode(), value.encode()) for name, value in problem_headers(error).items()]
        headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self._answer({"type": "http.response.start", "status": error.status, "headers": headers})
        await self._answer({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.endless = any(
                name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"]
            )
            message["headers"] = [*message["headers"], *self.extra_headers]
        elif message["type"] == "http.response.body":
            self.bytes_out += len(message.get("body", b""))
            self.finished = not message.get("more_body", False)
        await self._send(message)

    def _finish(self, seconds: float, stages: dict[str, float], headers: dict[bytes, bytes]) -> None:
        gateway, scope = self.gateway, self.scope
        route = scope.get("path_template") or "(none)"
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        gateway._requests.labels(method, route, str(self.status)).inc()  # noqa: SLF001
        gateway._seconds.labels(method, route).observe(seconds)  # noqa: SLF001
        line: dict[str, Any] = {
            "method": method,
            "route": route,
            "status": self.status,
            "ms": round(seconds * 1000, 2),
            "bytes_in": _length(headers.get(b"content-length")),
            "bytes_out": self.bytes_out,
            "caller": scope[CALLER_KEY].name if CALLER_KEY in scope else "",
        }
        if stages:
            line["stages_ms"] = {name: round(value * 1000, 2) for name, value in stages.items()}
        if ERROR_KEY in scope:
            line["code"] = scope[ERROR_KEY]
        log = gateway._log  # noqa: SLF001
        (log.debug if route in _UNLIMITED else log.info)("request", **line)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_WANTED = {b"x-request-id", b"traceparent", b"authorization", b"x-api-key", b"content-length"}


def _wanted_headers(headers: Any) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name in _WANTED}


def _request_id(given: bytes | None) -> str:
    """The caller's own id where it is harmless to log, otherwise a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return secrets.token_hex(8)


def _token(headers: dict[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token:
        return token.strip().decode("latin-1")
    return headers.get(b"x-api-key", b"").strip().decode("latin-1")


def _length(given: bytes | None) -> int:
    return int(given) if given is not None and given.isdigit() else 0
