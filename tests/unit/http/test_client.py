"""The outbound client: guarded, pinned, bounded."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from parlance.errors import BadInput, DeadlineExceeded, TooLarge
from parlance.http.client import AddressRefused, HttpClient, OutboundFailed, is_public
from parlance.settings import HttpClientSettings
from servers import Receiver


@pytest.fixture
async def client():
    made = HttpClient(HttpClientSettings(allow_private=True, max_response_bytes=1000, timeout_s=5))
    yield made
    await made.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%eth0",
    ],
)
def test_addresses_of_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "127.1"])
async def test_loopback_in_any_spelling_is_refused(receiver: Receiver, host: str) -> None:
    client = HttpClient(HttpClientSettings())
    with pytest.raises((AddressRefused, OutboundFailed)):
        await client.request("GET", receiver.url.replace("127.0.0.1", host))
    assert receiver.requests == []
    await client.close()


async def test_a_name_with_one_private_address_is_refused_and_resolved_once(receiver: Receiver) -> None:
    asked = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14", "10.0.0.1"]

    client = HttpClient(HttpClientSettings(), resolver=resolver)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        await client.request("GET", "http://rebind.test/")
    assert asked == ["rebind.test"]
    await client.close()


async def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    client = HttpClient(HttpClientSettings(allow_private=True), resolver=resolver)
    await client.request("POST", receiver.url.replace("127.0.0.1", "name.test") + "/p?q=1", content="好".encode())
    (got,) = receiver.requests
    assert got.headers["host"].startswith("name.test:")
    assert (got.path, got.body.decode()) == ("/p?q=1", "好")
    await client.close()


async def test_first_requests_at_once_share_one_pool(client, receiver: Receiver) -> None:
    made = []
    make = client._make_pool
    client._make_pool = lambda: made.append(1) or make()
    await asyncio.gather(*(client.request("GET", receiver.url) for _ in range(5)))
    assert (len(made), len(receiver.requests)) == (1, 5)


async def test_redirects_are_given_back_not_followed(client, receiver: Receiver) -> None:
    receiver.answer = lambda _: (302, {"location": "http://127.0.0.1:1/"}, b"")
    answer = await client.request("GET", receiver.url)
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")
    assert len(receiver.requests) == 1


async def test_an_answer_over_the_limit_is_refused_or_cut_also_when_packed(client, receiver: Receiver) -> None:
    for headers, body in (({}, b"x" * 2000), ({"content-encoding": "gzip"}, gzip.compress(b"x" * 10_000_000))):
        receiver.answer = lambda _, h=headers, b=body: (200, h, b)
        with pytest.raises(TooLarge):
            await client.request("GET", receiver.url)
        assert len((await client.request("GET", receiver.url, cut=True)).body) == 1000
    receiver.answer = lambda _: (200, {"content-encoding": "gzip"}, gzip.compress("好".encode()))
    assert (await client.request("GET", receiver.url)).body.decode() == "好"
    receiver.answer = lambda _: (200, {"content-encoding": "gzip"}, b"not gzip")
    with pytest.raises(OutboundFailed):
        await client.request("GET", receiver.url)


async def test_a_server_that_never_answers_is_given_up(client) -> None:
    held = asyncio.Event()

    async def silent(reader, writer) -> None:
        await held.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    with pytest.raises(DeadlineExceeded):
        await client.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout_s=0.05)
    held.set()
    server.close()


async def test_no_connection_and_no_http_are_outbound_failures(client) -> None:
    with pytest.raises(OutboundFailed):
        await client.request("GET", "http://127.0.0.1:1/")

    async def rude(reader, writer) -> None:
        writer.write(b"hello\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    with pytest.raises(OutboundFailed):
        await client.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "/path", "http://", "http://x:abc/", "http://[::1/", "file:///etc/passwd"]
)
async def test_what_is_no_url_is_bad_input(client, url: str) -> None:
    with pytest.raises(BadInput):
        await client.request("GET", url)


async def test_a_header_cannot_smuggle_another(client, receiver: Receiver) -> None:
    with pytest.raises((BadInput, OutboundFailed)):
        await client.request("GET", receiver.url, headers={"x-a": "1\r\nx-b: 2"})
    assert receiver.requests == []
