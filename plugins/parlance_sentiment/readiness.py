"""The readiness check: the model answers with the labels that the plugin needs."""

from __future__ import annotations

from parlance.errors import ParlanceError
from parlance.plugins.context import PluginContext
from parlance.plugins.items import Check, CheckResult
from parlance_sentiment.service import SentimentService
from parlance_sentiment.settings import SentimentSettings

__all__ = ["model_check"]

_SENTENCE = "The company's quarterly profit was unchanged."


def model_check(context: PluginContext[SentimentSettings]) -> Check:
    """A check that labels one sentence until that has worked once; it also loads the model at the first time."""
    service = SentimentService(context)
    answered: list[str] = []

    async def run() -> CheckResult:
        if not answered:
            try:
                answered.append((await service.label([_SENTENCE]))[0].model)
            except ParlanceError as error:
                return CheckResult(ok=False, detail=f"{error.code}: {error.detail}")
        return CheckResult(ok=True, detail=answered[0])

    return Check(name="model", run=run)
