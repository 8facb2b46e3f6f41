"""The readiness check: the catalogue is in memory, and how much of it is encoded."""

from __future__ import annotations

from parlance.errors import ParlanceError
from parlance.plugins.items import CheckResult
from parlance_recommend.service import Recommender

__all__ = ["check_items"]


async def check_items(service: Recommender) -> CheckResult:
    """Ready also while items wait for their vectors: they are ranked by popularity until then."""
    try:
        waiting = await service.waiting()
    except ParlanceError as error:
        return CheckResult(ok=False, detail=f"{error.code}: {error.detail}")
    items, encoded = service.counts()
    return CheckResult(ok=True, detail=f"{items} items, {encoded} with a vector, {waiting} waiting")
