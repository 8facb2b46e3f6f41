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

from parlance.models.graph import empty_graph
from parlance.models.manifest import Manifest
from parlance.models.sources.base import SourceModel
from parlance.training.network import Classifier, Embedder, Head, load_encoder

__all__ = ["export_graph", "make_network", "reference_outputs"]


def make_network(
    manifest: Manifest, source: SourceModel, tensors: Mapping[str, NDArray[Any]],
    head: Mapping[str, NDArray[np.float32]],
) -> nn.Module:  # fmt: skip
    """The torch network of a manifest, in evaluation mode."""
    encoder = load_encoder(source.config, tensors)
    if manifest.task == "embed":
        return Embedder(encoder, manifest.pooling).eval()
    top = Head(int(source.config["hidden_size"]), len(manifest.labels), 0.0)
    top.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in head.items()})
    return Classifier(encoder, top, manifest.pooling).eval()


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
