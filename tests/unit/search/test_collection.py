"""Collections: written with the caller's transaction, found after it, the same in every process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from parlance.errors import ConfigError, ModelError, Overloaded, ValidationFailed
from parlance.observe.metrics import Metrics
from parlance.search import tables
from parlance.search.hybrid import Document, Search

DOCUMENTS = [
    Document("refund", "How do I get a refund?", {"language": "en"}),
    Document("track", "Where is my parcel?", {"language": "en"}),
    Document("tuikuan", "如何申请退款？", {"language": "zh"}),
]


async def add(database, collection, documents=DOCUMENTS):
    prepared = await collection.prepare(documents)
    async with database.transaction() as connection:
        await collection.upsert(connection, prepared)


def ids(hits):
    return [hit.id for hit in hits]


async def test_documents_are_found_by_words_and_meaning_with_both_scores(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    hit = (await collection.search("refund please", limit=1))[0]
    assert (hit.id, hit.text, hit.filters) == ("refund", "How do I get a refund?", {"language": "en"})
    assert 0 < hit.dense <= 1
    assert hit.lexical > 0
    assert ids(await collection.search("退款怎么申请", limit=1)) == ["tuikuan"]


async def test_without_a_model_the_search_goes_by_words_and_the_engine_is_not_asked(database, search, engine):
    collection = search.collection("words", model=None)
    await add(database, collection)
    hits = await collection.search("parcel")
    assert ids(hits) == ["track"]
    assert hits[0].dense is None
    assert engine.calls == []


async def test_filters_narrow_both_rankings(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    assert ids(await collection.search("refund 退款", filters={"language": "zh"})) == ["tuikuan"]


async def test_a_rolled_back_write_is_never_found(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection, DOCUMENTS[:1])
    prepared = await collection.prepare(DOCUMENTS[1:])

    async def change_mind() -> None:
        async with database.transaction() as connection:
            await collection.upsert(connection, prepared)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_mind()
    assert ids(await collection.search("parcel 退款")) == ["refund"]
    assert await collection.count() == 1


async def test_a_document_that_is_written_again_is_found_by_its_new_text_only(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    await add(database, collection, [Document("refund", "Opening hours on Sunday")])
    assert ids(await collection.search("opening hours", limit=1)) == ["refund"]
    assert all(hit.lexical is None for hit in await collection.search("a refund"))


async def test_deleted_documents_are_gone_at_once(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    async with database.transaction() as connection:
        assert await collection.delete(connection, ["refund", "unknown"]) == 1
    assert "refund" not in ids(await collection.search("refund"))
    assert await collection.count() == 2


async def test_a_new_process_finds_what_an_earlier_one_wrote_without_embedding_it_again(database, search, engine):
    await add(database, search.collection("faq", model="embed"))
    engine.calls.clear()
    later = Search(database, engine, refresh_s=0.0).collection("faq", model="embed")
    assert ids(await later.search("refund", limit=1)) == ["refund"]
    assert [call.texts for call in engine.calls] == [("refund",)]


async def test_writes_and_deletes_of_another_process_are_seen(database, search, engine):
    mine = search.collection("faq", model="embed")
    await add(database, mine)
    await mine.search("warm")
    theirs = Search(database, engine, refresh_s=0.0).collection("faq", model="embed")
    await add(database, theirs, [Document("hours", "Opening hours")])
    async with database.transaction() as connection:
        await theirs.delete(connection, ["track"])
    assert ids(await mine.search("opening hours", limit=1)) == ["hours"]
    assert "track" not in ids(await mine.search("parcel"))


async def test_unchanged_documents_are_not_embedded_again(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    engine.calls.clear()
    await add(database, collection, [*DOCUMENTS, Document("new", "Something new")])
    assert [call.texts for call in engine.calls] == [("Something new",)]
    assert (await collection.search("refund", limit=1))[0].dense is not None


async def test_a_new_model_version_re_embeds_in_the_background_while_words_still_answer(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    engine.version = "next"
    engine.calls.clear()
    hits = await collection.search("refund", limit=3)
    assert ids(hits)[0] == "refund"
    assert hits[0].dense is None
    await collection.settled()
    assert (await collection.search("refund", limit=1))[0].dense is not None
    async with database.read() as connection:
        models = set((await connection.execute(select(tables.vectors.c.model))).scalars())
    assert models == {"embed@fake", "embed@next"}, "the version before is kept for a roll-back"


async def test_rolling_a_model_back_needs_no_embedding(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    engine.version = "next"
    await collection.search("refund")
    await collection.settled()
    engine.version = "fake"
    engine.calls.clear()
    assert (await collection.search("refund", limit=1))[0].dense is not None
    assert [call.texts for call in engine.calls] == [("refund",)]


async def test_documents_that_were_prepared_with_an_older_version_are_embedded_together_with_new_ones(
    database, search, engine
):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    await collection.search("warm")
    engine.version = "next"
    prepared = await collection.prepare([*DOCUMENTS, Document("new", "Something new")])
    assert prepared.model == "embed@next"
    assert prepared.vectors.shape[0] == 4


async def test_a_failing_re_embedding_is_tried_again_later_and_searches_go_on(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    engine.version = "next"
    await collection.search("warm")
    await collection.settled()
    engine.version = "third"
    original = engine.embed

    async def failing(texts, **options):
        if len(texts) > 1:
            raise ModelError("broken")
        return await original(texts, **options)

    engine_that_fails = SimpleNamespace(embed=failing)
    collection._embedder = engine_that_fails
    assert ids(await collection.search("refund", limit=1)) == ["refund"]
    await collection.settled()
    assert ids(await collection.search("refund", limit=1)) == ["refund"]
    assert not collection.reembedding, "not before the waiting time is over"


async def test_rebuild_reads_everything_again_and_drops_vectors_of_other_versions(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    engine.version = "next"
    await collection.rebuild()
    assert (await collection.search("refund", limit=1))[0].dense is not None
    async with database.read() as connection:
        models = set((await connection.execute(select(tables.vectors.c.model))).scalars())
    assert models == {"embed@next"}


async def test_warm_brings_the_index_up_before_the_first_search(database, search):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    assert await collection.warm() == 3


async def test_an_error_of_the_engine_reaches_the_caller(database, search, engine):
    collection = search.collection("faq", model="embed")
    await add(database, collection)
    engine.errors.append(Overloaded("full", retry_after_s=1))
    with pytest.raises(Overloaded):
        await collection.search("refund")


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([Document("", "text")], "id of 0 characters"),
        ([Document("x" * 201, "text")], "id of 201 characters"),
        ([Document("a", "one"), Document("a", "two")], "Document 1 has the id 'a'"),
        ([Document("a", " \n")], "blank text"),
    ],
)
async def test_bad_documents_are_refused_by_number(search, documents, message):
    with pytest.raises(ValidationFailed, match=message):
        await search.collection("faq", model="embed").prepare(documents)


async def test_a_blank_search_is_refused(search):
    with pytest.raises(ValidationFailed, match="blank"):
        await search.collection("faq", model="embed").search("  ")


async def test_one_name_is_one_object_with_one_model(search):
    assert search.collection("faq", model="embed") is search.collection("faq", model="embed")
    with pytest.raises(ConfigError, match="'embed'"):
        search.collection("faq", model="other")


async def test_many_documents_go_through_in_parts_and_the_ranking_moves_to_a_thread(database, search):
    collection = search.collection("many", model="embed")
    documents = [Document(str(number), f"article number{number} about topic{number % 7}") for number in range(6_000)]
    await add(database, collection, documents)
    assert ids(await collection.search("number4321", limit=1)) == ["4321"]


async def test_searches_during_writes_find_every_acknowledged_document(database, search):
    collection = search.collection("busy", model="embed")

    async def writer(first: int) -> None:
        for number in range(first, first + 10):
            await add(database, collection, [Document(f"d{number}", f"unique{number} text")])
            assert ids(await collection.search(f"unique{number}", limit=1)) == [f"d{number}"]

    await asyncio.gather(*(writer(start) for start in (0, 10, 20)))
    assert await collection.count() == 30


async def test_the_search_counts_documents_and_re_embeddings(database, engine):
    registry = CollectorRegistry()
    made = Search(database, engine, refresh_s=0.0, metrics=Metrics(registry, "core"))
    collection = made.collection("faq", model="embed")
    await add(database, collection)
    await made.start()
    assert registry.get_sample_value("parlance_core_search_documents", {"collection": "faq"}) == 3
    engine.version = "next"
    await collection.search("refund")
    await collection.settled()
    assert registry.get_sample_value("parlance_core_search_reembedded_total", {"collection": "faq"}) == 3
    await made.close()
