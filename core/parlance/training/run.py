"""One training run from recipe to shipped files: adapter, head, calibration, metrics."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tokenizers import Tokenizer

from parlance.errors import ConfigError
from parlance.models.build import fetch_source
from parlance.models.registry import ModelRegistry
from parlance.training.calibrate import abstention_threshold, fit_temperature, softmax
from parlance.training.classify import Log, Trained, predict, train
from parlance.training.data import Example, read_examples, split
from parlance.training.evaluate import Scores, score
from parlance.training.recipe import Recipe, load_recipe

__all__ = ["Report", "run", "write_results"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``metrics.json``: how the model was made and what it scores on data that it was not fitted on."""

    model: str
    base: str
    recipe_sha256: str
    seed: int
    steps: int
    seconds: float
    texts: dict[str, dict[str, int]]
    temperature: float
    threshold: float
    tuning: dict[str, Scores]
    dev: dict[str, Scores]
    versions: dict[str, str]


def run(
    path: Path, *, registry: ModelRegistry, data_root: Path | None, out: Path | None = None,
    max_steps: int | None = None, log: Log = lambda _: None,
) -> Report:  # fmt: skip
    """Trains as ``recipe.toml`` at ``path`` says and writes the results into ``out`` (the recipe's folder).

    Raises:
        ConfigError: the recipe is wrong.
        BadInput: a data file is wrong or missing; found before training starts.
    """
    recipe = load_recipe(path)
    folder = path if path.is_dir() else path.parent
    if max_steps is not None:
        recipe = msgspec.structs.replace(
            recipe, optimiser=msgspec.structs.replace(recipe.optimiser, max_steps=max_steps)
        )
    request = registry.request(recipe.model.base)
    if request.manifest.task != "embed":
        raise ConfigError(f"The base '{recipe.model.base}' is of task '{request.manifest.task}', not 'embed'.")
    training: list[Example] = []
    tuning: list[Example] = []
    counts: dict[str, dict[str, int]] = {}
    for data in recipe.train:
        rows = read_examples(data, recipe.model.labels, folder=folder, data_root=data_root)
        fitted, held = split(rows, data.tuning)
        training += fitted
        tuning += held
        counts[data.name] = {"train": len(fitted), "tuning": len(held)}
    dev = {
        data.name: read_examples(data, recipe.model.labels, folder=folder, data_root=data_root) for data in recipe.dev
    }
    source = fetch_source(request)
    trained = train(recipe, source, training, tuning, pooling=request.manifest.pooling, log=log)
    tokenizer = Tokenizer.from_file(str(source.tokenizer))
    pad_id = int(source.config.get("pad_token_id") or 0)
    logits = {
        name: predict(trained.network, tokenizer, [e.text for e in rows], recipe=recipe, pad_id=pad_id)
        for name, rows in dev.items()
    }
    recipe_file = folder / "recipe.toml" if path.is_dir() else path
    return write_results(
        recipe, trained, tuning, dev, logits, counts=counts, out=out or folder,
        recipe_sha256=hashlib.sha256(recipe_file.read_bytes()).hexdigest(),
    )  # fmt: skip


def write_results(
    recipe: Recipe, trained: Trained, tuning: Sequence[Example], dev: Mapping[str, Sequence[Example]],
    dev_logits: Mapping[str, NDArray[np.float32]], *, counts: dict[str, dict[str, int]], out: Path, recipe_sha256: str,
) -> Report:  # fmt: skip
    """Calibrates on the tuning split, scores, and writes ``adapter/`` and ``metrics.json``."""
    labels = recipe.model.labels
    gold = np.array([example.label for example in tuning])
    temperature = fit_temperature(trained.tuning_logits, gold)
    probabilities = softmax(trained.tuning_logits, temperature)
    threshold = abstention_threshold(probabilities, gold, accepted_accuracy=recipe.calibration.accepted_accuracy)
    sources = np.array([example.source for example in tuning])
    tuned = {
        str(name): score(probabilities[sources == name], gold[sources == name], labels, threshold=threshold)
        for name in dict.fromkeys(sources.tolist())
    }
    among = {data.name: data.labels for data in recipe.dev}
    scored = {
        name: score(
            softmax(dev_logits[name], temperature), np.array([e.label for e in rows]), labels,
            among=among[name], threshold=threshold,
        )
        for name, rows in dev.items()
    }  # fmt: skip
    report = Report(
        model=recipe.model.name, base=recipe.model.base, recipe_sha256=recipe_sha256, seed=recipe.optimiser.seed,
        steps=trained.steps, seconds=round(trained.seconds, 1), texts=counts, temperature=round(temperature, 4),
        threshold=round(threshold, 4), tuning=tuned, dev=scored,
        versions={"python": platform.python_version(), "torch": str(torch.__version__)},
    )  # fmt: skip
    adapter = out / "adapter"
    adapter.mkdir(parents=True, exist_ok=True)
    _save(trained.adapter, adapter / "adapter_model.safetensors")
    _save(trained.head, adapter / "head.safetensors")
    _write(adapter / "adapter_config.json", _adapter_config(recipe))
    _write(adapter / "calibration.json", {"temperature": temperature, "threshold": threshold})
    _write(out / "metrics.json", report)
    return report


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """float16: half the size; the merged weights differ by less than the base's 4-bit rounding by far."""
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, path)
    path.chmod(0o644)


def _write(path: Path, content: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _adapter_config(recipe: Recipe) -> dict[str, Any]:
    """peft's ``adapter_config.json``, so that peft can load the adapter too."""
    alpha = recipe.adapter.alpha
    return {
        "peft_type": "LORA", "base_model_name_or_path": recipe.model.base, "r": recipe.adapter.rank,
        "lora_alpha": int(alpha) if math.isclose(alpha, round(alpha)) else alpha,
        "lora_dropout": recipe.adapter.dropout, "target_modules": list(recipe.adapter.targets), "bias": "none",
        "inference_mode": True, "task_type": "FEATURE_EXTRACTION",
    }  # fmt: skip
