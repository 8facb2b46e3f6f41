"""Measures the sentiment plugin's labels on development parts of public data sets, by ``POST /sentiment/documents``.

Run: ``python tests/bench/sentiment_quality.py [--limit N]``. The data are looked for in ``$PARLANCE_DATA``, then in
``../shared/data`` beside the checkout; where they are absent the script says so and ends with status 0.
The real model is used (it must be built: ``parlance models build fin-sentiment``), over a temporary SQLite database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

LABELS = ("positive", "neutral", "negative")
BATCH = 64
Row = dict[str, Any]


def plain(row: Row) -> str | None:
    """A row whose ``label`` is one of the three."""
    return row["label"] if row.get("label") in LABELS else None


def forum(row: Row) -> str | None:
    """A row whose label may be a number: 0 negative, 1 neutral, 2 positive."""
    label = row.get("label")
    return {0: "negative", 1: "neutral", 2: "positive"}.get(label, label if label in LABELS else None)


def all_agree(row: Row) -> str | None:
    """Only the sentences on which all annotators agree."""
    return plain(row) if int(row.get("agreement", 0)) == 100 else None


SETS: dict[str, tuple[str, Callable[[Row], str | None]]] = {
    "financial_phrasebank": ("financial_phrasebank", plain),
    "financial_phrasebank, all agree": ("financial_phrasebank", all_agree),
    "twitter_fin_sentiment": ("twitter_fin_sentiment", plain),
    "sentfin, not mixed": ("sentfin", plain),
    "gold_news": ("gold_news", plain),
    "fiqa_sa": ("fiqa_sa", plain),
    "fincuge_finfe (Chinese)": ("fincuge_finfe", forum),
}


def data_folder() -> Path | None:
    """Where the data are."""
    for candidate in (os.environ.get("PARLANCE_DATA"), Path(__file__).parents[3] / "shared" / "data"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    return None


def rows_of(file: Path, label: Callable[[Row], str | None]) -> Iterator[tuple[str, str]]:
    """Texts with their labels."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            text = next((row[name] for name in ("text", "sentence", "title", "headline") if row.get(name)), None)
            wanted = label(row)
            if text and text.strip() and wanted:
                yield text, wanted


def scores(expected: Sequence[str], got: Sequence[str]) -> tuple[float, float]:
    """Accuracy and macro-F1 (mean of the F1 of the labels that occur)."""
    accuracy = sum(one == other for one, other in zip(expected, got, strict=True)) / len(expected)
    each = []
    for name in sorted(set(expected)):
        hit = sum(e == g == name for e, g in zip(expected, got, strict=True))
        each.append(2 * hit / max(1, expected.count(name) + list(got).count(name)))
    return accuracy, sum(each) / len(each)


async def measure(folder: Path, limit: int) -> None:
    """Print one line per set."""
    from litestar.testing import AsyncTestClient

    from parlance.app import build
    from parlance.observe.logging import configure
    from parlance.settings import LogSettings, load_settings

    configure(LogSettings(level="warning"))
    with tempfile.TemporaryDirectory() as temporary:
        flags = {
            "database.url": f"sqlite:///{Path(temporary) / 'bench.sqlite'}",
            "server.auth": "off",
            "sentiment.rules": [],
            "engine.interactive_deadline_s": 600.0,
            "sentiment.deadline_s": 600.0,
            "limits.body_bytes": 50_000_000,
        }
        app = build(load_settings(flags=flags, environment=dict(os.environ)))
        async with AsyncTestClient(app.asgi, timeout=600) as client:
            print(f"{'set':34} {'texts':>6} {'accuracy':>9} {'macro-F1':>9} {'texts/s':>8}  model")
            for name, (directory, label) in SETS.items():
                file = folder / directory / "dev.jsonl"
                if not file.exists():
                    print(f"{name:34} absent: {directory}/dev.jsonl")
                    continue
                rows = list(rows_of(file, label))[: limit or None]
                got: list[str] = []
                model = ""
                started = time.perf_counter()
                for start in range(0, len(rows), BATCH):
                    documents = [
                        {"id": f"{name}-{start + number}", "text": text}
                        for number, (text, _) in enumerate(rows[start : start + BATCH])
                    ]
                    answer = await client.post("/sentiment/documents", json=documents)
                    answer.raise_for_status()
                    got += [document["label"] for document in answer.json()["documents"]]
                    model = answer.json()["documents"][0]["model"]
                rate = len(rows) / (time.perf_counter() - started)
                accuracy, f1 = scores([label for _, label in rows], got)
                print(f"{name:34} {len(rows):6} {accuracy:9.3f} {f1:9.3f} {rate:8.1f}  {model}", flush=True)


def main() -> None:
    """Find the data and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=0, help="at most so many texts of each set")
    arguments = parser.parse_args()
    folder = data_folder()
    if folder is None:
        print("no data: set PARLANCE_DATA to the folder of data sets; nothing was measured", file=sys.stderr)
        return
    asyncio.run(measure(folder, arguments.limit))


if __name__ == "__main__":
    main()
