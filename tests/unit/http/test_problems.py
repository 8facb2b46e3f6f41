"""Every error is a problem document."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
import pytest
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from parlance.errors import Conflict, Overloaded, Unavailable
from parlance.http.problems import problem_body, responses


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    score: Annotated[int, msgspec.Meta(ge=1)] = 1


class Body(msgspec.Struct, forbid_unknown_fields=True):
    documents: list[Inner]


@post("/echo", status_code=200)
async def echo(data: JSONBody[Body]) -> Body:
    return data


@get("/boom/{kind:str}")
async def boom(kind: FromPath[str]) -> None:
    if kind == "conflict":
        raise Conflict("It is there already.", hint="Choose another.", index=3)
    if kind == "busy":
        raise Overloaded("Too much.", retry_after_s=2.2)
    if kind == "down":
        raise Unavailable("No database.")
    raise RuntimeError("a secret text of a user")


@get("/page")
async def page(limit: Annotated[int, QueryParameter(ge=1, le=10)] = 5) -> int:
    return limit


def check(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"] == f"urn:parlance:problem:{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def test_our_errors_carry_code_hint_and_facts(serve):
    async with serve(boom) as server:
        body = check(await server.client.get("/boom/conflict"), 409, "conflict")
    assert body["hint"] == "Choose another."
    assert body["index"] == 3


async def test_an_overload_says_when_to_come_back(serve):
    async with serve(boom) as server:
        response = await server.client.get("/boom/busy")
    check(response, 429, "overloaded")
    assert response.headers["retry-after"] == "3"


async def test_an_unavailable_part_says_when_to_come_back(serve):
    async with serve(boom) as server:
        response = await server.client.get("/boom/down")
    check(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_an_unexpected_exception_tells_the_caller_nothing_of_itself(serve):
    async with serve(boom) as server:
        response = await server.client.get("/boom/other")
    check(response, 500, "internal_error")
    assert "secret" not in response.text


async def test_an_unknown_path_is_a_problem(serve):
    async with serve() as server:
        check(await server.client.get("/nothing/here"), 404, "route_not_found")
        check(await server.client.get("/openapi/nothing"), 404, "route_not_found")
        check(await server.client.get("/docs/assets/secret.txt"), 404, "route_not_found")
        check(await server.client.get("/console/none/page"), 404, "route_not_found")


async def test_a_wrong_method_says_which_are_allowed(serve):
    async with serve(echo) as server:
        response = await server.client.get("/echo")
    check(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b'{"documents": [{"text": "a"},]}', 400, "invalid_json"),
        (b'{"documents": [{"text": "\xff"}]}', 400, "invalid_json"),
        (b'{"documents": NaN}', 400, "invalid_json"),
        (b"[" * 100_000, 422, "validation_failed"),
        (b"9" * 5000, 422, "validation_failed"),
        (b'{"documents": [{"text": "\\ud800"}]}', 422, "not_unicode"),
        (b"{}", 422, "validation_failed"),
        (b'{"documents": [{"text": 1}]}', 422, "validation_failed"),
        (b'{"documents": [{"text": "a", "score": "5"}]}', 422, "validation_failed"),
        (b'{"documents": [], "extra": 1}', 422, "validation_failed"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_body_that_cannot_be_read_is_one_clear_problem(serve, content, status, code):
    async with serve(echo) as server:
        response = await server.client.post("/echo", content=content, headers={"content-type": "application/json"})
    check(response, status, code)


async def test_invalid_json_names_line_and_column(serve):
    async with serve(echo) as server:
        response = await server.client.post("/echo", content=b'{"documents":\n [}')
    body = check(response, 400, "invalid_json")
    assert (body["line"], body["column"], body["position"]) == (2, 3, 16)


async def test_a_wrong_field_is_named_by_its_path(serve):
    async with serve(echo) as server:
        response = await server.client.post("/echo", json={"documents": [{"text": "a"}, {"text": "b", "score": 0}]})
    body = check(response, 422, "validation_failed")
    assert body["errors"] == [{"path": "documents[1].score", "message": "Expected 'int' >= 1"}]


async def test_half_a_surrogate_pair_is_named_by_its_path(serve):
    async with serve(echo) as server:
        response = await server.client.post("/echo", content=b'{"documents": [{"text": "a"}, {"text": "x\\udc00y"}]}')
    body = check(response, 422, "not_unicode")
    assert body["errors"][0]["path"] == "documents[1].text"


async def test_a_body_that_is_not_json_by_its_type_is_refused(serve):
    async with serve(echo) as server:
        response = await server.client.post("/echo", content=b"a=1", headers={"content-type": "text/plain"})
    check(response, 415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_refused_with_the_limit(serve):
    async with serve(echo, **{"limits.body_bytes": 100}) as server:
        response = await server.client.post("/echo", json={"documents": [{"text": "x" * 200}]})
    assert check(response, 413, "body_too_large")["limit"] == 100


async def test_a_wrong_query_parameter_is_named(serve):
    async with serve(page) as server:
        body = check(await server.client.get("/page?limit=99"), 422, "validation_failed")
        check(await server.client.get("/page?limit=x"), 422, "validation_failed")
    assert body["errors"][0]["path"] == "limit"


async def test_a_caller_that_goes_away_cancels_the_work(serve):
    from parlance.errors import ClientGone
    from parlance.http.disconnect import cancel_on_disconnect

    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Gone:
        async def receive(self) -> dict[str, Any]:
            return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        await cancel_on_disconnect(Gone(), work())
    assert cancelled.is_set()


async def test_work_that_is_done_first_gives_its_result():
    from parlance.http.disconnect import cancel_on_disconnect

    class Stays:
        async def receive(self) -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

    async def work() -> int:
        return 7

    assert await cancel_on_disconnect(Stays(), work()) == 7


def test_responses_of_one_status_are_described_together():
    class Other(Conflict):
        """Another conflict."""

    described = responses(Conflict, Other)
    assert described[409].description == "The present state does not allow the request. Another conflict."


def test_facts_never_replace_the_standard_members():
    body = msgspec.json.decode(problem_body(Conflict("x", status=1, type="evil", limit=3), "id"))
    assert (body["status"], body["type"], body["limit"]) == (409, "urn:parlance:problem:conflict", 3)
