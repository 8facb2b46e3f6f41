"""Does a built model answer as the torch model does? Measured on the manifest's real sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from parlance.errors import BuildError

__all__ = ["Parity", "agreement", "check_parity", "run_graph", "tokenise"]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement with the reference: ``worst`` against ``bound``, ``largest_difference`` of any output value."""

    worst: float
    bound: float
    largest_difference: float
    texts: int


def tokenise(
    tokenizer: Path, texts: Sequence[str], *, prefix: str, max_tokens: int, pad_id: int
) -> dict[str, NDArray[np.int64]]:
    """``input_ids`` and ``attention_mask``, int64, shape ``(texts, longest)``."""
    loaded = Tokenizer.from_file(str(tokenizer))
    loaded.enable_truncation(max_tokens)
    loaded.enable_padding(pad_id=pad_id)
    encodings = loaded.encode_batch([prefix + text for text in texts])
    return {
        "input_ids": np.array([e.ids for e in encodings], dtype=np.int64),
        "attention_mask": np.array([e.attention_mask for e in encodings], dtype=np.int64),
    }


def run_graph(graph: Path, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """One forward pass with ONNX Runtime, fp32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        output: NDArray[np.float32] = session.run(None, inputs)[0]
    except Exception as error:  # the library raises a private class per cause
        raise BuildError(f"The built graph does not run: {error}.") from error
    return output


def agreement(task: str, actual: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Worst cosine of vectors (``embed``), else 1 - the largest difference of probabilities; 1 is perfect."""
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return 0.0
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    if task == "embed":
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).min())
    return 1.0 - float(np.abs(_softmax(a) - _softmax(b)).max())


def check_parity(
    task: str, actual: NDArray[np.floating], expected: NDArray[np.floating], *, bound: float, model: str
) -> Parity:
    """Compares outputs.

    Raises:
        BuildError: the agreement is below ``bound``; gives both figures.
    """
    worst = agreement(task, actual, expected)
    same = actual.shape == expected.shape
    largest = float(np.abs(actual - expected).max()) if same else float("inf")
    if not worst >= bound:
        raise BuildError(
            f"The built model '{model}' agrees with its torch reference only to {worst:.6f}; the manifest demands "
            f"{bound} (largest difference of an output {largest:.3g}).",
            hint="The graph, the weights or the tokenizer are not the ones that the reference was made with.",
            code="parity_failed", worst=worst, bound=bound,
        )  # fmt: skip
    return Parity(worst=worst, bound=bound, largest_difference=largest, texts=len(expected))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result
