"""How well the support plugin finds and judges answers, in English and Chinese, and the fitting of its calibration.

    python tests/bench/support_answering.py [--write plugins/parlance_support/answering/calibration.json]

English: a knowledge base of banking77's training questions (an entry per intent, with one or five ways to ask it),
asked with other questions of the set; questions of clinc150 from outside banking must not be answered. Chinese: pairs
of bq_corpus and lcqmc (an entry per distinct second question), asked with the first questions; questions of the other
set must not be answered. Weights are fitted on training parts only; figures are of the dev parts.

The data lie in ``../shared/data`` beside the checkout; without them the script says so and exits with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from parlance.search.memory import Changes, MemoryIndex
from parlance.search.store import StoredState
from parlance.tasks import Role
from parlance_support.answering.calibration import FEATURES, Calibration, Weights
from parlance_support.answering.decision import decide
from parlance_support.answering.features import Features, candidates
from parlance_support.knowledge.entry import entry_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MODEL = "embed-multi"
Embed = Callable[[Sequence[str], Role], Awaitable[NDArray[np.float32]]]
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """A knowledge base (document id → text), questions with the entries that answer them, and questions without."""

    name: str
    language: str
    base: Mapping[str, str]
    asked: Sequence[tuple[str, frozenset[str]]]
    foreign: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """One question: what was judged best, and whether it was right; ``right`` is None for a foreign one."""

    features: Features | None
    right: bool | None
    rank: int | None = None
    dense_rank: int | None = None
    lexical_rank: int | None = None


def rows(name: str, part: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]


def english(part: str, *, ways: int, limit: int) -> Trial:
    rng = random.Random(7)
    train = rows("banking77", "train")
    rng.shuffle(train)
    by_intent: dict[str, list[str]] = {}
    for row in train:
        by_intent.setdefault(row["label"], []).append(row["text"])
    intents = sorted(by_intent)
    base = {f"e{n}:q{k}": text for n, i in enumerate(intents) for k, text in enumerate(by_intent[i][:ways])}
    if part == "train":
        asked = [(text, intent) for intent in intents for text in by_intent[intent][5:]]
    else:
        asked = [(row["text"], row["label"]) for row in rows("banking77", part)]
    rng.shuffle(asked)
    clinc = rows("clinc150", part)
    outside = [row["text"] for row in clinc if row["domain"] == "oos"]
    other = [row["text"] for row in clinc if row["domain"] not in ("oos", "banking", "credit_cards")]
    rng.shuffle(other)
    foreign = outside[: limit // 4] + other[: limit // 2]
    right = [(text, frozenset({f"e{intents.index(intent)}"})) for text, intent in asked[:limit]]
    return Trial(f"banking77, {ways} per intent", "en", base, right, foreign)


def chinese(name: str, other: str, part: str, *, limit: int) -> Trial:
    pairs = rows(name, part)
    texts = list(dict.fromkeys(row["b"] for row in pairs))[: 4 * limit]
    number = {text: f"e{n}" for n, text in enumerate(texts)}
    right: dict[str, set[str]] = {}
    for row in pairs:
        if row["label"] == 1 and row["b"] in number and row["a"] not in number:
            right.setdefault(row["a"], set()).add(number[row["b"]])
    foreign = [row["a"] for row in rows(other, part)][: limit // 2]
    asked = [(text, frozenset(found)) for text, found in list(right.items())[:limit]]
    return Trial(name, "zh", {f"{number[text]}:q0": text for text in texts}, asked, foreign)


async def run(trial: Trial, embed: Embed) -> list[Outcome]:
    ids, texts = list(trial.base), list(trial.base.values())
    index = MemoryIndex()
    documents = [(name, text, {}) for name, text in trial.base.items()]
    vectors = await embed(texts, Role.PASSAGE)
    index.apply(Changes(StoredState(1, 0), "bench", documents, [(ids, vectors)]))
    asked = [*trial.asked, *((text, None) for text in trial.foreign)]
    queries = await embed([text for text, _ in asked], Role.QUERY)
    return [outcome(index, text, vector, right) for (text, right), vector in zip(asked, queries, strict=True)]


def outcome(index: MemoryIndex, text: str, vector: Vector, right: frozenset[str] | None) -> Outcome:
    hits = index.rank(text, vector, limit=50, filters=None, weights=(1.0, 1.0))
    found = candidates(text, hits)
    if not found:
        return Outcome(None, None if right is None else False)
    verdict = decide(found, calibration=PLAIN, language="en", threshold=0.0)
    best = verdict.ranked[0].candidate
    if right is None:
        return Outcome(best.features, None)
    dense = sorted((hit for hit in hits if hit.dense is not None), key=lambda hit: -(hit.dense or 0))
    lexical = sorted((hit for hit in hits if hit.lexical is not None), key=lambda hit: -(hit.lexical or 0))
    return Outcome(
        best.features,
        best.entry_id in right,
        rank_of([hit.id for hit in hits], right),
        rank_of([hit.id for hit in dense], right),
        rank_of([hit.id for hit in lexical], right),
    )


PLAIN = Calibration(
    name="cosine-first",
    model="",
    languages={"en": Weights(bias=-20.0, cosine=24.0, margin=0.0, shared=0.5, covered=0.5)},
)
"""Chooses the candidate before fitting: by cosine, words as the tie-break."""


def rank_of(hits: Sequence[str], right: frozenset[str]) -> int | None:
    entries = list(dict.fromkeys(entry_of(name) for name in hits))
    return next((rank for rank, name in enumerate(entries, 1) if name in right), None)


def fit(outcomes: Sequence[Outcome], *, ridge: float = 1e-3) -> Weights:
    """Logistic regression by Newton's method; right answers against wrong and foreign ones, classes as they come."""
    used = [item for item in outcomes if item.features is not None]
    x = np.array([[getattr(item.features, name) for name in FEATURES] for item in used])
    y = np.array([1.0 if item.right else 0.0 for item in used])
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.c_[np.ones(len(x)), (x - mean) / scale]
    w = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-z @ w))
        gradient = z.T @ (p - y) + ridge * len(x) * np.r_[0, w[1:]]
        hessian = (z * (p * (1 - p))[:, None]).T @ z + ridge * len(x) * np.diag([0, *[1] * (z.shape[1] - 1)])
        w -= np.linalg.solve(hessian + 1e-9 * np.eye(len(w)), gradient)
    slopes = w[1:] / scale
    values = {name: round(float(slope), 4) for name, slope in zip(FEATURES, slopes, strict=True)}
    return Weights(bias=round(float(w[0] - slopes @ mean), 4), **values)


def report(trial: Trial, outcomes: Sequence[Outcome], weights: Weights) -> None:
    known = [item for item in outcomes if item.right is not None]
    foreign = [item for item in outcomes if item.right is None]
    print(f"\n{trial.name} ({trial.language}): {len(trial.base)} texts, {len(known)} questions, {len(foreign)} foreign")
    for label, ranks in (
        ("hybrid", [item.rank for item in known]),
        ("dense", [item.dense_rank for item in known]),
        ("words", [item.lexical_rank for item in known]),
    ):
        first = np.mean([rank == 1 for rank in ranks])
        mrr = np.mean([1 / rank if rank and rank <= 10 else 0.0 for rank in ranks])
        print(f"  {label:<7} Recall@1 {first:.3f}  MRR@10 {mrr:.3f}")
    print(f"  judged  Recall@1 {np.mean([bool(item.right) for item in known]):.3f}")
    score = {id(item): weights.probability(item.features) if item.features else 0.0 for item in outcomes}
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        given = [item for item in known if score[id(item)] >= threshold]
        coverage = len(given) / len(known)
        precision = np.mean([bool(item.right) for item in given]) if given else float("nan")
        false = np.mean([score[id(item)] >= threshold for item in foreign])
        print(f"  at {threshold:.1f}: answers {coverage:.3f}, of them right {precision:.3f}, false {false:.3f}")
    print(f"  expected calibration error {calibration_error(outcomes, score):.3f}")


def calibration_error(outcomes: Sequence[Outcome], score: Mapping[int, float]) -> float:
    """Ten equal bins, weighted by size (Naeini et al., AAAI 2015)."""
    p = np.array([score[id(item)] for item in outcomes])
    y = np.array([1.0 if item.right else 0.0 for item in outcomes])
    bins = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in set(bins)))


async def measure(embed: Embed, *, limit: int) -> Calibration:
    def trials(part: str) -> list[Trial]:
        return [
            english(part, ways=1, limit=limit),
            english(part, ways=5, limit=limit),
            chinese("bq_corpus_dev", "lcqmc_dev", part, limit=limit),
            chinese("lcqmc_dev", "bq_corpus_dev", part, limit=limit),
        ]

    fitted: dict[str, list[Outcome]] = {}
    for trial in trials("train"):
        fitted.setdefault(trial.language, []).extend(await run(trial, embed))
    languages = {language: fit(outcomes) for language, outcomes in fitted.items()}
    for trial in trials("dev"):
        report(trial, await run(trial, embed), languages[trial.language])
    return Calibration(name="support.logistic.v1", model=MODEL, languages=languages)


async def with_engine(limit: int) -> Calibration:
    from parlance.app import build
    from parlance.settings import load_settings

    app = build(load_settings())
    await app.engine.start()
    try:

        async def embed(texts: Sequence[str], role: Role) -> Vector:
            parts = [
                (await app.engine.embed(texts[start : start + 64], model=MODEL, role=role)).vectors
                for start in range(0, len(texts), 64)
            ]
            return np.concatenate(parts)

        return await measure(embed, limit=limit)
    finally:
        await app.engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=400, help="questions of each trial")
    parser.add_argument("--write", type=Path, help="write the fitted calibration to this file")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA} is not there: this script needs banking77, clinc150, bq_corpus_dev and lcqmc_dev in it.")
        return 1
    calibration = asyncio.run(with_engine(options.limit))
    text = msgspec.json.format(msgspec.json.encode(calibration), indent=2).decode()
    print(f"\n{text}")
    if options.write:
        options.write.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
