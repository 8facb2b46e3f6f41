"""An ONNX graph computed with torch operators, one node after the other: the operators that encoder exports use."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

from parlance.errors import ModelError
from parlance.models.artefact import Artefact

__all__ = ["Graph"]

Operator = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    dead: tuple[str, ...]
    """Values that no later node reads: dropped to keep memory low."""


class Graph:
    """A graph with its weights as tensors; ``run`` may be called from several threads at once."""

    def __init__(self, nodes: Sequence[_Node], values: Mapping[str, Tensor], output: str) -> None:
        self._nodes = nodes
        self._values = values
        self._output = output

    @classmethod
    def read(cls, artefact: Artefact) -> Graph:
        """Read the artefact's graph.

        Raises:
            ModelError: the file cannot be read, or has an operator that is not known here.
        """
        path = artefact.path / artefact.graph
        try:
            model = onnx.load(str(path))
        except Exception as error:
            raise ModelError(f"The graph {path} cannot be read: {error}.") from error
        values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in model.graph.initializer}
        unknown = sorted({node.op_type for node in model.graph.node} - {"Constant", *_OPERATORS})
        if unknown:
            raise ModelError(
                f"The torch runner does not know these operators of {artefact.reference}: {', '.join(unknown)}.",
                hint="Use the runner onnxruntime.",
            )
        last = {name: number for number, node in enumerate(model.graph.node) for name in node.input}
        nodes = []
        for number, node in enumerate(model.graph.node):
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant":
                values[node.output[0]] = _constant(attributes)
                continue
            dead = tuple(name for name in set(node.input) if last[name] == number and name not in values and name)
            nodes.append(_Node(node.op_type, tuple(node.input), node.output[0], attributes, dead))
        return cls(nodes, values, artefact.output)

    def run(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Compute the graph's output."""
        values = {**self._values, **inputs}
        for node in self._nodes:
            arguments = [values[name] if name else None for name in node.inputs]
            values[node.output] = _OPERATORS[node.kind](*arguments, **node.attributes)
            for name in node.dead:
                if name != self._output:
                    del values[name]
        return values[self._output]


def _constant(attributes: Mapping[str, Any]) -> Tensor:
    ((name, value),) = attributes.items()
    if name == "value":
        return torch.from_numpy(numpy_helper.to_array(value).copy())
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)


def _dtype(code: int) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=onnx.helper.tensor_dtype_to_np_dtype(code))).dtype


def _ints(value: Tensor | None) -> list[int] | None:
    return None if value is None else [int(one) for one in value.reshape(-1).tolist()]


def _reshape(data: Tensor, shape: Tensor, allowzero: int = 0) -> Tensor:
    sizes = _ints(shape) or []
    return data.reshape([data.shape[i] if not size and not allowzero else size for i, size in enumerate(sizes)])


def _shape(data: Tensor, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(data.shape[start:end], dtype=torch.int64)


def _slice(
    data: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    begin, end = _ints(starts) or [], _ints(ends) or []
    places = [slice(None)] * data.dim()
    for axis, first, last, step in zip(
        _ints(axes) or range(len(begin)), begin, end, _ints(steps) or [1] * len(begin), strict=True
    ):
        places[axis] = slice(first, last, step)
    return data[tuple(places)]


def _squeeze(data: Tensor, axes: Tensor | None = None) -> Tensor:
    return data.squeeze() if axes is None else data.squeeze(tuple(_ints(axes) or ()))


def _unsqueeze(data: Tensor, axes: Tensor) -> Tensor:
    dimensions = data.dim() + axes.numel()
    for axis in sorted(axis % dimensions for axis in _ints(axes) or []):
        data = data.unsqueeze(axis)
    return data


def _gather(data: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    axis %= data.dim()
    chosen = data.index_select(axis, torch.where(indices < 0, indices + data.shape[axis], indices).reshape(-1))
    return chosen.reshape(*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])


def _gather_nd(data: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    if batch_dims:
        raise ValueError("GatherND with batch dimensions is not supported")
    return data[tuple(indices.unbind(-1))]


def _expand(data: Tensor, shape: Tensor) -> Tensor:
    return data.expand(np.broadcast_shapes(tuple(data.shape), tuple(_ints(shape) or ())))


def _layer_normalization(
    data: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    del stash_type
    return functional.layer_norm(data, data.shape[axis % data.dim() :], scale, bias, epsilon)


def _reduce(data: Tensor, axes: Tensor | None, keepdims: int, noop: int, reduce: Callable[..., Tensor]) -> Tensor:
    dimensions = _ints(axes)
    if dimensions is None and noop:
        return data
    return reduce(data, dim=tuple(dimensions or range(data.dim())), keepdim=bool(keepdims))


def _gemm(a: Tensor, b: Tensor, c: Tensor | None = None, **options: Any) -> Tensor:
    product: Tensor = (a.T if options.get("transA") else a) @ (b.T if options.get("transB") else b)
    product = product * options.get("alpha", 1.0)
    return product if c is None else product + options.get("beta", 1.0) * c


def _gelu(data: Tensor, approximate: bytes = b"none") -> Tensor:
    return functional.gelu(data, approximate=approximate.decode())


_OPERATORS: dict[str, Operator] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Cast": lambda data, to, **_: data.to(_dtype(to)),
    "CastLike": lambda data, other, **_: data.to(other.dtype),
    "Clip": lambda data, low=None, high=None: data.clamp(low, high),
    "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
    "Div": lambda a, b: torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc"),
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": lambda data, indices, axis=0: torch.gather(data, axis, indices),
    "GatherND": _gather_nd,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GreaterOrEqual": torch.ge,
    "Identity": lambda data: data,
    "LayerNormalization": _layer_normalization,
    "MatMul": torch.matmul,
    "Max": lambda first, *others: functools.reduce(torch.maximum, others, first),
    "Mul": torch.mul,
    "Not": torch.logical_not,
    "Pow": torch.pow,
    "Range": lambda start, limit, step: torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype),
    "ReduceL2": lambda data, axes=None, keepdims=1, noop_with_empty_axes=0: _reduce(
        data, axes, keepdims, noop_with_empty_axes, torch.linalg.vector_norm
    ),
    "ReduceMean": lambda data, axes=None, keepdims=1, noop_with_empty_axes=0: _reduce(
        data, axes, keepdims, noop_with_empty_axes, torch.mean
    ),
    "ReduceSum": lambda data, axes=None, keepdims=1, noop_with_empty_axes=0: _reduce(
        data, axes, keepdims, noop_with_empty_axes, torch.sum
    ),
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Softmax": lambda data, axis=-1: torch.softmax(data, dim=axis),
    "Sqrt": torch.sqrt,
    "Squeeze": _squeeze,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Transpose": lambda data, perm: data.permute(perm),
    "Unsqueeze": _unsqueeze,
    "Where": torch.where,
}
