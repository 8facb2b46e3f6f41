"""The description says what the server does."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from parlance.errors import Conflict
from parlance.http.auth import require_scope
from parlance.http.problems import responses


class Thing(Struct, forbid_unknown_fields=True):
    text: str


@post("/things", guards=[require_scope("things:write")], responses=responses(Conflict), operation_id="add_thing")
async def add_thing(data: JSONBody[Thing]) -> Thing:
    return data


@get("/things/{name:str}", operation_id="get_thing")
async def get_thing(name: FromPath[str]) -> Thing:
    return Thing(name)


@pytest.fixture
async def document(serve) -> dict[str, Any]:
    async with serve(add_thing, get_thing) as server:
        response = await server.client.get("/openapi.json")
        assert response.status_code == 200
        return response.json()


async def test_the_version_is_3_1(document):
    assert document["openapi"].startswith("3.1")


async def test_unknown_fields_are_described_as_refused(document):
    schemas = [schema for name, schema in document["components"]["schemas"].items() if name.endswith("Thing")]
    assert schemas[0]["additionalProperties"] is False


async def test_every_error_of_every_route_is_a_problem_document(document):
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status >= "400" and (path, status) != ("/health/ready", "503"):
                    assert set(response["content"]) == {"application/problem+json"}, (path, status)


async def test_a_route_shows_its_scope_and_particular_errors(document):
    operation = document["paths"]["/things"]["post"]
    assert {"bearer": []} in operation["security"]
    assert "`things:write`" in operation["description"]
    assert "409" in operation["responses"]
    assert {"400", "401", "403", "413", "415", "422", "429", "500", "503"} <= operation["responses"].keys()
    assert "404" in document["paths"]["/things/{name}"]["get"]["responses"]
