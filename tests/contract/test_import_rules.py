"""Who imports whom, as declared in ``pyproject.toml`` and as seen in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

LOADED = "import sys; print(*sorted(name for name in sys.modules if '.' not in name))"
APPLICATION = """
import asyncio, tempfile
from parlance.app import build
from parlance.settings import load_settings
with tempfile.TemporaryDirectory() as folder:
    app = build(load_settings(flags={"database.url": f"sqlite:///{folder}/x.sqlite"}, environment={}), discover=False,
                plugins={name: __import__(f"parlance_{name}.plugin", fromlist=["plugin"]).plugin
                         for name in ("support", "sentiment", "recommend")})
    asyncio.run(app.close())
"""
COMMANDS = """
import click
from parlance.cli.main import cli
def walk(command, context):
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        walk(command.get_command(context, name), click.Context(command))
walk(cli, click.Context(cli))
for name in ("support", "sentiment", "recommend"):
    __import__(f"parlance_{name}.plugin", fromlist=["plugin"]).plugin.parlance_commands()
"""


def test_the_declared_rules_hold() -> None:
    """Layers, no plugin in the core or in another plugin, nothing of training in serving."""
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed (pip install 'parlance[dev]')")
    done = subprocess.run([program, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("program", "never"),
    [
        ("import parlance", {"litestar", "numpy", "onnx", "onnxruntime", "pluggy", "sqlalchemy", "torch"}),
        ("import parlance.cli.main", {"litestar", "numpy", "onnxruntime", "sqlalchemy", "torch"}),
        ("import parlance.settings, parlance.errors, parlance.plugins.hookspecs", {"litestar", "onnxruntime", "torch"}),
        (COMMANDS, {"torch", "transformers", "onnxruntime", "litestar"}),
        (APPLICATION, {"torch", "transformers", "peft"}),
    ],
    ids=["parlance", "command line", "what plugins need", "every command", "the application"],
)
def test_nothing_heavy_is_loaded(program: str, never: set[str], run: Any, tmp_path: Path) -> None:
    done = run("-W", "error", "-c", f"{program}\n{LOADED}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "parlance" in loaded
    assert loaded & never == set()


def test_importing_the_core_loads_no_plugin(run: Any, tmp_path: Path) -> None:
    program = "import parlance.app, parlance.testing, parlance.cli.plugins"
    done = run("-c", f"{program}\n{LOADED}", cwd=tmp_path)
    assert {name for name in done.stdout.split() if name.startswith("parlance_")} == set()


@pytest.mark.parametrize("name", ["support", "sentiment", "recommend"])
def test_a_plugin_loads_no_other(name: str, run: Any, tmp_path: Path) -> None:
    done = run("-c", f"import parlance_{name}.plugin, parlance_{name}.routes\n{LOADED}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {found for found in done.stdout.split() if found.startswith("parlance_")} == {f"parlance_{name}"}
