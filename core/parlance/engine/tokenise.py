"""Text → token ids: in the event loop when short, on one worker thread when long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Literal

from tokenizers import Encoding

from parlance.engine.vocabulary import read_tokenizer
from parlance.engine.work import Tokens
from parlance.errors import ModelError, ValidationFailed
from parlance.models.artefact import Artefact

__all__ = ["INLINE_CHARS", "Tokeniser", "keep_to_one_thread"]

INLINE_CHARS = 2000
"""Characters up to which a call is tokenised in the event loop (about 1 ms); a hop to a thread costs more than that."""

_CHARS_PER_TOKEN = 32
"""More than any tokenizer gives for ordinary text; where a text has longer ones it is read whole."""

Input = str | tuple[str, str]


def keep_to_one_thread() -> None:
    """Tell the tokenizers library, for this process, not to start threads of its own beside the engine's workers."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class Tokeniser:
    """One model's tokenizer, set to its token limit. Thread-safe."""

    def __init__(self, artefact: Artefact) -> None:
        path = artefact.path / artefact.tokenizer
        try:
            self._vocabulary, self._tokenizer = read_tokenizer(path, artefact.files.get(artefact.tokenizer))
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"The tokenizer of {artefact.reference} cannot be read from {path}: {error}.") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(artefact.max_tokens)
        self._reference = artefact.reference
        self._limit = artefact.max_tokens
        self._type_ids = "token_type_ids" in artefact.inputs
        self._offsets = artefact.task == "tag"

    async def tokenise(
        self,
        texts: Sequence[Input],
        *,
        overlong: Literal["truncate", "refuse"],
        indices: Sequence[int],
        thread: Executor,
    ) -> list[Tokens]:
        """Tokenise a call's texts; ``indices`` are their places in the call, for errors.

        Raises:
            ValidationFailed: code ``text_too_long``, where overlong texts are refused.
        """
        if sum(len(text) if isinstance(text, str) else len(text[0]) + len(text[1]) for text in texts) <= INLINE_CHARS:
            return self.encode(texts, overlong=overlong, indices=indices)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread, lambda: self.encode(texts, overlong=overlong, indices=indices))

    def encode(
        self, texts: Sequence[Input], *, overlong: Literal["truncate", "refuse"], indices: Sequence[int]
    ) -> list[Tokens]:
        """The same on the calling thread."""
        # The batch methods let go of the interpreter lock; the fast one leaves out offsets.
        encode = self._tokenizer.encode_batch if self._offsets else self._tokenizer.encode_batch_fast
        try:
            encodings = encode([self._head(text) for text in texts])
            for place, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
                if not encoding.overflowing and self._head(text) is not text:
                    encodings[place] = encode([text])[0]
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"The tokenizer of {self._reference} failed: {error}.") from error
        tokens = []
        for text, encoding, index in zip(texts, encodings, indices, strict=True):
            truncated = bool(encoding.overflowing)
            if truncated and overlong == "refuse":
                raise self._too_long(text, index)
            tokens.append(
                Tokens(
                    ids=encoding.ids,
                    type_ids=encoding.type_ids if self._type_ids else None,
                    offsets=_content_offsets(encoding) if self._offsets else None,
                    truncated=truncated,
                )
            )
        return tokens

    def _head(self, text: Input) -> Input:
        """As much of a very long text as can matter: what lies behind is cut anyway, if this fills the limit."""
        most = self._limit * _CHARS_PER_TOKEN
        if isinstance(text, str):
            return text if len(text) <= most else text[:most]
        return text

    def count(self, text: Input) -> int:
        """Tokens of the whole input, special ones included, the limit ignored."""
        parts = (text,) if isinstance(text, str) else text
        content = 0
        for encoding in self._tokenizer.encode_batch_fast(list(parts)):
            content += sum(len(one) - sum(one.special_tokens_mask) for one in (encoding, *encoding.overflowing))
        return content + self._tokenizer.num_special_tokens_to_add(len(parts) == 2)

    def _too_long(self, text: Input, index: int) -> ValidationFailed:
        tokens = self.count(text)
        return ValidationFailed(
            f"Text {index} has {tokens} tokens; {self._reference} reads at most {self._limit}.",
            hint="Shorten or split it, or allow it to be cut (truncate).",
            code="text_too_long",
            index=index,
            tokens=tokens,
            limit=self._limit,
        )


def _content_offsets(encoding: Encoding) -> list[tuple[int, int]]:
    """Character ranges, empty for special tokens."""
    return [
        (0, 0) if special else offsets
        for offsets, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    ]
