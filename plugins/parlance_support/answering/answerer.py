"""A message → the best entry's answer with its citation, or an honest fallback in the customer's language."""

from __future__ import annotations

from dataclasses import dataclass

from parlance.search.analysis import detect_language
from parlance.search.hybrid import Collection, Hit
from parlance_support.answering.calibration import Calibration
from parlance_support.answering.decision import Verdict, decide
from parlance_support.answering.features import candidates
from parlance_support.conversations.message import Alternative, Citation, Decision
from parlance_support.knowledge.base import KnowledgeBase
from parlance_support.knowledge.entry import Entry
from parlance_support.settings import SupportSettings

__all__ = ["Answer", "Answerer"]

_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """The text to send, and how it came about."""

    text: str
    decision: Decision


class Answerer:
    """Finds, judges, and says so when nothing fits."""

    def __init__(
        self, base: KnowledgeBase, collection: Collection, calibration: Calibration, settings: SupportSettings
    ) -> None:
        self._base = base
        self._collection = collection
        self._calibration = calibration
        self._settings = settings

    async def answer(self, text: str, *, earlier_language: str | None = None) -> Answer:
        """Answer a message.

        Entries in the message's language are preferred; those of other languages are looked at only where the
        knowledge base has none in it.

        Raises:
            ParlanceError: whatever the engine or the database raises.
        """
        language = detect_language(text) or earlier_language or self._settings.default_language
        background = self._calibration.weights(language).background
        verdict = decide(
            candidates(text, await self._hits(text, language), background=background),
            calibration=self._calibration,
            language=language,
            threshold=self._settings.answer_threshold,
        )
        ranked = verdict.ranked[: self._settings.alternatives + 1]
        known = await self._base.get([item.candidate.entry_id for item in ranked])
        return self._composed(verdict, known, language)

    async def _hits(self, text: str, language: str) -> list[Hit]:
        filters = {"kind": "question", "language": language}
        deadline_s = self._settings.deadline_s
        hits = await self._collection.search(text, limit=_DEPTH, filters=filters, deadline_s=deadline_s)
        if hits:
            return hits
        return await self._collection.search(text, limit=_DEPTH, filters={"kind": "question"}, deadline_s=deadline_s)

    def _composed(self, verdict: Verdict, known: dict[str, Entry], language: str) -> Answer:
        ranked = [item for item in verdict.ranked if item.candidate.entry_id in known]
        answerable = verdict.answerable and bool(ranked) and ranked[0] == verdict.ranked[0]
        others = ranked[1 if answerable else 0 :][: self._settings.alternatives]
        best = known[ranked[0].candidate.entry_id] if answerable else None
        decision = Decision(
            answerable=answerable,
            confidence=round(verdict.confidence, 4),
            language=language,
            citations=(_citation(best),) if best is not None else (),
            alternatives=tuple(
                Alternative(
                    entry_id=item.candidate.entry_id,
                    question=known[item.candidate.entry_id].question,
                    confidence=round(item.confidence, 4),
                )
                for item in others
            ),
        )
        return Answer(best.answer if best is not None else self._fallback(language), decision)

    def _fallback(self, language: str) -> str:
        return self._settings.fallback_zh if language == "zh" else self._settings.fallback_en


def _citation(entry: Entry) -> Citation:
    return Citation(entry_id=entry.id, question=entry.question, source=entry.source, language=entry.language)
