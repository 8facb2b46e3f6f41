"""The built distribution is whole: what is not Python is in it too, and it works without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(install: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as pip installs it, in a folder."""
    if not (ROOT / "README.md").exists():
        pytest.skip("the checkout has no README.md, which the distribution needs")
    return install(ROOT, tmp_path_factory.mktemp("wheel"))


def parlance(installed: Path, cwd: Path, *arguments: str) -> str:
    """Run the installed program, out of reach of the checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PARLANCE_", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", "from parlance.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["core/parlance", "plugins/parlance_support", "plugins/parlance_sentiment"])
def test_every_file_of_the_packages_is_in_it(name: str, installed: Path) -> None:
    source = ROOT / name
    target = installed / source.name
    wanted = {
        path.relative_to(source) for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert {str(path) for path in wanted if not (target / path).is_file()} == set()


def test_the_models_manifests_come_with_it(installed: Path) -> None:
    wanted = {path.parent.name for path in (ROOT / "models").glob("*/model.toml")}
    assert {path.parent.name for path in (installed / "parlance" / "bundled_models").glob("*/model.toml")} == wanted
    assert wanted


def test_its_plugins_are_found_by_their_entry_points(installed: Path, tmp_path: Path) -> None:
    rows = {row["name"]: row for row in json.loads(parlance(installed, tmp_path, "plugins", "list", "--json"))}
    assert {rows[name]["state"] for name in ("support", "sentiment", "recommend")} == {"running"}
    assert rows["support"]["distribution"] == "parlance"


def test_it_writes_new_plugins(installed: Path, tmp_path: Path) -> None:
    parlance(installed, tmp_path, "plugins", "new", "fresh")
    assert (tmp_path / "parlance-fresh" / "parlance_fresh" / "plugin.py").is_file()
