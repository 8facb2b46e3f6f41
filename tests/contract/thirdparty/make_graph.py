"""Writes ``graph.onnx`` (no weights) and ``reference.npz`` of ``termbase-tiny``; run it after changing the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from parlance_termbase.model import TABLE, WORDS, TermbaseRunner, table

FOLDER = Path(__file__).parent / "parlance_termbase" / "models" / "termbase-tiny"
PARITY = [["exchange", "rate"], ["dividend"], ["汇", "率"]]


def main() -> None:
    """Write both files."""
    words, width = table().shape
    nodes = [
        helper.make_node("Gather", [f"encoder.{TABLE}", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["output"], axis=1, p=2),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", width])
    bare = TensorProto(name=f"encoder.{TABLE}", data_type=TensorProto.FLOAT, dims=[words, width])
    constants = [
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        helper.make_tensor("tokens", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(nodes, "termbase", ids, [output], [bare, *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (FOLDER / "graph.onnx").write_bytes(model.SerializeToString())
    tokens = np.zeros((len(PARITY), 2), np.int64)
    for row, sentence in enumerate(PARITY):
        tokens[row, : len(sentence)] = [WORDS.index(word) for word in sentence]
    expected = TermbaseRunner(table()).run({"input_ids": tokens, "attention_mask": (tokens > 0).astype(np.int64)})
    np.savez(FOLDER / "reference.npz", outputs=expected)
    onnx.load(FOLDER / "graph.onnx", load_external_data=False)


if __name__ == "__main__":
    main()
