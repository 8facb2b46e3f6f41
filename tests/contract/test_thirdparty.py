"""Somebody else's plugin, installed as a distribution of its own, has every hook called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def site(install: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(HERE / "thirdparty", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def seen(run: Any, site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = run("-W", "error", HERE / "exercise_termbase.py", tmp_path_factory.mktemp("work"), path=site)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_it_is_found_by_its_entry_point_with_its_version(seen: dict[str, Any]) -> None:
    assert seen["version"] == "2.5.0"
    assert seen["origin"] == "parlance-termbase 2.5.0 (parlance_termbase.plugin:plugin)"


def test_parlance_hookspecs_lets_another_plugin_implement_the_new_hook(seen: dict[str, Any]) -> None:
    assert seen["added"]["body"]["heard"] == {"termbase_listener": "heard rate = 率"}


def test_parlance_settings_decodes_the_section(seen: dict[str, Any]) -> None:
    assert seen["settings"] == 0.01


def test_parlance_model_folders_and_sources_make_a_model_that_builds(seen: dict[str, Any]) -> None:
    assert seen["artefact"]["name"] == "termbase-tiny"
    assert {"model.onnx", "tokenizer.json", "weights.bin"} <= set(seen["artefact"]["files"])


def test_parlance_runners_computes_the_answers(seen: dict[str, Any]) -> None:
    assert seen["runners"] == ["onnxruntime", "openvino", "termbase", "torch"]
    assert seen["runner"] == ["termbase"]
    assert seen["added"]["body"]["similarity"] == pytest.approx(1.0, abs=1e-6)  # both words have one vector


def test_parlance_tasks_adds_a_task_type(seen: dict[str, Any]) -> None:
    assert seen["tasks"] == ["translate"]


def test_parlance_tables_are_created_and_parlance_routes_read_and_write_them(seen: dict[str, Any]) -> None:
    assert seen["added"]["status"] == 200
    assert seen["openapi"] == ["/termbase/terms"]


def test_parlance_routes_answer_bad_input_as_a_problem_document(seen: dict[str, Any]) -> None:
    assert seen["refused"]["status"] == 422
    assert "de" in seen["refused"]["body"]["detail"]


def test_parlance_services_live_as_long_as_the_server(seen: dict[str, Any]) -> None:
    assert seen["life_while_serving"] == ["entered"]
    assert seen["life_after_stop"] == ["entered", "left"]


def test_parlance_jobs_run_beside_the_requests(seen: dict[str, Any]) -> None:
    assert seen["job"] is True


def test_parlance_checks_are_asked_by_health_ready(seen: dict[str, Any]) -> None:
    assert seen["check"]["ok"] is True
    assert seen["check"]["checks"] == [{"name": "terms", "ok": True, "detail": "3 terms"}]


def test_parlance_metrics_are_shown_with_the_plugins_name(seen: dict[str, Any]) -> None:
    assert "parlance_termbase_terms_added_total 1.0" in seen["metrics"]


def test_parlance_pages_are_served_and_linked(seen: dict[str, Any]) -> None:
    assert "术语" in seen["page"]
    assert "/console/termbase/" in seen["menu"]


def test_parlance_demo_loads_data_and_says_what_to_try(seen: dict[str, Any]) -> None:
    assert seen["demo"] == [{"en": "dividend", "zh": "股息"}, {"en": "exchange rate", "zh": "汇率"}]
    assert seen["tips"] == ["curl http://127.0.0.1:8000/termbase/terms"]


def test_events_of_its_transactions_are_in_the_log(seen: dict[str, Any]) -> None:
    assert {"en": "rate", "zh": "率"} in seen["events"]


def test_parlance_commands_are_under_the_plugins_name(parlance: Any, site: Path) -> None:
    done = parlance("termbase", "languages", path=site)
    assert (done.returncode, done.stdout) == (0, "en zh\n"), done.stderr


def test_plugins_list_shows_distribution_and_version(parlance: Any, site: Path) -> None:
    done = parlance("plugins", "list", "--json", path=site)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    row = rows["termbase"]
    assert (row["distribution"], row["version"], row["state"]) == ("parlance-termbase", "2.5.0", "running"), done.stderr
    assert rows["termbase_listener"]["hooks"] == ["termbase_added"]


def test_plugins_show_tells_everything_that_it_contributes(parlance: Any, site: Path) -> None:
    done = parlance("plugins", "show", "termbase", "--json", path=site)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["routes"] == ["GET /termbase/terms", "POST /termbase/terms"]
    assert shown["tables"] == ["termbase_counts", "termbase_terms"]
    assert shown["metrics"] == ["parlance_termbase_terms_added"]
    assert (shown["checks"], shown["commands"], shown["tasks"]) == (["terms"], ["languages"], ["translate"])
    assert (shown["model_sources"], shown["runners"]) == (["termbase"], ["termbase"])
    assert [setting["key"] for setting in shown["settings"]] == ["model", "count_every_s"]
