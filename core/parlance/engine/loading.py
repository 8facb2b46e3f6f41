"""From a built model to one that takes traffic: runner, tokenizer, warm-up. Blocking; the pool calls it on threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parlance.engine.batching import padded_inputs
from parlance.engine.served import ServedModel
from parlance.engine.tokenise import Tokeniser
from parlance.errors import ModelError
from parlance.models.artefact import Artefact
from parlance.runners.base import Runner, RunnerFactory
from parlance.runners.choice import Choice, Inputs, choose, kept_choice

__all__ = ["Loader"]

_PARITY_TEXTS = 8
_WARM_TEXTS = ("Good morning.", "今天天气很好。")
_WEIGHT_FACTORS = {"onnxruntime": 1.1}
_WEIGHT_FACTOR = 2.9
_TOKENIZER_FACTOR = 14.0
"""Resident memory over the size of the files, measured with two threads on batches of 256 tokens (docs/engine.md):
ONNX Runtime maps the weights and adds its arena (1.03), OpenVINO repacks them and keeps primitives (2.8); a vocabulary
of 250,000 pieces takes 245 MB for 17 MB of JSON."""


@dataclass(frozen=True, slots=True)
class Loader:
    """How models are loaded in this process.

    Args:
        wanted: a runner by name, or ``auto``.
        threads: forward passes at a time.
        choices: folder where choices of runners are kept.
    """

    runners: Mapping[str, RunnerFactory]
    wanted: str
    threads: int
    choices: Path

    def is_quick(self, artefact: Artefact) -> bool:
        """Whether the runner was chosen before, so that nothing has to be measured."""
        return self._kept(artefact) is not None

    def load(self, artefact: Artefact) -> ServedModel:
        """Load and warm a model.

        Raises:
            ConfigError: no runner can be used. ModelError: a file cannot be read, or the numbers are none.
        """
        choice = self._kept(artefact)
        runner = None
        if choice is not None:  # the runner first: reading weights runs beside other work, a tokenizer does not
            factory = self.runners[choice.runner]
            runner = factory.load(artefact, precision=choice.precision, threads=self.threads)
        try:
            tokeniser = Tokeniser(artefact)
            texts = _parity_inputs(artefact, tokeniser)
            if choice is None or runner is None:
                choice, runner = choose(
                    artefact, self.runners, threads=self.threads, texts=texts, folder=self.choices, wanted=self.wanted
                )
            _warm(artefact, runner, texts)
        except BaseException:
            if runner is not None:
                runner.close()
            raise
        return ServedModel(
            artefact,
            runner=runner,
            tokeniser=tokeniser,
            profile=choice.profile,
            memory_bytes=self._memory_bytes(artefact, runner.name),
        )

    def memory_bytes(self, artefact: Artefact) -> int:
        """Estimated memory of the model once it is loaded; where the runner is not chosen yet, with the largest."""
        kept = self._kept(artefact)
        return self._memory_bytes(artefact, kept.runner if kept is not None else self.wanted)

    @staticmethod
    def _memory_bytes(artefact: Artefact, runner: str) -> int:
        sizes = {name: file.size_bytes for name, file in artefact.files.items()}
        if not sizes:
            sizes = {one.name: one.stat().st_size for one in artefact.path.iterdir() if one.is_file()}
        tokenizer = sizes.pop(artefact.tokenizer, 0)
        factor = _WEIGHT_FACTORS.get(runner, _WEIGHT_FACTOR)
        return int(factor * sum(sizes.values()) + _TOKENIZER_FACTOR * tokenizer)

    def _kept(self, artefact: Artefact) -> Choice | None:
        return kept_choice(artefact, self.runners, threads=self.threads, folder=self.choices, wanted=self.wanted)


def _warm(artefact: Artefact, runner: Runner, texts: list[Inputs]) -> None:
    """Memory is allocated and kernels are compiled before the first caller."""
    for inputs in texts:
        if not np.isfinite(runner.run(inputs)).all():
            raise ModelError(f"{artefact.reference} gives numbers that are not finite.", model=artefact.name)


def _parity_inputs(artefact: Artefact, tokeniser: Tokeniser) -> list[Inputs]:
    texts = list(artefact.parity_texts[:_PARITY_TEXTS]) or list(_WARM_TEXTS)
    pairs = artefact.task == "score"
    inputs = [(text, texts[0]) for text in texts] if pairs else texts
    tokens = tokeniser.encode(inputs, overlong="truncate", indices=range(len(inputs)))
    return [padded_inputs(artefact, [one]) for one in tokens]
