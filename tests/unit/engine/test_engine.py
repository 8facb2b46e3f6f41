"""The engine on fakes: order, batching, deadlines, priorities, sharing, crashes, swaps."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlance.errors import DeadlineExceeded, ModelError, NotFound, Overloaded, Unavailable, ValidationFailed
from parlance.tasks import Role
from parlance.tasks.options import CallOptions, Priority

BACKGROUND = CallOptions(priority=Priority.BACKGROUND)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_batch_gives_the_same_answers_as_one_by_one_in_order(bench: Any) -> None:
    async with bench(threads=2, cache_mb=0) as b:
        texts = ["a", "refund please", "今天天气很好", "profit fell " * 4, "b"]
        together = await b.engine.embed(texts, model="embed")
        single = [(await b.engine.embed([text], model="embed")).vectors[0] for text in texts]
        np.testing.assert_allclose(together.vectors, np.stack(single), atol=1e-6)
        assert together.vectors.dtype == np.float32
        assert together.origin.model == "tiny-embed"
        assert together.origin.truncated == (3,) * (len("profitfell" * 4) + 2 > 64)


async def test_overlong_texts_are_cut_and_told_or_refused_by_index(bench: Any) -> None:
    async with bench() as b:
        result = await b.engine.embed(["ok", "x" * 100], model="embed")
        assert result.origin.truncated == (1,)
        assert result.origin.tokens == 4 + 64
        for _ in range(2):  # also when the cut one is in the cache
            with pytest.raises(ValidationFailed) as caught:
                await b.engine.embed(["ok", "x" * 100], model="embed", options=CallOptions(overlong="refuse"))
            assert caught.value.code == "text_too_long"
            assert caught.value.facts == {"index": 1, "tokens": 102, "limit": 64}


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["a", ""], "empty_text"),
        (["a", " \n\t　"], "empty_text"),
        (["a", "half \ud83d"], "invalid_unicode"),
        (["a", 7], "not_a_text"),
        (["a", b"bytes"], "not_a_text"),
    ],
)
async def test_texts_without_meaning_are_refused_by_index(bench: Any, texts: list[Any], code: str) -> None:
    async with bench() as b:
        for method in (b.engine.embed, b.engine.classify, b.engine.tag):
            with pytest.raises(ValidationFailed) as caught:
                await method(texts, model="embed")
            assert caught.value.code == code
            assert caught.value.facts["index"] == 1


async def test_binary_and_huge_texts_are_answered(bench: Any) -> None:
    async with bench() as b:
        result = await b.engine.embed(
            ["\x00\x01\x02 \x7f", "字" * 100_000, " " * 5000 + "word " * 5_000], model="embed"
        )
        assert result.vectors.shape == (3, 8)
        assert result.origin.truncated == (1, 2)


async def test_no_texts_give_no_vectors(bench: Any) -> None:
    async with bench() as b:
        assert (await b.engine.embed([], model="embed")).vectors.shape == (0, 8)
        assert await b.engine.classify([], model="classify") == []
        with pytest.raises(ValidationFailed):
            await b.engine.embed("one string", model="embed")


async def test_an_unknown_model_and_a_wrong_task_have_their_codes(bench: Any) -> None:
    async with bench() as b:
        with pytest.raises(NotFound) as unknown:
            await b.engine.embed(["a"], model="nobody")
        assert unknown.value.code == "unknown_model"
        with pytest.raises(ValidationFailed) as wrong:
            await b.engine.classify(["a"], model="embed")
        assert wrong.value.code == "wrong_task"
        assert not b.factory.made  # nothing was loaded for it


async def test_classification_is_calibrated_and_abstains_below_the_threshold(bench: Any, artefact: Any) -> None:
    async with bench() as b:
        (sure,) = await b.engine.classify(["profit rose"], model="classify")
        assert sum(sure.probabilities.values()) == pytest.approx(1)
        assert list(sure.probabilities.values()) == sorted(sure.probabilities.values(), reverse=True)
        assert sure.label == next(iter(sure.probabilities))
        b.registry.artefacts["strict"] = artefact("classify", name="strict", temperature=100.0, threshold=0.9)
        (unsure,) = await b.engine.classify(["profit rose"], model="strict")
        assert unsure.abstained
        assert unsure.label is None
        assert unsure.confidence < sure.confidence
        b.registry.artefacts["multi"] = artefact("classify", name="multi", multi_label=True, threshold=0.0)
        (many,) = await b.engine.classify(["profit rose"], model="multi")
        assert len(many.labels) == 3


async def test_tags_are_character_spans_of_the_callers_own_string(bench: Any, artefact: Any) -> None:
    async with bench() as b:
        b.registry.artefacts["tagger"] = artefact("tag", name="tagger", prefixes={"*": "tag: "})
        text = "  abc 张伟 !"
        (spans,) = await b.engine.tag([text], model="tagger")
        assert spans
        for span in spans:
            assert text[span.start : span.end] == span.text
            assert span.text.strip()
            assert span.label == "PER"
            assert 0 < span.probability <= 1


async def test_pairs_are_scored_in_order_and_bad_pairs_named(bench: Any) -> None:
    async with bench() as b:
        scores = await b.engine.score([("a", "b"), ("退款", "申请退款")], model="score")
        again = await b.engine.score([("退款", "申请退款"), ("a", "b")], model="score")
        np.testing.assert_allclose(scores.values, again.values[::-1])
        with pytest.raises(ValidationFailed, match="second text of pair 1"):
            await b.engine.score([("a", "b"), ("a", " ")], model="score")
        with pytest.raises(ValidationFailed):
            await b.engine.score(["ab"], model="score")


async def test_the_role_chooses_the_prefix(bench: Any, artefact: Any) -> None:
    async with bench() as b:
        b.registry.artefacts["e5"] = artefact("embed", name="e5", prefixes={"query": "q: ", "passage": "p: "})
        query = await b.engine.embed(["a"], model="e5", role=Role.QUERY)
        passage = await b.engine.embed(["a"], model="e5")
        assert query.origin.tokens == passage.origin.tokens == 5
        assert not np.allclose(query.vectors, passage.vectors)


async def test_texts_seen_before_come_from_the_cache_with_their_tokens(bench: Any) -> None:
    async with bench() as b:
        first = await b.engine.embed(["a", "b"], model="embed")
        ran = len(b.runner.batches)
        again = await b.engine.embed(["b", "a"], model="embed")
        assert len(b.runner.batches) == ran
        np.testing.assert_array_equal(first.vectors[::-1], again.vectors)
        assert again.origin.tokens == first.origin.tokens
        assert b.value("cache_lookups_total", result="hit") == 2


async def test_identical_texts_in_flight_are_computed_once(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        async with held(b.runner, b.engine):
            calls = [asyncio.create_task(b.engine.embed(["same", "same"], model="embed")) for _ in range(3)]
            await until(lambda: b.engine.status().queued_texts == 1 and b.value("shared_texts_total") == 5)
            calls[0].cancel()  # the first caller leaves, the others still get it
            await asyncio.gather(calls[0], return_exceptions=True)
        results = await asyncio.gather(*calls[1:])
        assert sum(len(batch) for batch in b.runner.batches) == 1
        assert all(np.array_equal(one.vectors[0], one.vectors[1]) for one in results)


async def test_a_cancelled_caller_leaves_nothing_in_the_queue(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        async with held(b.runner, b.engine):
            call = asyncio.create_task(b.engine.embed(["gone", "gone too"], model="embed"))
            await until(lambda: b.engine.status().queued_texts == 2)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert b.engine.status().queued_texts == 0
        assert b.runner.batches == []
        assert b.value("dropped_total", reason="cancelled") == 2


async def test_a_deadline_that_passes_in_the_queue_is_answered_on_time_and_the_text_never_run(
    bench: Any, held: Any
) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        async with held(b.runner, b.engine):
            with pytest.raises(DeadlineExceeded):
                await b.engine.embed(["late"], model="embed", options=CallOptions(deadline_s=0.05))
            assert b.engine.status().queued_texts == 0
        assert b.runner.batches == []


async def test_overload_is_refused_at_once_with_limit_estimate_and_retry(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0, background_queue_s=1000.0) as b:
        await b.engine.load("embed")
        served = b.engine._pool.ready("embed")
        served.tokens_per_s = 100.0
        async with held(b.runner, b.engine):
            filler = [f"{number:02d}" + "x" * 60 for number in range(20)]
            waiting = asyncio.create_task(b.engine.embed(filler, model="embed", options=CallOptions(deadline_s=100.0)))
            await until(lambda: b.engine.status().queued_texts == 20)
            started = time.monotonic()
            with pytest.raises(Overloaded) as caught:
                await b.engine.embed(["one more"], model="embed")
            assert time.monotonic() - started < 0.5
            assert caught.value.retry_after_s > 1
            assert caught.value.facts["limit_s"] == 5.0
            assert caught.value.facts["estimated_wait_s"] > 5
            assert b.engine.status().queued_texts == 20
            # another payer does not wait for the first one's queue
            other = asyncio.create_task(b.engine.embed(["fair"], model="embed", options=CallOptions(charge_to="key")))
            await until(lambda: b.engine.status().queued_texts == 21)
        await waiting
        await other
        first = b.runner.batches[0] + b.runner.batches[1]
        assert 6 in first, "the newcomer is served among the first"
        assert b.value("rejected_total", reason="overloaded") == 1


async def test_interactive_goes_first_and_background_does_not_starve(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        async with held(b.runner, b.engine):
            slow = asyncio.create_task(b.engine.embed(["y" * 50], model="embed", options=BACKGROUND))
            await until(lambda: b.engine.status().queued_texts == 1)
            fast = [
                asyncio.create_task(b.engine.embed([f"{n:03d}"], model="embed", options=CallOptions(deadline_s=60)))
                for n in range(400)
            ]
            await until(lambda: b.engine.status().queued_texts == 401)
            b.engine._pool.ready("embed").budget_tokens = 10
        await asyncio.gather(slow, *fast)
        position = b.runner.batches.index([52])
        assert 0 < position < len(b.runner.batches) - 1


async def test_a_text_that_breaks_the_model_fails_only_its_own_callers(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        b.runner.poison = 4  # "!"
        async with held(b.runner, b.engine):
            calls = [asyncio.create_task(b.engine.embed([text], model="embed")) for text in ("ab", "c!", "de")]
            await until(lambda: b.engine.status().queued_texts == 3)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one).__name__ for one in results] == ["Embeddings", "ModelError", "Embeddings"]
        assert "tiny-embed@v1" in str(results[1])


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError(), GeneratorExit()])
async def test_workers_survive_whatever_a_runner_raises(bench: Any, error: BaseException) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        b.runner.poison, b.runner.error = 4, error
        with pytest.raises(ModelError):
            await b.engine.embed(["!"], model="embed")
        assert (await b.engine.embed(["fine"], model="embed")).vectors.shape == (1, 8)


async def test_wrong_rows_and_numbers_that_are_none_are_model_errors(bench: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        for output in (np.ones((3, 8), np.float32), np.full((1, 8), np.nan, np.float32), np.ones(8, np.float32)):
            b.runner.run = lambda inputs, output=output: output
            with pytest.raises(ModelError):
                await b.engine.embed(["a"], model="embed")


async def test_an_alias_moves_under_load_without_a_failed_call_and_the_old_model_closes(
    bench: Any, artefact: Any
) -> None:
    async with bench(threads=2, cache_mb=0) as b:
        await b.engine.load("m@live")
        old = b.runner
        b.registry.artefacts.pop("embed")
        versions: list[str] = []

        async def caller(number: int) -> None:
            while versions.count("v2") < 20:
                result = await b.engine.embed([f"text {number} {len(versions)}"], model="m@live")
                versions.append(result.origin.version)
                await asyncio.sleep(0)

        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        await until(lambda: len(versions) > 20)
        b.registry.move("m@live", artefact("embed", version="v2"))
        await asyncio.wait_for(asyncio.gather(*callers), 20)
        await until(lambda: old.closed)
        assert versions[0] == "v1"
        assert b.runner is not old
        await until(lambda: b.engine._pool.memory_bytes == b.engine._pool.ready("m@live").memory_bytes)
        assert b.engine._pool.memory_bytes > 0, "the new version's memory is counted, the old one's is not any more"


async def test_a_new_version_that_cannot_load_leaves_the_old_one_serving(bench: Any, artefact: Any) -> None:
    async with bench() as b:
        await b.engine.load("m@live")
        b.factory.failure = ModelError("broken file")
        b.registry.artefacts["m@live"] = artefact("embed", version="v2")
        problems = await b.engine.refresh()
        assert "stays at tiny-embed@v1" in problems[0]
        assert (await b.engine.embed(["a"], model="m@live")).origin.version == "v1"
        (status,) = b.engine.status().models
        assert "broken file" in status.detail


async def test_a_load_above_the_memory_budget_is_refused(bench: Any, artefact: Any) -> None:
    async with bench(memory_mb=1) as b:
        from parlance.models.artefact import FileRecord

        big = artefact("embed", name="big", files={"model.onnx": FileRecord(sha256="", size_bytes=5_000_000)})
        b.registry.artefacts["big"] = big
        with pytest.raises(Unavailable) as caught:
            await b.engine.embed(["a"], model="big")
        assert caught.value.code == "memory_budget"
        assert not b.factory.made


async def test_names_of_one_version_share_one_loaded_model(bench: Any) -> None:
    async with bench() as b:
        await asyncio.gather(*(b.engine.embed(["a"], model=name) for name in ("embed", "m@live", "embed")))
        assert len(b.factory.made) == 1
        assert await b.engine.unload("embed")
        assert not await b.engine.unload("embed")
        assert not b.runner.closed
        assert await b.engine.unload("m@live")
        await until(lambda: b.runner.closed)


async def test_closing_settles_every_caller(bench: Any, held: Any) -> None:
    async with bench(cache_mb=0) as b:
        await b.engine.load("embed")
        async with held(b.runner, b.engine) as blockers:
            call = asyncio.create_task(b.engine.embed(["waiting"], model="embed"))
            await until(lambda: b.engine.status().queued_texts == 1)
            closing = asyncio.create_task(b.engine.close())
            with pytest.raises(Unavailable):
                await call
            b.runner.gate.set()
            await closing
            await asyncio.gather(*blockers, return_exceptions=True)
        with pytest.raises(Unavailable):
            await b.engine.embed(["after"], model="embed")


async def test_eager_models_are_loaded_at_start_and_status_says_so(bench: Any) -> None:
    async with bench(eager=("embed", "classify")) as b:
        status = b.engine.status()
        assert status.ready
        assert {model.name for model in status.models} == {"embed", "classify"}
        assert {model.runner for model in status.models} == {"fake"}


async def test_only_eager_models_decide_on_readiness(bench: Any, artefact: Any) -> None:
    async with bench(eager=("embed",)) as b:
        b.factory.failure = ModelError("broken file")
        with pytest.raises(ModelError):
            await b.engine.classify(["a"], model="classify")
        states = {model.name: (model.state, model.eager) for model in b.engine.status().models}
        assert states == {"embed": ("ready", True), "classify": ("failed", False)}
        assert b.engine.status().ready
        b.registry.artefacts["lazy"] = artefact("embed", name="lazy", version="v9")
        loading = asyncio.create_task(b.engine.load("lazy"))
        await until(lambda: any(model.state == "loading" for model in b.engine.status().models))
        assert b.engine.status().ready
        await asyncio.gather(loading, return_exceptions=True)
        assert await b.engine.unload("embed")
        with pytest.raises(ModelError):
            await b.engine.load("embed")
        assert not b.engine.status().ready, "an eager model that failed"


async def test_a_bad_deadline_is_refused(bench: Any) -> None:
    async with bench() as b:
        for deadline in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(ValidationFailed):
                await b.engine.embed(["a"], model="embed", options=CallOptions(deadline_s=deadline))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(
            st.lists(st.text("abc退款", min_size=1, max_size=30), min_size=1, max_size=6),
            st.booleans(),
            st.integers(0, 5),
            st.sampled_from(Priority),
        ),
        min_size=1,
        max_size=12,
    )
)
async def test_n_in_n_out_in_order_whatever_is_cancelled(bench: Any, calls: list[Any]) -> None:
    async with bench(threads=2, cache_mb=0) as b:

        async def one(texts: list[str], priority: Priority) -> Any:
            options = CallOptions(priority=priority, charge_to=texts[0][:1])
            return await b.engine.embed(texts, model="embed", options=options)

        tasks = [asyncio.create_task(one(texts, priority)) for texts, _, _, priority in calls]
        for (_, cancelled, steps, _), task in zip(calls, tasks, strict=True):
            if cancelled:
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
        for (texts, cancelled, _, _), result in zip(calls, results, strict=True):
            if isinstance(result, BaseException):
                assert cancelled
                assert isinstance(result, asyncio.CancelledError)
                continue
            alone = [(await b.engine.embed([text], model="embed")).vectors[0] for text in texts]
            np.testing.assert_allclose(result.vectors, np.stack(alone), atol=1e-5)
        assert b.engine.status().queued_texts == 0
        if (served := b.engine._pool.ready("embed")) is not None:  # none when all left before it was loaded
            assert not served.in_flight
            assert served.calls == 0


async def test_the_loop_is_not_blocked_under_load(bench: Any) -> None:
    """Long texts, many calls: a probe that sleeps 1 ms at a time sees small lags only."""
    async with bench(threads=2, cache_mb=0, interactive_deadline_s=60.0) as b:
        await b.engine.load("embed")
        lags: list[float] = []
        done = asyncio.Event()

        async def probe() -> None:
            while not done.is_set():
                started = time.perf_counter()
                await asyncio.sleep(0.001)
                lags.append(time.perf_counter() - started - 0.001)

        probing = asyncio.create_task(probe())
        long = ["word " * 2_000 + str(number) for number in range(10)]
        short = [[f"{number} {index}" for index in range(8)] for number in range(100)]
        await asyncio.gather(
            *(b.engine.embed([text], model="embed") for text in long),
            *(b.engine.embed(texts, model="embed") for texts in short),
        )
        done.set()
        await probing
        assert lags
        assert sum(lag > 0.25 for lag in lags) <= max(1, len(lags) // 20)
