"""How well the support plugin finds and judges answers, in English and Chinese, and the fitting of its calibration.

    python tests/bench/support_answering.py [--write plugins/parlance_support/answering/calibration.json]

English: knowledge bases of banking77 (an entry per intent, with one or five ways to ask it) and clinc150 (two ways),
asked with other questions of the set; questions of the other set and from outside any domain must not be answered.
Chinese: knowledge bases made of question pairs, an entry being the texts that pairs call the same: one is stored, the
others are asked. lcqmc and oppo_xiaobu (100 entries) are about anything; bq_corpus (20 entries, several times) is what
customers of a bank say, in their own words. Must not be answered: questions of the other sets and, except in bq_corpus,
where unlabelled duplicates abound, texts of other entries and texts that pairs call different from a stored one.
Weights are fitted on training parts only; figures are of the dev parts.

The data lie in ``../shared/data`` beside the checkout; without them the script says so and exits with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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
PAIRS = ("lcqmc_dev", "oppo_xiaobu_dev", "bq_corpus_dev")
Embed = Callable[[Sequence[str], Role], Awaitable[NDArray[np.float32]]]
Vector = NDArray[np.float32]
T = TypeVar("T")


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


def english(name: str, part: str, *, ways: int, limit: int) -> Trial:
    rng = random.Random(7)
    bank = name == "banking77"
    by_intent: dict[str, list[str]] = {}
    for row in shuffled(rows(name, "train"), rng):
        if bank or row["domain"] not in ("oos", "banking", "credit_cards"):
            by_intent.setdefault(row["label"], []).append(row["text"])
    intents = sorted(by_intent)
    base = {f"e{n}:q{k}": text for n, i in enumerate(intents) for k, text in enumerate(by_intent[i][:ways])}
    if part == "train":
        asked = [(text, intent) for intent in intents for text in by_intent[intent][5:]]
    else:
        asked = [(row["text"], row["label"]) for row in rows(name, part) if row["label"] in by_intent]
    clinc = rows("clinc150", part)
    outside = [row["text"] for row in clinc if row["domain"] == "oos"]
    other = [row["text"] for row in clinc if row["domain"] not in ("oos", "banking", "credit_cards")]
    if not bank:
        other = [row["text"] for row in rows("banking77", part)]
    foreign = outside[: limit // 4] + shuffled(other, rng)[: limit // 2]
    asked = shuffled(asked, rng)[:limit]
    right = [(text, frozenset({f"e{intents.index(intent)}"})) for text, intent in asked]
    return Trial(f"{name}, {ways} per entry", "en", base, right, foreign)


def chinese(name: str, part: str, *, size: int, limit: int, seed: int = 7) -> Trial:
    """A knowledge base of ``size`` entries out of a set of question pairs."""
    rng = random.Random(seed)
    pairs = [(row["a"], row["b"], int(row["label"])) for row in rows(name, part)]
    group: dict[str, list[str]] = {text: [text] for pair in pairs for text in pair[:2]}
    for first, second, same in pairs:
        if same == 1 and group[first] is not group[second]:
            group[first].extend(group[second])
            for text in group[second]:
                group[text] = group[first]
    entries = shuffled([texts for texts in distinct(group.values()) if len(texts) > 1], rng)
    chosen, left = entries[:size], entries[size:]
    held = {text for texts in chosen for text in texts}
    asked = [(text, frozenset({f"e{n}"})) for n, texts in enumerate(chosen) for text in texts[1:]]
    stored = {texts[0] for texts in chosen}
    near = [
        first if second in stored else second
        for first, second, same in pairs
        if same == 0 and ((second in stored and first not in held) or (first in stored and second not in held))
    ]
    others = [row["a"] for other in PAIRS if other != name for row in rows(other, part)]
    foreign = shuffled(others, rng)[: limit // 2]
    if name != "bq_corpus_dev":
        foreign += [*shuffled(near, rng)[: limit // 8], *[texts[0] for texts in left[: limit // 4]]]
    base = {f"e{n}:q0": texts[0] for n, texts in enumerate(chosen)}
    return Trial(f"{name}, {len(chosen)} entries", "zh", base, shuffled(asked, rng)[:limit], foreign)


def shuffled(items: Sequence[T], rng: random.Random) -> list[T]:
    return rng.sample(items, len(items))


def distinct(groups: Iterable[list[str]]) -> list[list[str]]:
    return list({id(texts): texts for texts in groups}.values())


async def unrelated(trial: Trial, embed: Embed) -> float:
    """The cosine to be expected between a question and an entry that has nothing to do with it: the median."""
    passages = await embed(list(trial.base.values()), Role.PASSAGE)
    queries = await embed([text for text, _ in trial.asked], Role.QUERY)
    return float(np.median(queries @ passages.T))


async def run(trial: Trial, embed: Embed, *, background: float) -> list[Outcome]:
    ids, texts = list(trial.base), list(trial.base.values())
    index = MemoryIndex()
    documents = [(name, text, {}) for name, text in trial.base.items()]
    vectors = await embed(texts, Role.PASSAGE)
    index.apply(Changes(StoredState(1, 0), "bench", documents, [(ids, vectors)]))
    asked = [*trial.asked, *((text, None) for text in trial.foreign)]
    queries = await embed([text for text, _ in asked], Role.QUERY)
    return [
        outcome(index, text, vector, right, background) for (text, right), vector in zip(asked, queries, strict=True)
    ]


def outcome(index: MemoryIndex, text: str, vector: Vector, right: frozenset[str] | None, background: float) -> Outcome:
    hits = index.rank(text, vector, limit=50, filters=None, weights=(1.0, 1.0))
    found = candidates(text, hits, background=background)
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
    languages={
        "en": Weights(background=0.8, bias=-20.0, cosine=24.0, prominence=0.0, margin=0.0, shared=0.5, covered=0.5)
    },
)
"""Chooses the candidate before fitting: by cosine, words as the tie-break."""


def rank_of(hits: Sequence[str], right: frozenset[str]) -> int | None:
    entries = list(dict.fromkeys(entry_of(name) for name in hits))
    return next((rank for rank, name in enumerate(entries, 1) if name in right), None)


def fit(outcomes: Sequence[Outcome], *, background: float) -> Weights:
    """Right answers against wrong and foreign ones; a feature whose weight would be negative is left out."""
    used = [item for item in outcomes if item.features is not None]
    x = np.array([[getattr(item.features, name) for name in FEATURES] for item in used])
    y = np.array([1.0 if item.right else 0.0 for item in used])
    kept = list(range(len(FEATURES)))
    bias, slopes = logistic(x, y)
    while len(kept) > 1 and min(slopes) < 0:
        del kept[int(np.argmin(slopes))]
        bias, slopes = logistic(x[:, kept], y)
    found = dict(zip((FEATURES[column] for column in kept), slopes, strict=True))
    values = {name: round(float(found.get(name, 0.0)), 4) for name in FEATURES}
    return Weights(background=round(background, 4), bias=round(bias, 4), **values)


def logistic(x: NDArray[np.float64], y: NDArray[np.float64], *, ridge: float = 3e-3) -> tuple[float, Vector]:
    """Logistic regression by Newton's method on standardised columns: bias and slopes."""
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.c_[np.ones(len(x)), (x - mean) / scale]
    w = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-z @ w))
        gradient = z.T @ (p - y) + ridge * len(x) * np.r_[0, w[1:]]
        hessian = (z * (p * (1 - p))[:, None]).T @ z + ridge * len(x) * np.diag([0, *[1] * (z.shape[1] - 1)])
        w -= np.linalg.solve(hessian + 1e-9 * np.eye(len(w)), gradient)
    slopes = w[1:] / scale
    return float(w[0] - slopes @ mean), slopes


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
            english("banking77", part, ways=1, limit=limit),
            english("banking77", part, ways=5, limit=limit),
            english("clinc150", part, ways=2, limit=limit),
            chinese("lcqmc_dev", part, size=100, limit=limit),
            chinese("oppo_xiaobu_dev", part, size=100, limit=limit),
            *(
                chinese("bq_corpus_dev", part, size=20, limit=limit // 4, seed=seed)
                for seed in range(8 if part == "train" else 3)
            ),
        ]

    fitting, fitted = trials("train"), dict[str, list[Outcome]]()
    levels = {
        language: float(np.mean([await unrelated(trial, embed) for trial in fitting if trial.language == language]))
        for language in ("en", "zh")
    }
    for trial in fitting:
        fitted.setdefault(trial.language, []).extend(await run(trial, embed, background=levels[trial.language]))
    languages = {name: fit(outcomes, background=levels[name]) for name, outcomes in fitted.items()}
    for trial in trials("dev"):
        outcomes = await run(trial, embed, background=levels[trial.language])
        report(trial, outcomes, languages[trial.language])
    return Calibration(name="support.logistic.v2", model=MODEL, languages=languages)


async def with_engine(limit: int, cache: Path | None) -> Calibration:
    from parlance.app import build
    from parlance.settings import load_settings

    app = build(load_settings(), plugins={}, discover=False)
    await app.engine.start()
    try:
        known: dict[tuple[str, Role], Vector] = {}
        if cache is not None and cache.is_file():
            known = pickle.loads(cache.read_bytes())  # a file that this script wrote

        async def embed(texts: Sequence[str], role: Role) -> Vector:
            fresh = [text for text in dict.fromkeys(texts) if (text, role) not in known]
            for start in range(0, len(fresh), 64):
                part = fresh[start : start + 64]
                vectors = (await app.engine.embed(part, model=MODEL, role=role)).vectors
                known.update(zip(((text, role) for text in part), vectors, strict=True))
            if cache is not None and fresh:
                cache.write_bytes(pickle.dumps(known))
            return np.stack([known[text, role] for text in texts])

        return await measure(embed, limit=limit)
    finally:
        await app.engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=400, help="questions of each trial")
    parser.add_argument("--write", type=Path, help="write the fitted calibration to this file")
    parser.add_argument("--cache", type=Path, help="keep vectors in this file, for fitting again")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA} is not there: this script needs banking77, clinc150, {', '.join(PAIRS)} in it.")
        return 1
    calibration = asyncio.run(with_engine(options.limit, options.cache))
    text = msgspec.json.format(msgspec.json.encode(calibration), indent=2).decode()
    print(f"\n{text}")
    if options.write:
        options.write.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
