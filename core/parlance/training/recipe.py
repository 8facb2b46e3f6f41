"""``recipe.toml``: everything that decides how a model is trained, typed and checked before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance.errors import ConfigError
from parlance.models.strict import nearest, read_toml

__all__ = ["AdapterRecipe", "CalibrationRecipe", "DataSet", "ModelRecipe", "OptimiserRecipe", "Recipe", "load_recipe"]

_LINEAR_LAYERS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class ModelRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is trained: ``base`` is the name of a model with a manifest; its word embeddings stay frozen."""

    name: str
    base: str
    task: Literal["classify"]
    labels: Annotated[tuple[str, ...], Meta(min_length=2)]
    max_tokens: Annotated[int, Meta(ge=8, le=512)] = 112
    prefix: str = ""
    head_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


class AdapterRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """LoRA (Hu et al. 2021): W + alpha / rank · B·A on the linear layers whose names end with a target."""

    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    alpha: Annotated[float, Meta(gt=0)] = 32.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] = _LINEAR_LAYERS
    top_layers: Annotated[int, Meta(ge=1)] | None = None
    """Only the last so many layers are adapted; the backward pass ends below them. ``None`` adapts all."""


class OptimiserRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW with linear warm-up and cosine decay to zero; lengths are bucketed, so a batch has little padding."""

    epochs: Annotated[float, Meta(gt=0)] = 3.0
    max_steps: Annotated[int, Meta(ge=1)] | None = None
    batch_size: Annotated[int, Meta(ge=1)] = 32
    learning_rate: Annotated[float, Meta(gt=0)] = 5e-4
    warmup: Annotated[float, Meta(ge=0, lt=1)] = 0.06
    weight_decay: Annotated[float, Meta(ge=0)] = 0.01
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: int = 20261123
    evaluate_every: Annotated[int, Meta(ge=1)] = 300
    """Steps between two scores of the tuning split; the best state is kept."""


class CalibrationRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Temperature and abstention threshold, both fitted on the tuning split.

    ``accepted_accuracy``: the threshold is the lowest confidence above which the accepted texts are this often right.
    """

    accepted_accuracy: Annotated[float, Meta(gt=0, lt=1)] = 0.9


class DataSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One JSONL file of ``{"text", "label"}`` rows.

    ``file`` starts at the recipe's folder, or at ``--data-root`` when it begins with ``{data}``. ``repeat``: how often
    each training row is seen in an epoch. ``tuning``: the share that is held out for tuning.
    """

    name: str
    file: str
    language: str
    licence: str
    commercial: bool
    repeat: Annotated[int, Meta(ge=1)] = 1
    tuning: Annotated[float, Meta(ge=0, lt=1)] = 0.08
    drop_labels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Which labels the file has, where it does not have all of the model's; scores are then among these."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole recipe. ``train`` is fitted on (less the tuning split), ``dev`` only scored, once, at the end."""

    model: ModelRecipe
    adapter: AdapterRecipe = AdapterRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    calibration: CalibrationRecipe = CalibrationRecipe()
    train: Annotated[tuple[DataSet, ...], Meta(min_length=1)]
    dev: tuple[DataSet, ...] = ()


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe file, or ``recipe.toml`` of a folder.

    Raises:
        ConfigError: names the file, the key and the nearest known key or value.
    """
    file = path / "recipe.toml" if path.is_dir() else path
    recipe = read_toml(file, Recipe)
    for target in recipe.adapter.targets:
        if target not in _LINEAR_LAYERS:
            raise ConfigError(
                f"{file}: adapter.targets has '{target}', which is no linear layer of the encoder.",
                hint=nearest(target, _LINEAR_LAYERS), file=str(file), key="adapter.targets",
            )  # fmt: skip
    names = [data.name for data in recipe.train]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{file}: two training sets are named '{name}'.", file=str(file), key="train")
    for data in (*recipe.train, *recipe.dev):
        for label in data.labels:
            if label not in recipe.model.labels:
                raise ConfigError(
                    f"{file}: data set '{data.name}' names label '{label}', which the model does not have.",
                    hint=nearest(label, recipe.model.labels), file=str(file), key="labels",
                )  # fmt: skip
    return recipe
