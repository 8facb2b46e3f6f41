"""Outbound HTTP that cannot be turned against the machine's own network: every address is checked at the connection.

The name is resolved once, all its addresses are checked, and the connection goes to a checked address (so a second
answer of the name server, DNS rebinding, changes nothing). Redirects are not followed, proxies of the environment are
not used, answers are bounded in size and time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from parlance import __version__
from parlance.errors import BadInput, DeadlineExceeded, Forbidden, TooLarge, Unavailable
from parlance.settings import HttpClientSettings

if TYPE_CHECKING:
    import httpcore

__all__ = ["AddressRefused", "HttpClient", "OutboundFailed", "Resolver", "Response", "is_public"]

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Gives the IP addresses of a host name."""


class AddressRefused(Forbidden):
    """The host has a loopback, private, link-local or otherwise not public address."""

    code = "address_refused"
    title = "Address refused"


class OutboundFailed(Unavailable):
    """The other server could not be reached, or did not speak HTTP."""

    code = "outbound_failed"
    title = "Outbound request failed"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: header names in lower case, the body whole (or cut, where that was asked for)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when one is wrapped in another (RFC 6052, 3056)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class HttpClient:
    """One pool of outbound connections, opened at the first request."""

    def __init__(self, settings: HttpClientSettings, *, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver or _resolve
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._making = asyncio.Lock()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        timeout_s: float | None = None,
        cut: bool = False,
    ) -> Response:
        """Send one request and read its answer.

        Args:
            method: ``GET``, ``POST`` …
            url: absolute, http or https.
            headers: further headers.
            content: the body.
            timeout_s: for everything from the name look-up to the last byte; the setting's by default.
            cut: cut an answer that is over the limit instead of raising.

        Raises:
            BadInput: the URL is not one (``bad_url``).
            AddressRefused: the host's address is not public and ``http_client.allow_private`` is off.
            DeadlineExceeded: the time ran out.
            TooLarge: the answer is over ``http_client.max_response_bytes``.
            OutboundFailed: no connection, bad certificate, broken answer.
        """
        host = _checked_host(url)
        limit_s = timeout_s if timeout_s is not None else self._settings.timeout_s
        import httpcore

        given = {name.lower(): value for name, value in (headers or {}).items()}
        sent = {"accept-encoding": "gzip", "user-agent": f"parlance/{__version__}", **given}
        if content:
            sent["content-length"] = str(len(content))
        try:
            async with asyncio.timeout(limit_s):
                return await self._send(method, url, sent, content, cut=cut)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{host} did not answer within {limit_s:g} s.", code="outbound_timeout") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            reason = str(error) or type(error).__name__
            raise OutboundFailed(f"The request to {host} failed: {reason}.") from error
        except (httpcore.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise BadInput(f"The request to {host} cannot be sent: {error}.", code="bad_url") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.aclose()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes, *, cut: bool) -> Response:
        async with self._making:
            if self._pool is None:
                self._pool = await asyncio.to_thread(self._make_pool)
            pool = self._pool
        fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        async with pool.stream(method, url, headers=_with_host(url, fields), content=content) as answer:
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            body = await self._body(answer.aiter_stream(), found, cut=cut)
            return Response(status=answer.status, headers=found, body=body)

    async def _body(self, chunks: AsyncIterator[bytes], headers: Mapping[str, str], *, cut: bool) -> bytes:
        limit = self._settings.max_response_bytes
        # zlib with 32 added to the window bits recognises gzip and zlib by their headers.
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if headers.get("content-encoding") == "gzip" else None
        body = bytearray()
        async for chunk in chunks:
            try:
                body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack is not None else chunk
            except zlib.error as error:
                raise OutboundFailed(f"An answer is not the gzip that it says it is: {error}.") from error
            if len(body) > limit:
                if cut:
                    break
                raise TooLarge(f"An answer is over {limit} bytes.", hint="Raise http_client.max_response_bytes.")
        return bytes(body[:limit])

    def _make_pool(self) -> httpcore.AsyncConnectionPool:
        """In a thread: loading the certificates takes tens of milliseconds."""
        import httpcore

        return httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=30.0,
            network_backend=_guarded_backend(self._resolver, allow_private=self._settings.allow_private),
        )


def _guarded_backend(resolver: Resolver, *, allow_private: bool) -> httpcore.AsyncNetworkBackend:
    """A network back end that connects to checked addresses only (made here because httpcore is imported late)."""
    import httpcore

    class Guarded(httpcore.AsyncNetworkBackend):
        def __init__(self) -> None:
            self._inner = httpcore.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            addresses = await resolver(host, port)
            for address in addresses:
                if not allow_private and not is_public(address):
                    raise AddressRefused(
                        f"{host} has the address {address}, which is not a public one.",
                        hint="Set http_client.allow_private if requests into this network are wanted.",
                    )
            failure: Exception = httpcore.ConnectError(f"{host} has no address")
            for address in addresses:
                try:
                    return await self._inner.connect_tcp(
                        address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                    )
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failure = error
            raise failure

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    return Guarded()


def _checked_host(url: str) -> str:
    """The host of a usable URL, for messages (the rest of a URL may hold secrets)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"A URL cannot be read: {error}.", code="bad_url") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput("A URL must be absolute and begin with http:// or https://.", code="bad_url")
    return host


def _with_host(url: str, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii")
    return [(b"host", host), *(field for field in fields if field[0] != b"host")]


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise OutboundFailed(f"{host} cannot be found: {error}.") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
