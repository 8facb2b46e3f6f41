"""Measures the runners that this machine has for one model and picks the cheapest within the manifest's fidelity bound.

The choice is kept beside the built models, by machine, model version and library versions, so that it is made once.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from parlance.errors import ConfigError, ModelError
from parlance.models.artefact import Artefact, Precision
from parlance.runners.base import Runner, RunnerFactory
from parlance.runners.fidelity import agreement
from parlance.runners.kept import clean
from parlance.runners.machine import fast_bf16, fingerprint, library_versions
from parlance.runners.profile import Profile, profile

__all__ = ["Choice", "Measured", "candidates", "choose", "kept_choice"]

REFERENCE = "onnxruntime"
Inputs = Mapping[str, NDArray[np.int64]]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One runner and precision as measured here; ``error`` says why it could not be."""

    runner: str
    precision: Precision
    agreement: float = 0.0
    profile: Profile | None = None
    error: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The runner that was picked, how to feed it, and what it was picked from."""

    runner: str
    precision: Precision
    agreement: float
    profile: Profile
    measured: tuple[Measured, ...] = ()


def candidates(
    artefact: Artefact, factories: Mapping[str, RunnerFactory], *, wanted: str = "auto"
) -> list[tuple[str, Precision]]:
    """Runners and precisions to measure: allowed by the manifest and fast on this machine, fp32 of the reference first.

    ``auto`` leaves torch out unless it is the only way to fast bfloat16 here: it costs seconds and hundreds of MB to
    import, and serving is to do without it.

    Raises:
        ConfigError: ``wanted`` is unknown or not usable here; the message says why.
    """
    if wanted != "auto" and wanted not in factories:
        raise ConfigError(
            f"engine.runner is '{wanted}', which is no runner here.",
            hint=f"Known: auto, {', '.join(sorted(factories))}.",
        )
    usable: dict[str, RunnerFactory] = {}
    reasons: list[str] = []
    for name in sorted(factories, key=lambda one: (one != REFERENCE, one)):
        reason = factories[name].unavailable() if wanted in ("auto", name) else None
        if reason is not None:
            reasons.append(reason)
        elif wanted in ("auto", name):
            usable[name] = factories[name]
    if wanted == "auto" and (not fast_bf16() or "bf16" not in artefact.precisions or "openvino" in usable):
        usable = {name: factory for name, factory in usable.items() if name != "torch"} or usable
    found = [
        (name, precision)
        for name, factory in usable.items()
        for precision in sorted(factory.precisions(), reverse=True)
        if precision in artefact.precisions
    ]
    if not found:
        raise ConfigError(
            f"No runner here can compute {artefact.reference} (engine.runner = {wanted}, allowed precisions: "
            f"{', '.join(artefact.precisions)}). {' '.join(reasons)}".strip()
        )
    return sorted(found, key=lambda one: one != (REFERENCE, "fp32"))


def choose(
    artefact: Artefact,
    factories: Mapping[str, RunnerFactory],
    *,
    threads: int,
    texts: Sequence[Inputs],
    folder: Path,
    wanted: str = "auto",
) -> tuple[Choice, Runner]:
    """Measure, keep the choice for this machine, and return it with its runner, loaded. Blocking: seconds.

    Args:
        texts: tokenised parity texts, one row each; fidelity is judged on them.
        folder: where choices are kept.

    Raises:
        ConfigError: as ``candidates``. ModelError: every candidate failed, or none is within the bound.
    """
    options = candidates(artefact, factories, wanted=wanted)
    choice, runner = _measure_all(artefact, factories, options, threads=threads, texts=texts)
    _write(_path(artefact, options, threads=threads, folder=folder), choice)
    clean(artefact, keep="int8" if choice.precision == "int8" else choice.runner)
    return choice, runner


def kept_choice(
    artefact: Artefact,
    factories: Mapping[str, RunnerFactory],
    *,
    threads: int,
    folder: Path,
    wanted: str = "auto",
) -> Choice | None:
    """What was chosen on this machine before, for the same model version and libraries; errors as ``candidates``."""
    options = candidates(artefact, factories, wanted=wanted)
    kept = _read(_path(artefact, options, threads=threads, folder=folder))
    return kept if kept is not None and (kept.runner, kept.precision) in options else None


def _measure_all(
    artefact: Artefact,
    factories: Mapping[str, RunnerFactory],
    options: Sequence[tuple[str, Precision]],
    *,
    threads: int,
    texts: Sequence[Inputs],
) -> tuple[Choice, Runner]:
    measured: list[Measured] = []
    best: tuple[Measured, Runner] | None = None
    reference: list[NDArray[np.float32]] | None = None
    for name, precision in options:
        try:
            runner = factories[name].load(artefact, precision=precision, threads=threads)
        except ModelError as error:
            measured.append(Measured(runner=name, precision=precision, error=str(error)))
            continue
        try:
            outputs = [runner.run(inputs) for inputs in texts]
            reference = outputs if reference is None else reference
            agreed = min((agreement(artefact, a, b) for a, b in zip(reference, outputs, strict=True)), default=1.0)
            # Worse than the bound: its speed is of no interest.
            measure = profile(artefact, runner) if agreed >= artefact.fidelity else None
        except ModelError as error:
            runner.close()
            measured.append(Measured(runner=name, precision=precision, error=str(error)))
            continue
        one = Measured(runner=name, precision=precision, agreement=agreed, profile=measure)
        measured.append(one)
        if measure is None or (best is not None and best[0].profile is not None and not measure.beats(best[0].profile)):
            runner.close()
            continue
        if best is not None:
            best[1].close()
        best = (one, runner)
    if best is None or best[0].profile is None:
        reasons = "; ".join(
            f"{one.runner} {one.precision}: {one.error or f'agreement {one.agreement:.5f}'}" for one in measured
        )
        raise ModelError(
            f"No runner computes {artefact.reference} within its bound of {artefact.fidelity}: {reasons}.",
            model=artefact.name,
        )
    won = best[0]
    choice = Choice(
        runner=won.runner,
        precision=won.precision,
        agreement=won.agreement,
        profile=best[0].profile,
        measured=tuple(measured),
    )
    return choice, best[1]


def _path(artefact: Artefact, options: Sequence[tuple[str, Precision]], *, threads: int, folder: Path) -> Path:
    facts = [fingerprint(), sorted(library_versions().items()), options, threads, artefact.fidelity]
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    return folder / f"{artefact.name}-{artefact.version}-{key}.json"


def _read(path: Path) -> Choice | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Choice)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        logging.getLogger(__name__).warning("the kept choice %s is measured again: %s", path, error)
        return None


def _write(path: Path, choice: Choice) -> None:
    """Keep it; without a place to write, the next start measures again."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(choice), indent=2))
        temporary.replace(path)
    except OSError as error:
        logging.getLogger(__name__).warning("the choice of a runner cannot be kept in %s: %s", path, error)
