"""The commands, each in a folder of its own with settings and a database; no model runs where none is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import parlance.session
from parlance.testing import FakeEngine
from parlance_recommend.commands import recommend

ITEMS_CSV = """id,name,categories,description
tea-1,龙井绿茶,茶叶|绿茶,清明前采摘的嫩芽
tea-2,绿茶茶壶,茶叶|茶具,冲泡绿茶的小壶
hike-1,Trail maps,outdoors|hiking,Waterproof maps for mountain trails
,No id,,
"""
ITEMS_JSONL = """{"ItemId":"soup","Categories":["汤"],"Comment":"冬天的热汤"}
{"ItemId":"boots","IsHidden":true,"Categories":["outdoors"],"Comment":"Boots for mountain trails"}
not json
"""
EVENTS_CSV = """user,item,type,timestamp
林,tea-1,purchase,2026-03-01T09:00:00Z
林,ghost,click,1772452800000
林,tea-1,click,never
"""
EVENTS_JSONL = """{"event":"interaction","id":"m1","timestamp":"1772452800000","user":"ada","type":"click",\
"item":"hike-1"}
{"event":"item","id":"m2","timestamp":"1772452800000","item":"soup","fields":[{"name":"title","value":"热汤食谱"}]}
{"event":"interaction","id":"m3","timestamp":"x","user":"ada","type":"click","item":"hike-1"}
{"FeedbackType":"like","UserId":"bo","ItemId":"boots","Timestamp":"2026-03-01 10:00:00"}
"""


class Shell:
    """Runs commands as ``parlance recommend …`` would, in one folder, with a fake engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "parlance.toml"
        url = f"sqlite:///{folder / 'shop.sqlite'}"
        self.config.write_text(f'[database]\nurl = "{url}"\n[plugins]\ndisabled = ["support", "sentiment"]\n')

    def write(self, name: str, text: str, encoding: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding=encoding)
        return str(path)

    def run(self, *arguments: str, status: int = 0) -> Result:
        done = CliRunner().invoke(recommend, [*arguments], obj={"config": self.config}, catch_exceptions=False)
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


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_files_are_imported_in_any_encoding_and_then_ranked_by(shell: Shell, encoding: str) -> None:
    items = shell.write("items.csv", ITEMS_CSV, encoding)
    stored = shell.json("import", "items", items, "--column", "title=name")
    assert (stored["encoding"], stored["read"], stored["stored"], stored["rejected"]) == (encoding, 4, 3, 1)
    assert stored["first_rejects"][0]["line"] == 5
    rejected = json.loads(Path(stored["rejects_file"]).read_text(encoding="utf-8"))
    assert rejected["reason"] == "'id' is missing or empty"
    lines = shell.json("import", "items", shell.write("items.jsonl", ITEMS_JSONL, encoding))
    assert (lines["stored"], lines["first_rejects"][0]["line"]) == (2, 3)

    events = shell.json("import", "events", shell.write("events.csv", EVENTS_CSV, encoding))
    assert (events["stored"], events["rejected"], events["unknown_items"]) == (2, 1, ["ghost"])
    assert "'never'" in events["first_rejects"][0]["reason"]
    metarank = shell.json("import", "events", shell.write("events.jsonl", EVENTS_JSONL, encoding))
    assert (metarank["stored"], metarank["rejected"], metarank["first_rejects"][0]["line"]) == (3, 1, 3)

    ranked = shell.json("rank", "--user", "林", "--lang", "zh", "hike-1", "tea-2", "soup")
    assert ranked["items"][0]["item"] == "tea-2"
    assert ranked["items"][0]["reasons"][1]["message"] == "与你看过的《龙井绿茶》相似。"
    assert shell.json("profile", "ada")["history"][0][:2] == ["hike-1", "click"]


def test_importing_again_changes_nothing_and_an_erased_user_is_gone(shell: Shell) -> None:
    shell.run("import", "items", shell.write("items.csv", ITEMS_CSV, "utf-8"), "--column", "title=name")
    events = shell.write("events.csv", EVENTS_CSV, "utf-8")
    shown = shell.run("import", "events", events).stdout
    assert "3 rows read, 2 stored, 1 rejected." in shown
    assert "1 item is not in the catalogue yet, such as ghost." in shown
    shell.run("import", "events", events)
    assert "100.0%  龙井绿茶" in shell.run("profile", "林").stdout
    assert "interactions: 2" in shell.run("erase", "林", "--yes").stdout
    assert shell.json("erase", "林", "--yes") == {
        "user": "林", "interactions": 0, "rankings": 0, "attributes": 0, "remaining": 0
    }  # fmt: skip


def test_a_column_that_is_not_a_pair_is_refused(shell: Shell) -> None:
    items = shell.write("items.csv", ITEMS_CSV, "utf-8")
    assert "'title' is not FIELD=COLUMN." in shell.run("import", "items", items, "--column", "title", status=2).stderr
