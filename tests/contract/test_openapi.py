"""The whole application against its own OpenAPI description: every generated request gets a described answer."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
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


schema = schemathesis.pytest.from_fixture("described")


@pytest.fixture(scope="module")
def described(api):
    document, _ = api
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig())


CHOSEN = [check for check in CHECKS.get_all() if _plain(check.__name__)]


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case, api):
    _, client = api
    arguments = case.as_transport_kwargs()
    response = client.request(
        arguments["method"],
        case.formatted_path,
        params=arguments.get("params"),
        headers=arguments.get("headers"),
        json=arguments.get("json"),
        content=arguments.get("data") if isinstance(arguments.get("data"), (bytes, str)) else None,
        follow_redirects=False,
    )
    wrapped = schemathesis.Response.from_httpx(response, verify=False)
    case.validate_response(wrapped, checks=CHOSEN)
