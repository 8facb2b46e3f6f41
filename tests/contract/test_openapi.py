"""The whole application against its own OpenAPI description: every generated request gets a described answer."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from litestar.testing import TestClient
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from parlance.app import build
from parlance.settings import load_settings
from parlance.testing import FakeEngine

pytestmark = pytest.mark.slow
load_all_checks()

_NOT_ASKED = {
    # A description cannot say that a text must not be blank, that a model must exist, or what a limit is set to.
    "positive_data_acceptance",
    # Query parameters that a route does not know are ignored, as everywhere on the web.
    "negative_data_rejection",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    flags = {
        "database.url": f"sqlite:///{folder / 'test.sqlite'}",
        "models.cache": str(folder / "models"),
        "server.auth": "off",
        "http_client.allow_private": False,
    }
    application = build(load_settings(flags=flags, environment={}), engine=FakeEngine())
    with TestClient(application.asgi) as client:
        document = client.get("/openapi.json").json()
        yield document, client


def _plain(name: str) -> bool:
    return name not in _NOT_ASKED


CHOSEN = [check for check in CHECKS.get_all() if _plain(check.__name__)]


def test_every_answer_is_as_described(api):
    document, client = api
    described = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    wrong = []
    for found in described.get_all_operations():
        operation = found.ok()
        if _has_no_end(operation.definition.raw):
            continue
        try:
            _try(operation, client)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # every route is tried; failures are told together
            wrong.append(
                f"{operation.label}: {error}\n" + "\n".join(str(one) for one in getattr(error, "exceptions", ()))
            )
    assert not wrong, "\n\n".join(wrong)


def _has_no_end(operation) -> bool:
    """Whether the answer is an event stream, which a test client would read for ever; tests/e2e follows those."""
    return any("text/event-stream" in answer.get("content", {}) for answer in operation["responses"].values())


def _try(operation, client):
    @given(operation.as_strategy())
    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def answer(case):
        arguments = case.as_transport_kwargs()
        body = {key: arguments[key] for key in ("json", "data") if arguments.get(key) is not None}
        if isinstance(body.get("data"), (bytes, str)):
            body = {"content": body["data"]}
        response = client.request(
            arguments["method"],
            case.formatted_path,
            params=arguments.get("params"),
            headers=arguments.get("headers"),
            follow_redirects=False,
            **body,
        )
        case.validate_response(schemathesis.Response.from_httpx(response, verify=False), checks=CHOSEN)

    answer()
