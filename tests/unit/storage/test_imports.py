"""Imports: good rows are stored, bad ones reported by line, in any usual format and encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parlance.errors import BadInput, Conflict, StorageError
from parlance.storage.imports import Rejected, Row, detect_encoding, import_rows, read_rows

CSV = 'question,answer\nHow do I pay?,"By card,\nor cash"\n怎么退货？,七天内\n'


def convert(values):
    if values["answer"] == "bad":
        raise ValueError("the answer is bad")
    return values["question"], values["answer"]


class Store:
    def __init__(self, *refused: str) -> None:
        self.rows: list[tuple[str, str]] = []
        self.refused = refused

    async def __call__(self, batch) -> None:
        if any(question in self.refused for question, _ in batch):
            raise Conflict("this question is there already")
        self.rows.extend(batch)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
async def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "faq.csv"
    file.write_bytes(CSV.encode(encoding))
    store = Store()
    report = await import_rows(file, convert=convert, store=store, required=["question", "answer"])
    assert (report.encoding, report.read, report.stored, report.rejected) == (encoding, 2, 2, 0)
    assert store.rows == [("How do I pay?", "By card,\nor cash"), ("怎么退货？", "七天内")]
    assert not (tmp_path / "faq.csv.rejects.jsonl").exists()


async def test_bad_rows_are_rejected_by_line_and_the_good_ones_stored(tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text('question,answer\na,1\n"b\nb",bad\nc\n,4\n\ne,5\nf,6\n')
    store, seen = Store("f"), []
    report = await import_rows(
        file, convert=convert, store=store, required=["question"], batch=3, progress=lambda *p: seen.append(p)
    )
    assert store.rows == [("a", "1"), ("e", "5")]
    lines = [json.loads(line) for line in Path(report.rejects_file).read_text().splitlines()]
    assert {one["line"]: one["reason"] for one in lines} == {
        3: "the answer is bad",
        5: "1 cells, but the header has 2",
        6: "'question' is missing or empty",
        9: "this question is there already",
    }
    assert (report.read, report.stored, report.rejected) == (6, 2, 4)
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)


@pytest.mark.parametrize("name", ["faq.jsonl", "faq.ndjson"])
async def test_json_lines_with_a_column_mapping(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"q":"a","answer":"1"}\n\nnot json\n[1]\n{"q":null,"answer":"2"}\n{"q":"b","answer":"3"}')
    store = Store()
    report = await import_rows(file, convert=convert, store=store, mapping={"q": "question"}, required=["question"])
    assert store.rows == [("a", "1"), ("b", "3")]
    assert [one.line for one in report.first_rejects] == [3, 4, 5]


def test_tables_with_tabs_are_read_in_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "faq.tsv"
    file.write_text("question\tanswer\na\t1\nb\n")
    rows = read_rows(file)
    assert next(rows) == Row(2, {"question": "a", "answer": "1"})
    assert isinstance(next(rows), Rejected)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", b"q,a\n1,2\n", "column_missing"),
        ("a.csv", b"question,question\n1,2\n", "bad_header"),
        ("a.xyz", b"", "format_unknown"),
        ("a.csv", b"\x00\x01\xff\xff", "encoding_unknown"),
        ("absent.csv", None, "file_unreadable"),
    ],
)
async def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, name, content, code) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        await import_rows(tmp_path / name, convert=convert, store=Store(), required=["question"])
    assert caught.value.code == code


async def test_a_wrong_encoding_rejects_only_the_rows_it_spoils(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"question,answer\na,1\nb,\xff\xfe\nc,3\n")
    store = Store()
    report = await import_rows(file, convert=convert, store=store, encoding="utf-8")
    assert store.rows == [("a", "1"), ("c", "3")]
    assert report.first_rejects[0].line == 3
    with pytest.raises(BadInput, match="no encoding named"):
        await import_rows(file, convert=convert, store=store, encoding="klingon")


async def test_a_broken_database_stops_the_import(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\na,1\n")

    async def broken(_) -> None:
        raise StorageError("gone")

    with pytest.raises(StorageError):
        await import_rows(tmp_path / "a.csv", convert=convert, store=broken)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    assert detect_encoding(tmp_path / "a.csv") == "utf-8"
    assert list(read_rows(tmp_path / "a.csv")) == []
