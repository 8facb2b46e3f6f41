"""Bodies that are JSON decode; all others give one error of ours, whatever they are."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlance.errors import BadInput, ValidationFailed
from parlance.http.decoding import decode_json
from parlance.http.limits import check_storable
from parlance.http.ndjson import BadLine, GoodLine, decode_lines, encode_lines, is_ndjson


class Row(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    n: int = 0


ROWS = msgspec.json.Decoder(Row)
ANY = msgspec.json.Decoder(Any)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_give_bad_input(body):
    try:
        decode_json(body, ANY)
    except BadInput as error:
        assert error.code in {"invalid_json", "not_unicode", "validation_failed"}  # noqa: PT017


@given(json_values)
def test_every_json_value_decodes_to_itself(value):
    assert decode_json(json.dumps(value).encode(), ANY) == value


@given(st.text(), st.integers(0xD800, 0xDFFF), st.text())
def test_half_a_surrogate_pair_is_told_from_broken_json(before, half, after):
    body = json.dumps({"text": "x" + before + " " + chr(half) + " " + after}).encode()
    with pytest.raises(ValidationFailed) as caught:
        decode_json(body, ROWS)
    assert caught.value.code == "not_unicode"
    assert caught.value.facts["errors"][0]["path"] == "text"


def test_good_lines_are_kept_and_bad_ones_named():
    body = '\ufeff{"text": "好"}\r\n\n{"text": 1}\n{"text": \n{"text": "b", "n": 2}'.encode()
    found = list(decode_lines(body, Row))
    assert [(item.line, item.value.text) for item in found if isinstance(item, GoodLine)] == [(1, "好"), (5, "b")]
    bad = [(item.line, item.code) for item in found if isinstance(item, BadLine)]
    assert bad == [(3, "validation_failed"), (4, "invalid_json")]


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))))
async def test_lines_written_are_lines_read(texts):
    body = b"".join([line async for line in encode_lines([Row(text) for text in texts])])
    assert [item.value.text for item in decode_lines(body, Row)] == texts


def test_ndjson_is_known_by_its_media_types():
    assert is_ndjson("application/x-ndjson; charset=utf-8")
    assert not is_ndjson("application/json")


@pytest.mark.parametrize(("text", "code"), [("a\0b", "nul_character"), ("a\ud800", "not_unicode")])
def test_text_that_a_database_cannot_hold_is_refused(text, code):
    with pytest.raises(ValidationFailed, match="character 1") as caught:
        check_storable(text, path="texts[0]")
    assert caught.value.code == code
