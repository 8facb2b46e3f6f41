"""Labelled text from JSONL: read, check, split and batch, deterministically."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from parlance.errors import BadInput
from parlance.training.recipe import DataSet

__all__ = ["Example", "batches", "encode", "pad", "read_examples", "split"]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text; ``label`` is an index into the model's labels."""

    text: str
    label: int
    source: str


class _Row(msgspec.Struct):
    text: str
    label: str


def read_examples(data: DataSet, labels: Sequence[str], *, folder: Path, data_root: Path | None) -> list[Example]:
    """Reads one data set.

    Raises:
        BadInput: the file is missing, or a line is no such row; names file and line.
    """
    if data.file.startswith("{data}"):
        if data_root is None:
            raise BadInput(
                f"Data set '{data.name}' is at {data.file}, but no data folder was given.",
                hint="Pass --data-root DIR.",
            )
        path = data_root / data.file.removeprefix("{data}").lstrip("/")
    else:
        path = folder / data.file
    index = {label: position for position, label in enumerate(labels)}
    examples = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = msgspec.json.decode(line, type=_Row)
                except msgspec.MsgspecError as error:
                    raise BadInput(f"{path}, line {number}: {error}.", line=number) from error
                if row.label in data.drop_labels:
                    continue
                if row.label not in index:
                    raise BadInput(
                        f"{path}, line {number}: label '{row.label}' is none of {', '.join(labels)}.",
                        hint="Correct the row, or list the label in drop_labels.", line=number,
                    )  # fmt: skip
                examples.append(Example(row.text, index[row.label], data.name))
    except OSError as error:
        raise BadInput(f"Data set '{data.name}': {path} cannot be read: {error.strerror}.") from error
    return examples


def split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Training and tuning part: the tuning part is the first ``share`` of each label by the hash of its text.

    The order depends on the normalised text alone, so a text never moves between the parts when others are added
    before or after it with the same hash order, and repeated texts stay together.
    """
    training: list[Example] = []
    tuning: list[Example] = []
    for label in sorted({example.label for example in examples}):
        rows = sorted((e for e in examples if e.label == label), key=lambda e: _digest(e.text))
        cut = round(len(rows) * share)
        tuning += rows[:cut]
        training += rows[cut:]
    seen = {_digest(example.text) for example in tuning}
    return [example for example in training if _digest(example.text) not in seen], tuning


def encode(tokenizer: Tokenizer, texts: Sequence[str], *, prefix: str, max_tokens: int) -> list[list[int]]:
    """Token ids of every text, special tokens included, cut to ``max_tokens``."""
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return [encoding.ids for encoding in tokenizer.encode_batch([prefix + text for text in texts])]


def batches(lengths: Sequence[int], size: int, *, seed: int) -> Iterator[list[int]]:
    """Indices in batches of ``size`` whose lengths are close: shuffled, sorted in windows of 50 batches, shuffled."""
    chance = random.Random(seed)  # noqa: S311  # reproducible shuffling, no secret
    order = list(range(len(lengths)))
    chance.shuffle(order)
    made = []
    window = size * 50
    for start in range(0, len(order), window):
        part = sorted(order[start : start + window], key=lambda i: lengths[i])
        made += [part[at : at + size] for at in range(0, len(part), size)]
    chance.shuffle(made)
    yield from made


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``input_ids`` and ``attention_mask``: int64, shape ``(rows, longest row)``."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return ids, mask


def _digest(text: str) -> str:
    normal = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
