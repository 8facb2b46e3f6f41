"""Idempotency keys: one effect, one answer."""

from __future__ import annotations

import pytest

from parlance.clock import ManualClock
from parlance.errors import Conflict, ValidationFailed
from parlance.storage.database import Database
from parlance.storage.idempotency import Idempotency, StoredAnswer


async def test_the_same_request_gets_the_same_answer_and_another_a_conflict(database: Database) -> None:
    clock = ManualClock()
    store = Idempotency(database, clock=clock, keep_s=1000, claim_s=60)
    assert await store.begin(scope="s", key="k", request=b"one") is None
    with pytest.raises(Conflict) as running:
        await store.begin(scope="s", key="k", request=b"one")
    assert running.value.code == "idempotency_running"
    async with database.transaction() as connection:
        await store.finish(connection, scope="s", key="k", status=201, body=b"{}", media_type="application/json")
    assert await store.begin(scope="s", key="k", request=b"one") == StoredAnswer(201, "application/json", b"{}")
    with pytest.raises(Conflict) as other:
        await store.begin(scope="s", key="k", request=b"two")
    assert other.value.code == "idempotency_mismatch"
    assert await store.begin(scope="other", key="k", request=b"two") is None
    clock.advance(1001)
    assert await store.begin(scope="s", key="k", request=b"two") is None
    assert await store.prune() == 1


async def test_a_key_is_free_again_after_a_failure_or_a_crash(database: Database) -> None:
    clock = ManualClock()
    store = Idempotency(database, clock=clock, claim_s=60)
    await store.begin(scope="s", key="k", request=b"one")
    await store.abandon(scope="s", key="k")
    assert await store.begin(scope="s", key="k", request=b"two") is None
    clock.advance(61)
    assert await store.begin(scope="s", key="k", request=b"two") is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_an_impossible_key_is_refused(database: Database, key: str) -> None:
    with pytest.raises(ValidationFailed):
        await Idempotency(database).begin(scope="s", key=key, request=b"")
