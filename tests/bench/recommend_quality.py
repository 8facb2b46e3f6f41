"""Ranking quality on MovieLens beside popularity: HR@10, NDCG@10 and per-user AUC.

Protocol of ``../shared/data/README.md``: every dev event with rating >= 4 against 99 items that the user never rated
(seed 0), and inside the dev slice the per-user AUC of rating >= 4 against < 4. With ``--choose`` the blend is chosen on
the training part alone (the last 12 % of each user's training events by time), and the dev part is looked at once.

    python tests/bench/recommend_quality.py --model embed-multi --choose

Vectors are cached in ``--cache`` (default: the system's folder for temporary files).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import itertools
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance_recommend.behaviour.signal import Interaction, SignalRules, signals_of
from parlance_recommend.catalogue.item import text_of
from parlance_recommend.ranking.popularity import Popularity
from parlance_recommend.ranking.profile import build_profile
from parlance_recommend.ranking.score import score
from parlance_recommend.ranking.space import fit_space
from parlance_recommend.ranking.weights import Weights
from parlance_recommend.settings import RecommendSettings

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NAMES = ("movielens_small", "movielens_100k")
Rating = tuple[int, int, float, int]


@dataclass
class Split:
    """Training events, later ones to predict, and everything that a user ever rated (to draw negatives)."""

    train: list[Rating]
    later: list[Rating]
    rated: dict[int, set[int]]


@dataclass
class UserCase:
    """Feature values of one user's candidates; the first ``100 * queries`` rows are queries of 1 + 99."""

    values: NDArray[np.float64]
    trust: float
    queries: int
    liked: NDArray[np.bool_]


def read_items(name: str) -> list[dict[str, Any]]:
    packed = DATA / name / "items.jsonl.gz"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else (DATA / name / "items.jsonl").read_bytes()
    return [json.loads(line) for line in raw.splitlines()]


def item_text(item: dict[str, Any]) -> str:
    return text_of(item["title"], item.get("overview") or "", (*item["genres"], *(item.get("keywords") or [])))


def read_ratings(name: str, part: str) -> list[Rating]:
    with (DATA / name / f"ratings_{part}.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(int(user), int(item), float(rating), int(at)) for user, item, rating, at in rows]


def splits(name: str) -> tuple[Split, Split]:
    """The inner split (of the training part, to choose on) and the outer one (training part against dev)."""
    train, dev = read_ratings(name, "train"), read_ratings(name, "dev")
    rated: dict[int, set[int]] = defaultdict(set)
    by_user: dict[int, list[Rating]] = defaultdict(list)
    for rating in train + dev:
        rated[rating[0]].add(rating[1])
    for rating in train:
        by_user[rating[0]].append(rating)
    early: list[Rating] = []
    late: list[Rating] = []
    for ratings in by_user.values():
        ratings.sort(key=lambda one: one[3])
        cut = len(ratings) - max(1, round(0.12 * len(ratings)))
        early += ratings[:cut]
        late += ratings[cut:]
    return Split(early, late, rated), Split(train, dev, rated)


def cases(split: Split, ids: list[int], raw: NDArray[np.float32], settings: RecommendSettings) -> list[UserCase]:
    """Score every user's candidates once; a blend is then only a product with its weights."""
    rules = SignalRules(weights=settings.event_weights, other=1.0, lowest=0.5 if min(
        r for _, _, r, _ in split.train) < 1 else 1.0, highest=5.0)  # fmt: skip
    popularity = Popularity(half_life_days=settings.popularity_half_life_days, prior=settings.quality_prior)
    history: dict[int, list[Interaction]] = defaultdict(list)
    for user, item, rating, at in sorted(split.train, key=lambda one: -one[3]):
        history[user].append(Interaction(str(item), "rating", at * 1000, rating))
        weight = rules.popular("rating", rating)
        popularity.add(str(item), weight=weight, at_ms=at * 1000, rating=rules.rating(rating))
    vectors = fit_space(raw, strength=settings.whitening).project(raw)
    row = {identity: place for place, identity in enumerate(ids)}
    names = [str(identity) for identity in ids]
    popular, good = popularity.popularity(names), popularity.quality(names)
    generator = np.random.default_rng(0)
    later: dict[int, list[Rating]] = defaultdict(list)
    for rating in split.later:
        later[rating[0]].append(rating)
    found = []
    for user, ratings in later.items():
        if user not in history:
            continue
        past = history[user][: settings.history_limit]
        profile = build_profile(
            signals_of(past, rules),
            {one.item: vectors[row[int(one.item)]] for one in past},
            now_ms=past[0].at_ms,
            half_life_days=settings.interest_half_life_days,
            width=vectors.shape[1],
        )
        candidates: list[int] = []
        seen = {row[item] for item in split.rated[user]}
        for _, item, rating, _ in ratings:
            if rating >= 4:
                drawn = generator.permutation(len(ids))[: 99 + len(seen)]
                candidates += [row[item], *[int(one) for one in drawn if int(one) not in seen][:99]]
        queries = len(candidates) // 100
        candidates += [row[item] for _, item, _, _ in ratings]
        scored = score(
            profile,
            vectors[candidates],
            popularity=popular[candidates],
            quality=good[candidates],
            weights=settings.weights(),
        )
        trust = profile.mass / (profile.mass + settings.trust_events)
        found.append(UserCase(scored.values, trust, queries, np.asarray([one[2] >= 4 for one in ratings])))
    return found


def measure(found: list[UserCase], weights: Weights) -> tuple[float, float, float]:
    """HR@10, NDCG@10 (a tie counts half) and mean per-user AUC."""
    ranks: list[NDArray[np.float64]] = []
    areas = []
    for case in found:
        interest = weights.interest * case.trust
        factors = [interest * weights.breadth, interest * (1 - weights.breadth), weights.popularity, weights.quality]
        scores = case.values @ np.asarray(factors)
        asked = scores[: 100 * case.queries].reshape(-1, 100)
        ties = (asked[:, 1:] == asked[:, :1]).sum(axis=1)
        ranks.append((asked[:, 1:] > asked[:, :1]).sum(axis=1) + ties / 2)
        rest = scores[100 * case.queries :]
        good, bad = rest[case.liked], rest[~case.liked]
        if len(good) and len(bad):
            areas.append(float((good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2))
    rank = np.concatenate(ranks)
    hit = rank < 10
    return float(hit.mean()), float((hit / np.log2(rank + 2)).mean()), float(np.mean(areas))


def choose(inner: dict[str, Any], base: RecommendSettings) -> tuple[RecommendSettings, Weights]:
    """The blend with the best mean NDCG@10 over both sets' inner splits; one blend for both."""
    best: tuple[float, RecommendSettings, Weights] | None = None
    for whitening in (0.25, 0.5, 0.75):
        tried = _with(base, whitening=whitening)
        prepared = [cases(split, ids, raw, tried) for split, ids, raw in inner.values()]
        for breadth, popular, quality in itertools.product(
            (0.3, 0.5, 0.7, 1.0), (0.1, 0.15, 0.2, 0.3, 0.4, 0.6), (0.0, 0.1, 0.2, 0.4)
        ):
            weights = replace(base.weights(), breadth=breadth, popularity=popular, quality=quality)
            value = float(np.mean([measure(one, weights)[1] for one in prepared]))
            if best is None or value > best[0]:
                best = (value, tried, weights)
    if best is None:
        raise SystemExit("nothing to choose from")
    return best[1], best[2]


def _with(settings: RecommendSettings, **changes: Any) -> RecommendSettings:
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return RecommendSettings(**{**values, **changes})


async def encode(texts: list[str], model: str) -> NDArray[np.float32]:
    """Vectors from the engine, as the server would compute them."""
    from parlance.app import build
    from parlance.engine.interface import CallOptions, Priority
    from parlance.settings import load_settings

    app = build(load_settings())
    await app.engine.start()
    try:
        found = []
        for start in range(0, len(texts), 256):
            options = CallOptions(priority=Priority.BACKGROUND)
            found.append((await app.engine.embed(texts[start : start + 256], model=model, options=options)).vectors)
            print(f"\rencoded {min(start + 256, len(texts))} of {len(texts)}", end="", file=sys.stderr)
        return np.concatenate(found)
    finally:
        await app.engine.close()
        await app.close()


def vectors_of(name: str, items: list[dict[str, Any]], model: str, cache: Path) -> NDArray[np.float32]:
    kept = cache / f"{name}.{model}.npy"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, asyncio.run(encode([item_text(item) for item in items], model)))
    return np.asarray(np.load(kept), np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=RecommendSettings().model)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "parlance-bench-vectors")
    parser.add_argument("--choose", action="store_true", help="choose the blend on the training part first")
    arguments = parser.parse_args()
    present = [name for name in NAMES if (DATA / name / "ratings_dev.csv").exists()]
    if not present:
        print(f"{DATA} holds none of {', '.join(NAMES)}: nothing measured.")
        return 0
    # Histories of MovieLens span decades with one visit each, so nothing is forgotten here; history is read whole.
    settings = RecommendSettings(interest_half_life_days=0, popularity_half_life_days=0)
    inner: dict[str, Any] = {}
    outer: dict[str, Any] = {}
    for name in present:
        items = read_items(name)
        ids, raw = [item["item_id"] for item in items], vectors_of(name, items, arguments.model, arguments.cache)
        early, whole = splits(name)
        inner[name], outer[name] = (early, ids, raw), (whole, ids, raw)
    weights = settings.weights()
    if arguments.choose:
        settings, weights = choose(inner, settings)
        print(f"chosen on the training part: whitening {settings.whitening}, {weights}")
    print(f"{'dev':<18}{'ranker':<14}{'HR@10':>8}{'NDCG@10':>9}{'AUC':>8}   ({arguments.model})")
    for name, (split, ids, raw) in outer.items():
        found = cases(split, ids, raw, settings)
        rows = {
            "popularity": Weights(interest=0, popularity=1, quality=0),
            "item mean": Weights(interest=0, popularity=0, quality=1),
            "interest only": replace(weights, popularity=0, quality=0),
            "blend": weights,
        }
        for label, blend in rows.items():
            hits, gain, area = measure(found, blend)
            print(f"{name:<18}{label:<14}{hits:>8.3f}{gain:>9.3f}{area:>8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
