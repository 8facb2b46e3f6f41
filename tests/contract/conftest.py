"""Installs packages as distributions of their own, and runs programs that see them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]


@pytest.fixture(scope="session")
def install() -> Callable[[Path, Path], Path]:
    """Installs the package in a folder into another folder by pip; nothing is fetched."""

    def installed(source: Path, target: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        options = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
        done = subprocess.run([*pip, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    return installed


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs Python in a process of its own, with further folders before the project's own in its path."""

    def ran(
        *arguments: str | Path, path: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        folders = [*([str(path)] if path else []), str(ROOT / "core"), str(ROOT / "plugins")]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PARLANCE_", "COVERAGE"))}
        environment |= {"PYTHONPATH": os.pathsep.join(folders), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=300,
        )

    return ran


@pytest.fixture(scope="session")
def parlance(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the ``parlance`` program in an empty folder, so that no settings file of the checkout is read."""
    empty = tmp_path_factory.mktemp("empty")

    def ran(
        *arguments: str | Path, path: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = "from parlance.cli.main import main; main()"
        return run("-c", program, *arguments, path=path, cwd=cwd or empty)

    return ran
