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
from parlance.runners.base import RunnerFactory
from parlance.runners.choice import Choice, Inputs, choose, kept_choice

__all__ = ["Loader", "memory_bytes"]

_PARITY_TEXTS = 8
_WARM_TEXTS = ("Good morning.", "今天天气很好。")
_MEMORY_FACTOR = 1.6


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
            for inputs in texts:  # warm: memory is allocated and kernels are compiled before the first caller
                if not np.isfinite(runner.run(inputs)).all():
                    raise ModelError(f"{artefact.reference} gives numbers that are not finite.", model=artefact.name)
        except BaseException:
            if runner is not None:
                runner.close()
            raise
        return ServedModel(
            artefact,
            runner=runner,
            tokeniser=tokeniser,
            profile=choice.profile,
            memory_bytes=memory_bytes(artefact),
        )

    def _kept(self, artefact: Artefact) -> Choice | None:
        return kept_choice(artefact, self.runners, threads=self.threads, folder=self.choices, wanted=self.wanted)


def memory_bytes(artefact: Artefact) -> int:
    """Estimated memory of the loaded model."""
    recorded = sum(file.size_bytes for file in artefact.files.values())
    return int(_MEMORY_FACTOR * (recorded or sum(one.stat().st_size for one in artefact.path.glob("*.onnx*"))))


def _parity_inputs(artefact: Artefact, tokeniser: Tokeniser) -> list[Inputs]:
    texts = list(artefact.parity_texts[:_PARITY_TEXTS]) or list(_WARM_TEXTS)
    pairs = artefact.task == "score"
    inputs = [(text, texts[0]) for text in texts] if pairs else texts
    tokens = tokeniser.encode(inputs, overlong="truncate", indices=range(len(inputs)))
    return [padded_inputs(artefact, [one]) for one in tokens]
