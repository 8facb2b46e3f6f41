"""Exports a torch network to an ONNX graph whose initialisers keep their parameter names."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from parlance.errors import BuildError
from parlance.models.graph import empty_graph
from parlance.models.manifest import Manifest
from parlance.models.sources.base import SourceModel
from parlance.training.network import Classifier, Embedder, Head, load_checkpoint, load_encoder

__all__ = ["export_graph", "make_network", "reference_outputs"]


def make_network(
    manifest: Manifest, source: SourceModel, tensors: Mapping[str, NDArray[Any]],
    head: Mapping[str, NDArray[np.float32]],
) -> nn.Module:  # fmt: skip
    """The torch network of a manifest, in evaluation mode.

    Raises:
        BuildError: the weights do not fit the configuration, or the checkpoint's labels are not the manifest's.
    """
    try:
        return _network(manifest, source, tensors, head).eval()
    except RuntimeError as error:
        raise BuildError(
            f"The weights of '{manifest.name}' do not fit its configuration: {' '.join(str(error).split())[:400]}",
            code="weights_do_not_fit",
        ) from error


def _network(
    manifest: Manifest, source: SourceModel, tensors: Mapping[str, NDArray[Any]],
    head: Mapping[str, NDArray[np.float32]],
) -> nn.Module:  # fmt: skip
    if manifest.task == "classify" and manifest.adapter is None:
        _check_labels(manifest, source.config)
        return load_checkpoint(source.config, tensors)
    encoder = load_encoder(source.config, tensors)
    if manifest.task == "embed":
        return Embedder(encoder, manifest.pooling)
    top = Head(int(source.config["hidden_size"]), len(manifest.labels), 0.0)
    top.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in head.items()})
    return Classifier(encoder, top, manifest.pooling)


def _check_labels(manifest: Manifest, config: Mapping[str, Any]) -> None:
    """The manifest may name ``LABEL_0`` …; names that the checkpoint has must stand in its order."""
    stored = config.get("id2label") or {}
    names = [str(stored[key]) for key in sorted(stored, key=int)]
    generic = all(name.upper() == f"LABEL_{at}" for at, name in enumerate(names))
    wanted = [label.casefold() for label in manifest.labels]
    if len(names) != len(wanted) or not (generic or [name.casefold() for name in names] == wanted):
        raise BuildError(
            f"The labels of '{manifest.name}' are {', '.join(manifest.labels)}; the checkpoint's are "
            f"{', '.join(names) or 'not in its config.json'}.",
            hint="List the labels in the checkpoint's order.", code="labels_differ",
        )  # fmt: skip


def export_graph(network: nn.Module) -> tuple[onnx.ModelProto, dict[str, NDArray[np.float32]]]:
    """The weight-free graph and the parameters by their names in it."""
    network = network.eval()
    rows, width = 2, 16
    example = {
        "input_ids": torch.ones((rows, width), dtype=torch.int64),
        "attention_mask": torch.ones((rows, width), dtype=torch.int64),
    }
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (), kwargs=example, input_names=list(example), output_names=["output"], dynamo=True,
            optimize=False, dynamic_shapes={name: {0: batch, 1: tokens} for name in example}, verbose=False,
        )  # fmt: skip
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    parameters = {name: tensor.detach().float().numpy() for name, tensor in network.named_parameters()}
    return empty_graph(program.model_proto, set(parameters)), parameters


@torch.no_grad()
def reference_outputs(network: nn.Module, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """The torch network's fp32 outputs."""
    network = network.eval()
    output: NDArray[np.float32] = network(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()
    return output
