"""How fast one runner is here and what batches suit it: measured in CPU seconds, which other work on the machine
disturbs less than wall time."""

from __future__ import annotations

import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from parlance.models.artefact import Artefact
from parlance.runners.base import Runner

__all__ = ["Profile", "profile"]

_WIDTH = 32
_BUDGETS = (128, 256, 512)
_WIDE_BUDGET = 1024
_LEAST_GAIN = 0.97
_CLEARLY = 1.15
_LEAST_RUNS = 2
_MEASURE_S = 0.15


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """``budget_tokens``: padded tokens of a batch; ``overhead_tokens``: what a run costs beside its tokens, in tokens;
    ``tokens_per_s``: of one worker, at batches of the budget; ``alone``: results depend on the batch (dynamic int8), so
    every text runs by itself."""

    budget_tokens: int
    overhead_tokens: float
    tokens_per_s: float
    alone: bool = False

    def beats(self, other: Profile) -> bool:
        """Whether it is clearly faster: by less than 15 % on one width, the earlier candidate stays (on mixed widths
        OpenVINO loses that much to shapes that it has to compile)."""
        return self.tokens_per_s > other.tokens_per_s * _CLEARLY


def profile(artefact: Artefact, runner: Runner) -> Profile:
    """Measure a loaded runner. Blocking: about a second for a small model."""
    width = min(_WIDTH, artefact.max_tokens)
    wide = min(4 * width, artefact.max_tokens)
    short_s = _seconds(artefact, runner, 1, width)
    alone = runner.precision == "int8"
    if alone or wide == width:
        return Profile(budget_tokens=wide, overhead_tokens=8.0, tokens_per_s=width / short_s, alone=alone)
    # A line through two single texts: its slope is the cost of a token, its height at zero that of a run.
    slope = max(1e-9, (_seconds(artefact, runner, 1, wide) - short_s) / (wide - width))
    overhead = min(64.0, max(4.0, short_s / slope - width))
    rates: dict[int, float] = {}
    for budget in _BUDGETS:
        rates[budget] = budget / _seconds(artefact, runner, max(1, budget // width), width)
    if rates[_BUDGETS[-1]] == max(rates.values()):
        rates[_WIDE_BUDGET] = _WIDE_BUDGET / _seconds(artefact, runner, _WIDE_BUDGET // width, width)
    best = max(rates.values())
    budget = next(budget for budget, rate in rates.items() if rate >= best * _LEAST_GAIN)
    return Profile(budget_tokens=budget, overhead_tokens=round(overhead, 1), tokens_per_s=round(rates[budget], 1))


def _seconds(artefact: Artefact, runner: Runner, rows: int, width: int) -> float:
    """Least CPU seconds of a run, of as many as fit into a short time (two at least: the first one warms up)."""
    inputs = _inputs(artefact, rows, width)
    best = float("inf")
    spent = runs = 0.0
    while runs < _LEAST_RUNS or spent < _MEASURE_S:
        started = time.process_time()
        runner.run(inputs)
        taken = time.process_time() - started
        best = min(best, taken)
        spent += max(taken, 1e-4)
        runs += 1
    return max(best, 1e-6)


def _inputs(artefact: Artefact, rows: int, width: int) -> dict[str, NDArray[np.int64]]:
    """Rows without padding. Their ids are small: every vocabulary has them, and the cost does not depend on them."""
    ids = 1 + np.arange(rows * width, dtype=np.int64).reshape(rows, width) % 4
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: arrays[name] for name in artefact.inputs}
