"""The documents say what the code does: hooks, settings, links, and examples that parse."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from parlance.plugins import hookspecs

ROOT = Path(__file__).parents[2]
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("parlance_")}
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "deploy/*.md", "plugins/*/README.md") for path in ROOT.glob(pattern)
)


def section(hook: str) -> str:
    """The text under a hook's heading."""
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    heading = f"\n## {hook}({arguments})\n"
    assert heading in PLUGINS, f"docs/plugins.md has no heading '{heading.strip()}'"
    return PLUGINS.partition(heading)[2].partition("\n## ")[0]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_section_with_its_arguments_and_an_example_of_it(hook: str) -> None:
    text = section(hook)
    assert "```python" in text
    assert f"def {hook}(" in text


def test_no_section_is_about_a_hook_that_is_gone() -> None:
    described = re.findall(r"^## (parlance_\w+)\(", PLUGINS, re.MULTILINE)
    assert sorted(described) == sorted(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hooks_docstring_says_when_it_is_called_what_it_takes_and_what_it_returns(hook: str) -> None:
    function = HOOKS[hook]
    docstring = inspect.getdoc(function) or ""
    assert "Called " in docstring or "called " in docstring
    assert "\nReturns:\n" in docstring
    for argument in inspect.signature(function).parameters:
        assert f"\nArgs:\n    {argument}: " in docstring


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_implemented_by_the_third_party_plugin_and_has_a_test(hook: str) -> None:
    contract = ROOT / "tests" / "contract"
    source = (contract / "thirdparty" / "parlance_termbase" / "plugin.py").read_text(encoding="utf-8")
    implemented = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert hook in implemented
    tests = (contract / "test_thirdparty.py").read_text(encoding="utf-8")
    words = hook.removeprefix("parlance_").split("_")[-1]
    assert re.search(rf"def test_.*({hook}|{words})", tests)


def test_configuration_md_is_current() -> None:
    """``python docs/generate.py`` would change nothing."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run python docs/generate.py; {done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_are_well_formed(document: Path) -> None:
    """Python, TOML and JSON blocks parse."""
    text = document.read_text(encoding="utf-8")
    for kind, body in re.findall(r"^```(python|toml|json)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if kind == "python":
            ast.parse(body)
        elif kind == "toml":
            tomllib.loads(body)
        else:
            json.loads(body)


def test_the_index_links_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_the_changelog_has_the_present_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\n## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
