"""``model.toml``: what a model is, where it comes from, what it may be used for, and how its build is checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance.errors import ConfigError
from parlance.models.artefact import Precision
from parlance.models.strict import read_toml
from parlance.tasks import TASKS

__all__ = ["AdapterSection", "Manifest", "ParitySection", "SourceSection", "TrainingData", "load_manifest"]

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
_SCHEME = re.compile(r"^[a-z][a-z0-9_+.-]*:.+")


class SourceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``uri``: ``pypi:NAME==VERSION#FOLDER``, ``folder:PATH``, ``hf:OWNER/NAME@COMMIT`` or a plugin's scheme.

    ``sha256``: expected hash of every file that is read, by file name.
    """

    uri: str
    sha256: dict[str, str] = {}


class AdapterSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LoRA adapter (peft's folder format) and a head on the model named ``base``.

    ``folder`` holds ``adapter_model.safetensors``, ``adapter_config.json``, ``head.safetensors`` and
    ``calibration.json``.
    """

    base: str
    folder: str = "adapter"


class ParitySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The built model must agree with torch on ``texts`` at least as well as ``bound``.

    The measure is the worst cosine for vectors and 1 - the largest difference of probabilities otherwise.
    """

    texts: Annotated[tuple[str, ...], Meta(min_length=2)]
    bound: Annotated[float, Meta(gt=0, le=1)] = 0.9999


class TrainingData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One data set that the model was fitted on."""

    name: str
    licence: str
    commercial: bool
    language: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Exactly one of ``source`` and ``adapter`` says where the weights come from."""

    name: str
    task: Literal["embed", "classify", "tag", "score", "generate"]
    description: str
    licence: str
    languages: tuple[str, ...]
    parity: ParitySection
    source: SourceSection | None = None
    adapter: AdapterSection | None = None
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    max_tokens: Annotated[int, Meta(ge=8, le=8192)] = 512
    pooling: Literal["mean", "cls"] = "mean"
    prefixes: dict[str, str] = {}
    precisions: tuple[Precision, ...] = ("fp32",)
    fidelity: Annotated[float, Meta(gt=0, le=1)] = 0.999
    eager: bool = False
    default: bool = True
    """Built by ``parlance models build`` without names and at the server's first start."""
    research_only: bool = False
    notes: tuple[str, ...] = ()
    """What a user must know: limits, how the weights were made."""
    training_data: tuple[TrainingData, ...] = ()
    quality: dict[str, float] = {}
    """Measured figures, ``data set/measure`` to value; a trained model's full table is its ``metrics.json``."""
    aliases: tuple[str, ...] = ()
    """Aliases that point here until somebody moves them."""


def load_manifest(folder: Path) -> Manifest:
    """Reads ``model.toml`` of a model's folder.

    Raises:
        ConfigError: names the file, the key and the nearest known key.
    """
    file = folder / "model.toml"
    manifest = read_toml(file, Manifest)
    problem = _problem(manifest)
    if problem:
        key, text = problem
        raise ConfigError(f"{file}: key '{key}': {text}", file=str(file), key=key)
    return manifest


def _problem(manifest: Manifest) -> tuple[str, str] | None:
    """The first thing that types cannot express, as key and sentence."""
    if not _NAME.match(manifest.name):
        return "name", f"'{manifest.name}' is not made of a-z, 0-9, '.', '_' and '-' (at most 64 characters)."
    if manifest.task not in TASKS or manifest.task in ("tag", "score", "generate"):
        return "task", f"models of task '{manifest.task}' cannot be built here yet; 'embed' and 'classify' can."
    if (manifest.source is None) == (manifest.adapter is None):
        return "source", "give exactly one of [source] and [adapter]."
    if manifest.source is not None and not _SCHEME.match(manifest.source.uri):
        return "source.uri", f"'{manifest.source.uri}' has no scheme such as 'pypi:' or 'folder:'."
    if manifest.task == "classify" and len(manifest.labels) < 2:
        return "labels", "a classifier needs at least two labels."
    if len(set(manifest.labels)) != len(manifest.labels):
        return "labels", "a label stands twice."
    if manifest.adapter is not None and manifest.task == "embed":
        return "adapter", "an adapter with a head makes a classifier, not a model of task 'embed'."
    if "fp32" not in manifest.precisions:
        return "precisions", "fp32 is the reference and cannot be left out."
    return None
