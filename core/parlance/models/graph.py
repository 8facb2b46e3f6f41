"""Weight-free ONNX graphs: emptied for the repository, filled again at the build.

Weights lie in one file beside the graph (ONNX external data), page-aligned, so that a runtime maps them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from parlance.errors import BuildError

__all__ = ["WEIGHTS", "Blocks", "empty_graph", "fill_graph"]

WEIGHTS = "weights.bin"
_PAGE = 4096
"""ONNX Runtime maps external data at multiples of the page size; anything else it copies."""
_BLOCK = 32
Blocks = tuple[NDArray[np.int8], NDArray[np.float16]]


def empty_graph(model: onnx.ModelProto, parameters: Collection[str]) -> onnx.ModelProto:
    """Takes the data of the named initialisers away, with doc strings and metadata; names, types and shapes stay."""
    for tensor in model.graph.initializer:
        if tensor.name in parameters:
            bare = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(bare)
    _strip(model)
    return model


def fill_graph(
    model: onnx.ModelProto,
    folder: Path,
    *,
    tensor: Callable[[str], NDArray[Any]],
    blocks: Callable[[str], Blocks | None],
) -> None:
    """Writes ``model.onnx`` and ``weights.bin`` into ``folder``.

    Args:
        tensor: gives the float32 array of a parameter name.
        blocks: gives the exact int8 values and scales of an embedding table that was stored in blocks of 32; such a
            table is kept in this form, a quarter of the size, and multiplied out after the look-up.

    Raises:
        BuildError: a parameter is unknown or has another shape.
    """
    with (folder / WEIGHTS).open("wb") as file:
        for entry in list(model.graph.initializer):
            if entry.raw_data or _has_data(entry):
                continue
            exact = blocks(entry.name) if _only_gathered(model.graph, entry.name) else None
            if exact is not None:
                for part, array in _use_blocks(model.graph, entry, exact):
                    _append(file, part, array)
                continue
            try:
                array = np.ascontiguousarray(tensor(entry.name), dtype=np.float32)
            except KeyError as error:
                raise BuildError(f"The graph needs '{entry.name}', which the source does not have.") from error
            if array.shape != tuple(entry.dims):
                raise BuildError(f"'{entry.name}' has shape {array.shape}, the graph needs {tuple(entry.dims)}.")
            _append(file, entry, array)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _append(file: Any, entry: TensorProto, array: NDArray[Any]) -> None:
    file.write(b"\0" * (-file.tell() % _PAGE))
    start = file.tell()
    file.write(array.tobytes())
    del entry.external_data[:]
    entry.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", str(start)), ("length", str(array.nbytes))):
        item = entry.external_data.add()
        item.key, item.value = key, value


def _has_data(entry: TensorProto) -> bool:
    return (
        bool(len(entry.float_data) or len(entry.int64_data) or len(entry.int32_data) or entry.external_data)
        or 0 in entry.dims
    )


def _only_gathered(graph: onnx.GraphProto, name: str) -> bool:
    users = [node for node in graph.node if name in node.input]
    return len(users) == 1 and users[0].op_type == "Gather" and users[0].input[0] == name


def _use_blocks(graph: onnx.GraphProto, entry: TensorProto, exact: Blocks) -> list[tuple[TensorProto, NDArray[Any]]]:
    """Replaces ``Gather(table, ids)`` by ``Gather(values, ids) · Gather(scales, ids)``; gives the new initialisers."""
    quants, scales = exact
    rows, columns = quants.shape
    at = next(i for i, node in enumerate(graph.node) if entry.name in node.input)
    old = graph.node[at]
    ids, output = old.input[1], old.output[0]
    name = entry.name
    values = TensorProto(name=f"{name}.values", data_type=TensorProto.INT8, dims=[rows, columns // _BLOCK, _BLOCK])
    factors = TensorProto(name=f"{name}.scales", data_type=TensorProto.FLOAT16, dims=[rows, columns // _BLOCK, 1])
    shape = numpy_helper.from_array(np.array([0, 0, columns], dtype=np.int64), f"{name}.shape")
    nodes = [
        helper.make_node("Gather", [values.name, ids], [f"{name}.g0"]),
        helper.make_node("Cast", [f"{name}.g0"], [f"{name}.f0"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [factors.name, ids], [f"{name}.g1"]),
        helper.make_node("Cast", [f"{name}.g1"], [f"{name}.f1"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.f0", f"{name}.f1"], [f"{name}.m"]),
        helper.make_node("Reshape", [f"{name}.m", shape.name], [output]),
    ]
    after = list(graph.node)[at + 1 :]
    del graph.node[at:]
    graph.node.extend([*nodes, *after])
    graph.initializer.remove(entry)
    graph.initializer.extend([values, factors, shape])
    kept = {item.name: item for item in graph.initializer}
    return [(kept[values.name], quants), (kept[factors.name], scales)]


def _strip(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]
    model.doc_string = ""
    graphs = [model.graph]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        del graph.value_info[:]
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.doc_string = ""
            del value.metadata_props[:]
    for holder in (model.graph, *model.functions):
        for node in holder.node:
            node.doc_string = ""
            del node.metadata_props[:]
