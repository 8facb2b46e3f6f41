"""The commands, each in a folder of its own with settings and a database, with a fake engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import parlance.session
from parlance.testing import FakeEngine
from parlance_support.commands import support


class Shell:
    """Runs commands as ``parlance support …`` would, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "parlance.toml"
        url = f"sqlite:///{folder / 'shop.sqlite'}"
        self.config.write_text(f'[database]\nurl = "{url}"\n[plugins]\ndisabled = ["recommend", "sentiment"]\n')

    def run(self, *arguments: str, status: int = 0) -> Result:
        done = CliRunner().invoke(support, [*arguments], obj={"config": self.config}, catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    original = parlance.session.open_context
    monkeypatch.setattr(
        parlance.session,
        "open_context",
        lambda obj, name, models=True: original(obj, name, engine=FakeEngine(), models=models),
    )
    return Shell(tmp_path)


def test_a_file_is_imported_and_then_answers_with_its_citation(shell: Shell) -> None:
    faq = shell.folder / "faq.csv"
    faq.write_text("Question,Answer\nWhere do you deliver?,Everywhere in Norway.\nEmpty,\n")
    assert "0 entries from" not in shell.run("import", str(faq), "--dry-run").stdout
    assert shell.json("ask", "Where do you deliver?")["decision"]["answerable"] is False
    shown = shell.run("import", str(faq)).stdout
    assert "1 of 2 entries stored" in shown
    assert "line 3: " in shown
    rejected = json.loads((shell.folder / "faq.csv.rejects.jsonl").read_text(encoding="utf-8"))
    assert rejected["line"] == 3
    asked = shell.run("ask", "Where do you deliver?").stdout
    assert asked.startswith("Everywhere in Norway.")
    assert "(faq.csv)" in asked
    assert shell.json("conversations") == []


def test_a_table_in_another_languages_columns_is_imported_by_mapping(shell: Shell) -> None:
    faq = shell.folder / "faq.csv"
    faq.write_text("标题,内容\n怎么付款？,可以用微信。\n", encoding="gb18030")
    (report,) = shell.json("import", str(faq), "--columns", "question=标题,answer=内容")
    assert (report["stored"], report["encoding"]) == (1, "gb18030")
    assert shell.json("ask", "怎么付款？")["text"] == "可以用微信。"


def test_a_column_that_is_not_a_pair_is_refused(shell: Shell) -> None:
    faq = shell.folder / "faq.csv"
    faq.write_text("question,answer\n")
    assert "not of the form ours=theirs" in shell.run("import", str(faq), "--columns", "title", status=2).stderr
