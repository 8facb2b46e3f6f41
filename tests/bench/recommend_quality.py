"""Ranking quality on MovieLens beside popularity: HR@10, NDCG@10 and per-user AUC.

Protocol of ``../shared/data/README.md``: every dev event with rating >= 4 against 99 items that the user never rated
(seed 0), and inside the dev slice the per-user AUC of rating >= 4 against < 4. With ``--choose`` the blend is chosen on
the training part alone (the last 12 % of each user's training events by time); without it, the settings' defaults are
measured on the dev part.

    python tests/bench/recommend_quality.py --model embed-multi

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

import msgspec
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
LIKED = 4
USERS_TO_CHOOSE_ON = 200
Rating = tuple[int, int, float, int]


@dataclass
class Split:
    """Training events, later ones to predict, and everything that a user rated in either (to draw negatives)."""

    train: list[Rating]
    later: list[Rating]


@dataclass
class UserPlan:
    """What does not depend on any setting that is chosen: the history and the candidates, as rows of the catalogue.

    The first ``100 * queries`` candidates are queries of one liked item and 99 that the user never rated; the rest are
    the later ratings themselves.
    """

    past: list[Interaction]
    history: dict[str, int]
    candidates: NDArray[np.int64]
    queries: int
    liked: NDArray[np.bool_]


@dataclass
class Plan:
    """Plans of all users, and popularity and quality of all items."""

    users: list[UserPlan]
    popular: NDArray[np.float64]
    good: NDArray[np.float64]
    rules: SignalRules


@dataclass
class UserCase:
    """Feature values of one user's candidates; a blend is a product with its weights."""

    values: NDArray[np.float64]
    mass: float
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


def carve(name: str) -> Split:
    """The training part alone, each user's latest 12 % to be predicted from the rest: to choose on."""
    by_user: dict[int, list[Rating]] = defaultdict(list)
    for rating in read_ratings(name, "train"):
        by_user[rating[0]].append(rating)
    early: list[Rating] = []
    late: list[Rating] = []
    for ratings in by_user.values():
        ratings.sort(key=lambda one: one[3])
        cut = len(ratings) - max(1, round(0.12 * len(ratings)))
        early += ratings[:cut]
        late += ratings[cut:]
    return Split(early, late)


def plan(split: Split, ids: list[int], settings: RecommendSettings, *, most_users: int | None = None) -> Plan:
    """Count popularity, order histories and draw negatives, once (seed 0; users in a drawn order)."""
    lowest = 0.5 if min(rating for _, _, rating, _ in split.train) < 1 else 1.0
    rules = SignalRules(weights=settings.event_weights, other=1.0, lowest=lowest, highest=5.0)
    popularity = Popularity(half_life_days=settings.popularity_half_life_days, prior=settings.quality_prior)
    row = {identity: place for place, identity in enumerate(ids)}
    history: dict[int, list[Interaction]] = defaultdict(list)
    rated: dict[int, set[int]] = defaultdict(set)
    for user, item, rating, at in sorted(split.train, key=lambda one: -one[3]):
        history[user].append(Interaction(str(item), "rating", at * 1000, rating))
        rated[user].add(row[item])
        weight = rules.popular("rating", rating)
        popularity.add(str(item), weight=weight, at_ms=at * 1000, rating=rules.rating(rating))
    later: dict[int, list[Rating]] = defaultdict(list)
    for one in split.later:
        later[one[0]].append(one)
        rated[one[0]].add(row[one[1]])
    generator = np.random.default_rng(0)
    known = sorted(user for user in later if user in history)
    users = []
    for user in generator.permutation(known)[:most_users].tolist():
        past = history[user][: settings.history_limit]
        unseen = np.setdiff1d(np.arange(len(ids)), np.fromiter(rated[user], np.int64))
        candidates: list[int] = []
        for _, item, rating, _ in later[user]:
            if rating >= LIKED:
                candidates += [row[item], *generator.choice(unseen, 99, replace=False).tolist()]
        queries = len(candidates) // 100
        candidates += [row[item] for _, item, _, _ in later[user]]
        liked = np.asarray([rating >= LIKED for _, _, rating, _ in later[user]])
        places = {one.item: row[int(one.item)] for one in past}
        users.append(UserPlan(past, places, np.asarray(candidates), queries, liked))
    names = [str(identity) for identity in ids]
    return Plan(users, popularity.popularity(names), popularity.quality(names), rules)


def cases(planned: Plan, raw: NDArray[np.float32], settings: RecommendSettings) -> list[UserCase]:
    """Score every user's candidates with the plugin's own arithmetic."""
    writings = np.zeros(len(raw), np.int64)  # all titles are English
    vectors = fit_space(raw, writings, strength=settings.whitening).project(raw, writings)
    found = []
    for user in planned.users:
        profile = build_profile(
            signals_of(user.past, planned.rules),
            {item: vectors[place] for item, place in user.history.items()},
            now_ms=user.past[0].at_ms,
            half_life_days=settings.interest_half_life_days,
            width=vectors.shape[1],
        )
        scored = score(
            profile,
            vectors[user.candidates],
            popularity=planned.popular[user.candidates],
            quality=planned.good[user.candidates],
            weights=settings.weights(),
        )
        found.append(UserCase(scored.values, profile.mass, user.queries, user.liked))
    return found


def measure(found: list[UserCase], weights: Weights) -> tuple[float, float, float]:
    """HR@10, NDCG@10 (a tie counts half) and mean per-user AUC."""
    ranks: list[NDArray[np.float64]] = []
    areas = []
    for case in found:
        interest = weights.interest * case.mass / (case.mass + weights.trust_events)
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


def choose(sets: dict[str, tuple[list[int], NDArray[np.float32]]], base: RecommendSettings) -> RecommendSettings:
    """The blend with the highest mean of NDCG@10 and AUC over the carved training parts; one blend for all sets."""
    planned = {name: plan(carve(name), ids, base, most_users=USERS_TO_CHOOSE_ON) for name, (ids, _) in sets.items()}
    tried: list[tuple[float, float, float, RecommendSettings]] = []
    for whitening in (0.0, 0.25, 0.5):
        spaced = _with(base, whitening=whitening)
        prepared = [cases(planned[name], raw, spaced) for name, (_, raw) in sets.items()]
        for breadth, popular, quality in itertools.product(
            (0.5, 0.7, 0.85, 1.0), (0.05, 0.1, 0.15, 0.2, 0.3, 0.4), (0.0, 0.1, 0.2, 0.4, 0.7)
        ):
            changed = _with(spaced, breadth=breadth, weight_popularity=popular, weight_quality=quality)
            results = [measure(one, changed.weights()) for one in prepared]
            gain, area = (float(np.mean([one[index] for one in results])) for index in (1, 2))
            tried.append(((gain + area) / 2, gain, area, changed))
    tried.sort(key=lambda one: -one[0])
    print("chosen on the training part alone; the five best blends:")
    for _, gain, area, one in tried[:5]:
        print(
            f"  NDCG@10 {gain:.3f}  AUC {area:.3f}  whitening {one.whitening}  breadth {one.breadth}  "
            f"popularity {one.weight_popularity}  quality {one.weight_quality}"
        )
    return tried[0][3]


def _with(settings: RecommendSettings, **changes: Any) -> RecommendSettings:
    return msgspec.structs.replace(settings, **changes)


async def encode(texts: list[str], model: str) -> NDArray[np.float32]:
    """Vectors from the engine, as the server would compute them."""
    from parlance.app import build
    from parlance.engine.interface import CallOptions, Priority
    from parlance.settings import load_settings

    app = build(load_settings())
    await app.engine.start(eager=False)
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
    parser.add_argument("--choose", action="store_true", help="choose a blend on the training part; dev stays unread")
    parser.add_argument("--dev", action="store_true", help="with --choose: measure the chosen blend on dev")
    arguments = parser.parse_args()
    present = [name for name in NAMES if (DATA / name / "ratings_dev.csv").exists()]
    if not present:
        print(f"{DATA} holds none of {', '.join(NAMES)}: nothing measured.")
        return 0
    # Histories of MovieLens span decades with one visit each, so nothing is forgotten here; history is read whole.
    settings = RecommendSettings(interest_half_life_days=0, popularity_half_life_days=0)
    sets: dict[str, tuple[list[int], NDArray[np.float32]]] = {}
    for name in present:
        items = read_items(name)
        sets[name] = [item["item_id"] for item in items], vectors_of(name, items, arguments.model, arguments.cache)
    if arguments.choose:
        settings = choose(sets, settings)
        if not arguments.dev:
            return 0
    weights = settings.weights()
    print(f"{'dev':<18}{'ranker':<14}{'HR@10':>8}{'NDCG@10':>9}{'AUC':>8}   ({arguments.model})")
    for name, (ids, raw) in sets.items():
        whole = Split(read_ratings(name, "train"), read_ratings(name, "dev"))
        found = cases(plan(whole, ids, settings), raw, settings)
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
