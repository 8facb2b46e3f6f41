"""A new plugin is written wholly or not at all, under a name that nobody has."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from parlance.cli.main import cli
from parlance.errors import Conflict, StorageError, ValidationFailed
from parlance.plugins.scaffold import TEMPLATE, check_name, write_plugin


def test_every_file_of_the_template_is_written_and_filled_in(tmp_path: Path) -> None:
    written = write_plugin("spell_check", tmp_path, taken={})
    assert len(written) == len(list(TEMPLATE.rglob("*.txt")))
    assert all("$" not in path.read_text(encoding="utf-8") for path in written)
    for path in written:
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"))
    project = tomllib.loads((tmp_path / "parlance-spell-check" / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["parlance.plugins"] == {
        "spell_check": "parlance_spell_check.plugin:plugin"
    }
    assert "class SpellCheckPlugin" in (tmp_path / "parlance-spell-check/parlance_spell_check/plugin.py").read_text()


@pytest.mark.parametrize("name", ["", "Big", "9lives", "with-hyphen", "with space", "class", "词汇", "../up", "a" * 41])
def test_a_name_that_cannot_be_a_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match="cannot be a plugin's name") as caught:
        write_plugin(name, tmp_path, taken={})
    assert caught.value.code == "bad_plugin_name"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "owner"),
    [("taken", "the plugin taken"), ("server", "a section of the core's settings"), ("support", "parlance_support")],
)
def test_a_name_that_somebody_has_is_refused(name: str, owner: str) -> None:
    with pytest.raises(Conflict, match=f"The name '{name}' is taken by .*{owner}"):
        check_name(name, taken={"taken": "the plugin taken"})


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "parlance-fresh").mkdir()
    with pytest.raises(Conflict, match="exists already; nothing was written"):
        write_plugin("fresh", tmp_path, taken={})
    assert list((tmp_path / "parlance-fresh").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_plugin("fresh", tmp_path / "file", taken={})


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plugins", "new", "fresh", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"pip install -e {tmp_path}/parlance-fresh" in done.output


def test_the_command_gives_json_where_it_is_asked_to(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plugins", "new", "fresh", "--folder", str(tmp_path), "--json"])
    assert '"parlance_fresh/plugin.py"' in done.output


@pytest.mark.parametrize("name", ["serve", "health"])
def test_the_command_refuses_names_of_commands_and_of_the_cores_own_plugins(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plugins", "new", name, "--folder", str(tmp_path)])
    assert isinstance(done.exception, Conflict)
    assert list(tmp_path.iterdir()) == []


def test_list_and_show_print_tables_for_people() -> None:
    listed = CliRunner().invoke(cli, ["plugins", "list"])
    assert "health" in listed.output
    shown = CliRunner().invoke(cli, ["plugins", "show", "health"])
    assert shown.exit_code == 0, shown.output
    assert "GET /health/ready" in shown.output
