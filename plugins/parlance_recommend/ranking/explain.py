"""Reasons for a place in the ranking, in words: English and Chinese."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from parlance_recommend.ranking.profile import Profile
from parlance_recommend.ranking.score import FEATURES, Scored

__all__ = ["Evidence", "Language", "Reason", "reasons"]

Language = Literal["en", "zh"]
_MOST_EVIDENCE = 3


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A history item that speaks for, or against, the candidate."""

    item: str
    title: str
    similarity: float
    contribution: float


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the score. The contributions of a candidate's reasons sum to its score."""

    feature: str
    value: float
    contribution: float
    message: str
    evidence: list[Evidence] = []


def reasons(
    scored: Scored,
    row: int,
    *,
    profile: Profile,
    titles: dict[str, str],
    events: int,
    has_text: bool,
    language: Language,
) -> list[Reason]:
    """Explain one candidate.

    Args:
        scored: the scores.
        row: of the candidate.
        profile: that it was scored for.
        titles: of history items, by id.
        events: how many events the candidate has.
        has_text: whether a vector of its text was there.
        language: of the messages.
    """
    evidence = _evidence(scored, row, profile, titles)
    found = []
    for column, feature in enumerate(FEATURES):
        value, contribution = float(scored.values[row, column]), float(scored.contributions[row, column])
        message = _message(feature, value, evidence, profile, events=events, has_text=has_text, language=language)
        shown = evidence if feature == "interest_nearest" else []
        found.append(Reason(feature=feature, value=value, contribution=contribution, message=message, evidence=shown))
    return found


def _evidence(scored: Scored, row: int, profile: Profile, titles: dict[str, str]) -> list[Evidence]:
    shares = scored.shares[row]
    strongest = np.argsort(-np.abs(shares), kind="stable")[:_MOST_EVIDENCE]
    return [
        Evidence(
            item=profile.items[index],
            title=titles.get(profile.items[index], ""),
            similarity=float(scored.similarities[row, index]),
            contribution=float(shares[index]),
        )
        for index in strongest
    ]


def _message(
    feature: str,
    value: float,
    evidence: list[Evidence],
    profile: Profile,
    *,
    events: int,
    has_text: bool,
    language: Language,
) -> str:
    chinese = language == "zh"
    if feature.startswith("interest"):
        if profile.empty:
            return "还没有可用的浏览历史。" if chinese else "There is no history to compare with yet."
        if not has_text:
            return "这个条目没有可比较的文本。" if chinese else "The item has no text to compare."
        if feature == "interest_overall":
            if chinese:
                return f"与全部历史的平均相似度为 {value:+.2f}。"
            return f"Average similarity to everything in the history: {value:+.2f}."
        liked = [one.title or one.item for one in evidence if one.contribution > 0]
        if not liked:
            return "与最近的兴趣不相似。" if chinese else "It resembles none of the interests."
        if chinese:
            return "与你看过的" + "、".join(f"《{title}》" for title in liked) + "相似。"
        return "Similar to " + ", ".join(f"“{title}”" for title in liked) + "."
    if feature == "popularity":
        if chinese:
            return f"共有 {events} 次互动；热度 {value:.2f}（0 到 1）。"
        return f"{events} events so far; popularity {value:.2f} on a scale from 0 to 1."
    if chinese:
        return f"平滑后的评分与平均分相差 {value:+.2f}。"
    return f"Smoothed rating against the average: {value:+.2f}."
