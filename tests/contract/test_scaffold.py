"""``parlance plugins new`` writes a package that installs as a distribution, passes its own test and answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ANSWER = """
import asyncio, json, sys
from litestar.testing import AsyncTestClient
from parlance.app import build
from parlance.settings import load_settings
from parlance.testing import FakeEngine

async def main():
    settings = load_settings(flags={
        "database.url": f"sqlite:///{sys.argv[1]}/app.sqlite", "server.auth": "off", "models.cache": sys.argv[1],
        "plugins.disabled": ["support", "sentiment", "recommend"],
    }, environment={})
    app = build(settings, engine=FakeEngine())
    async with AsyncTestClient(app.asgi) as client:
        answer = await client.post("/spell_check/similarity", json={"first": "我的包裹", "second": "我的包裹"})
    print(json.dumps({"status": answer.status_code, "body": answer.json()}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def package(parlance: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    done = parlance("plugins", "new", "spell_check", "--folder", folder)
    assert done.returncode == 0, done.stderr
    assert "pip install -e" in done.stdout
    return folder / "parlance-spell-check"


@pytest.fixture(scope="module")
def site(package: Path, install: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(package, tmp_path_factory.mktemp("site"))


def test_it_has_every_part(package: Path) -> None:
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    modules = {f"parlance_spell_check/{name}.py" for name in ("__init__", "plugin", "routes", "schemas", "settings")}
    assert found == {"README.md", "pyproject.toml", "tests/test_plugin.py", *modules}


def test_it_passes_its_own_test(run: Any, package: Path, site: Path) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, path=site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_it_answers_on_its_route_beside_the_core(run: Any, site: Path, tmp_path: Path) -> None:
    done = run("-W", "error", "-c", ANSWER, tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["status"] == 200
    assert answer["body"] == {"similarity": pytest.approx(1.0), "model": "embed-multi@fake"}


def test_it_is_listed_with_version_and_hooks(parlance: Any, site: Path) -> None:
    rows = json.loads(parlance("plugins", "list", "--json", path=site).stdout)
    row = next(row for row in rows if row["name"] == "spell_check")
    assert (row["distribution"], row["version"], row["state"]) == ("parlance-spell-check", "0.1.0", "running")
    assert row["hooks"] == ["parlance_metrics", "parlance_routes", "parlance_settings"]


def test_its_code_is_clean(run: Any, package: Path) -> None:
    lint = run("-m", "ruff", "check", "--isolated", "--line-length", "120", "--select", "E,F,I,B,UP", cwd=package)
    assert lint.returncode == 0, lint.stdout
    style = run("-m", "ruff", "format", "--isolated", "--line-length", "120", "--check", cwd=package)
    assert style.returncode == 0, style.stdout


def test_a_name_is_taken_once_the_plugin_is_installed(parlance: Any, site: Path, tmp_path: Path) -> None:
    done = parlance("plugins", "new", "spell_check", "--folder", tmp_path, path=site)
    assert done.returncode == 2
    assert "taken" in done.stderr
    assert list(tmp_path.iterdir()) == []
