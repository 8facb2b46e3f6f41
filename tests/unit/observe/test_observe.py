"""Metrics, stages and logs."""

from __future__ import annotations

import asyncio
import io
import logging

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from parlance.errors import PluginError
from parlance.observe import stages
from parlance.observe.logging import configure, get_logger
from parlance.observe.metrics import Metrics
from parlance.settings import LogSettings


def test_the_same_name_gives_the_same_metric_across_owners_handles():
    metrics = Metrics(CollectorRegistry(), "core")
    first = metrics.child("support").counter("turns", "Turns.", ("language",))
    assert metrics.child("support").counter("turns", "Turns.", ("language",)) is first
    first.labels("zh").inc()
    assert b'parlance_support_turns_total{language="zh"} 1.0' in generate_latest(metrics.registry)


def test_one_name_for_two_kinds_is_refused():
    metrics = Metrics(CollectorRegistry(), "core")
    metrics.gauge("x", "X.")
    with pytest.raises(PluginError, match="parlance_core_x exists already as a gauge"):
        metrics.histogram("x", "X.")


async def test_stages_add_up_within_a_request_and_its_tasks():
    collected, token = stages.begin_stages()

    async def part() -> None:
        with stages.stage("run"):
            await asyncio.sleep(0)

    await asyncio.gather(part(), part())
    stages.add_stage("run", 1.0)
    stages.end_stages(token)
    assert 1.0 < collected["run"] < 1.5
    stages.add_stage("run", 5.0)
    assert stages.current_stages() is None


@pytest.fixture
def stream():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield io.StringIO()
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level


def test_lines_are_json_also_those_of_libraries(stream):
    configure(LogSettings(format="json"), stream=stream)
    get_logger("parlance.x").info("loaded", model="embed-en", path=object())
    get_logger("parlance.x").debug("hidden")
    logging.getLogger("somebody").warning("careful %s", 1)
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["loaded", "careful 1"]
    assert lines[0]["component"] == "parlance.x"
    assert lines[1]["logger"] == "somebody"


def test_exceptions_are_one_line_of_json(stream):
    configure(LogSettings(format="json"), stream=stream)
    try:
        raise ValueError("x")  # noqa: TRY301
    except ValueError:
        get_logger("a").exception("failed")
    [line] = stream.getvalue().splitlines()
    assert "ValueError: x" in msgspec.json.decode(line)["exception"]


def test_the_console_form_is_for_reading(stream):
    configure(LogSettings(format="console"), stream=stream)
    get_logger("a").info("loaded", model="embed-en")
    assert "loaded" in stream.getvalue()
    assert "model=embed-en" in stream.getvalue()
