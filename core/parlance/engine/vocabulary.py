"""Vocabularies shared by the tokenizers of a process: one of 250,000 pieces takes a second and 100 MB to read."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

from tokenizers import Tokenizer

from parlance.models.artefact import FileRecord

__all__ = ["Vocabulary", "read_tokenizer"]


class Vocabulary:
    """A tokenizer as its file describes it. Nobody changes it; it goes with the last model that uses it."""

    __slots__ = ("__weakref__", "tokenizer")

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer


_shared: WeakValueDictionary[str, Vocabulary] = WeakValueDictionary()
_lock = threading.Lock()


def read_tokenizer(path: Path, record: FileRecord | None) -> tuple[Vocabulary, Tokenizer]:
    """A tokenizer of one's own on the vocabulary of the file, which models with the same file share.

    Args:
        record: the file's recorded identity; without one the vocabulary is not shared.

    Returns:
        The vocabulary, to be kept for as long as others may share it, and the tokenizer.
    """
    if record is None:
        vocabulary = Vocabulary(Tokenizer.from_file(str(path)))
        return vocabulary, vocabulary.tokenizer
    with _lock:  # a second reader waits: reading holds the interpreter lock anyway
        found = _shared.get(record.sha256)
        if found is None:
            found = _shared[record.sha256] = Vocabulary(Tokenizer.from_file(str(path)))
    return found, _on(found.tokenizer)


def _on(base: Tokenizer) -> Tokenizer:
    """A tokenizer with the same steps on the same model; its truncation and padding are its own."""
    own = Tokenizer(base.model)
    if base.normalizer is not None:
        own.normalizer = base.normalizer
    if base.pre_tokenizer is not None:
        own.pre_tokenizer = base.pre_tokenizer
    if base.post_processor is not None:
        own.post_processor = base.post_processor
    if base.decoder is not None:
        own.decoder = base.decoder
    for _, token in sorted(base.get_added_tokens_decoder().items()):
        (own.add_special_tokens if token.special else own.add_tokens)([token])
    return own
