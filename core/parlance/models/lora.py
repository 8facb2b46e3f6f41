"""Merging a LoRA adapter into base weights with numpy: W + (alpha / rank) · B·A (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from parlance.errors import BuildError

__all__ = ["ADAPTER_FILES", "Adapted", "Calibration", "read_calibration", "read_head"]

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json", "head.safetensors", "calibration.json")
_PREFIX = "base_model.model."


class _Config(msgspec.Struct):
    r: int
    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    fan_in_fan_out: bool = False


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``temperature`` divides the logits; below ``threshold`` the model abstains."""

    temperature: float = 1.0
    threshold: float | None = None


class Adapted(Mapping[str, NDArray[np.floating[Any]]]):
    """Base tensors with the adapter merged in, each computed in float32 when asked for.

    Raises:
        BuildError: the adapter is missing, damaged, of an unsupported kind, or does not fit the base.
    """

    def __init__(self, base: Mapping[str, NDArray[np.floating[Any]]], folder: Path) -> None:
        self._base = base
        config = _decode(folder / "adapter_config.json", _Config)
        if config.use_dora or config.rank_pattern or config.alpha_pattern or config.fan_in_fan_out:
            raise BuildError(f"{folder / 'adapter_config.json'}: only plain LoRA adapters can be merged.")
        self._scale = config.lora_alpha / (np.sqrt(config.r) if config.use_rslora else config.r)
        tensors = _load(folder / "adapter_model.safetensors")
        self._pairs: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for name, tensor in tensors.items():
            if not name.endswith(".lora_A.weight"):
                continue
            target = name.removeprefix(_PREFIX).removesuffix(".lora_A.weight") + ".weight"
            partner = name.replace(".lora_A.", ".lora_B.")
            if target not in base or partner not in tensors:
                raise BuildError(f"The adapter in {folder} changes '{target}', which does not fit the base.")
            self._pairs[target] = (tensor.astype(np.float32), tensors[partner].astype(np.float32))
        if not self._pairs:
            raise BuildError(f"{folder / 'adapter_model.safetensors'} holds no LoRA matrices.")

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        weight = self._base[name]
        if name not in self._pairs:
            return weight
        a, b = self._pairs[name]
        if weight.shape != (b.shape[0], a.shape[1]):
            raise BuildError(f"The adapter's '{name}' does not have the base's shape {weight.shape}.")
        merged: NDArray[np.float32] = weight.astype(np.float32) + np.float32(self._scale) * (b @ a)
        return merged

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    @property
    def changed(self) -> frozenset[str]:
        """Names of the tensors that the adapter changes."""
        return frozenset(self._pairs)


def read_head(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The head's tensors in float32, by name without the ``head.`` in front."""
    return {name: tensor.astype(np.float32) for name, tensor in _load(folder / "head.safetensors").items()}


def read_calibration(folder: Path) -> Calibration:
    """Temperature and threshold that training fitted."""
    calibration: Calibration = _decode(folder / "calibration.json", Calibration)
    return calibration


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BuildError(f"{path} is missing or damaged: {error}.", file=str(path)) from error


def _decode(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildError(f"{path} is missing or damaged: {error}.", file=str(path)) from error
