"""Tokenizers: one vocabulary for several models, and very long texts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tokenizers import Tokenizer

from parlance.engine.early import EarlyLoads
from parlance.engine.tokenise import Tokeniser
from parlance.engine.vocabulary import read_tokenizer
from parlance.models.artefact import Artefact, FileRecord
from parlance.models.hashing import record
from parlance.settings import ModelSettings, Settings

CACHE = Path(ModelSettings().cache).expanduser()
TEXTS = ["Hello <mask> world </s>", "我想申请退款，请问需要多长时间？", "Wo ist mein Paket? \U0001f600 ①", "a" * 700]


def built(name: str) -> Artefact:
    """A model of this machine's cache, where it is built."""
    home = CACHE / name
    if not (home / "current").is_file():
        pytest.skip(f"the model {name} is not built: parlance models build {name}")
    folder = home / (home / "current").read_text(encoding="utf-8").strip()
    artefact = msgspec.json.decode((folder / "artefact.json").read_bytes(), type=Artefact)
    return msgspec.structs.replace(artefact, folder=str(folder))


def test_models_with_the_same_file_share_a_vocabulary_and_keep_limits_of_their_own(artefact: Any) -> None:
    known = record(Path(artefact().folder) / "tokenizer.json")
    long = Tokeniser(artefact(files={"tokenizer.json": known}))
    short = Tokeniser(artefact(files={"tokenizer.json": known}, max_tokens=8))
    assert long._vocabulary is short._vocabulary
    (whole,) = long.encode(["profit rose"], overlong="truncate", indices=[0])
    (cut,) = short.encode(["profit rose"], overlong="truncate", indices=[0])
    assert (len(whole.ids), whole.truncated) == (12, False)
    assert (len(cut.ids), cut.truncated) == (8, True)


@pytest.mark.parametrize("name", ["embed-en", "embed-multi"])
def test_a_shared_vocabulary_gives_the_very_tokens_of_the_file(name: str) -> None:
    model = built(name)
    path = model.path / model.tokenizer
    reference = Tokenizer.from_file(str(path))
    reference.no_padding()
    reference.no_truncation()
    kept, shared = read_tokenizer(path, FileRecord(sha256=f"test {name}", size_bytes=0))
    again, second = read_tokenizer(path, FileRecord(sha256=f"test {name}", size_bytes=0))
    assert kept is again
    for own in (shared, second):
        own.no_padding()
        own.no_truncation()
        assert own.get_vocab_size() == reference.get_vocab_size()
        for text in TEXTS:
            assert own.encode(text).ids == reference.encode(text).ids
            assert own.encode(text).offsets == reference.encode(text).offsets
            assert own.encode(text, "pair").type_ids == reference.encode(text, "pair").type_ids


@pytest.mark.parametrize("name", ["embed-en", "embed-multi"])
def test_a_text_of_a_megabyte_is_cut_in_good_time_by_a_real_tokenizer(name: str) -> None:
    model = built(name)
    tokeniser = Tokeniser(model)
    texts = ["word " * 200_000, "退款申请" * 250_000, "x" * 1_000_000, " " * 999_000 + "end"]
    started = time.process_time()
    tokens = tokeniser.encode(texts, overlong="truncate", indices=range(4))
    assert time.process_time() - started < 5
    assert [len(one.ids) for one in tokens[:2]] == [model.max_tokens] * 2
    assert all(one.truncated for one in tokens[:2])
    assert all(len(one.ids) <= model.max_tokens for one in tokens)
    assert len(tokens[3].ids) >= 3, "what stands behind a megabyte of blanks is read"


def test_early_loads_of_an_empty_cache_are_none(tmp_path: Path, artefact: Any) -> None:
    early = EarlyLoads(Settings(models=ModelSettings(cache=str(tmp_path))))
    assert early.take(artefact(), early._loader) is None
    early.close()
