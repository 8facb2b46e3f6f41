"""BM25 over analysed terms, in memory (tantivy); the database holds the truth, so nothing is written to disk here.

The index is given terms joined by blanks, so that what is a word is decided in ``analysis`` alone. Queries are built
from terms, never parsed: nothing that a user types is an operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tantivy

from parlance.search.analysis import terms

__all__ = ["FullTextIndex"]

_WRITER_BYTES = 15_000_000  # the least that tantivy takes for one thread
_MOST_QUERY_TERMS = 256


class FullTextIndex:
    """Documents by identifier, found by their words.

    Changes come from one thread at a time and are visible to searches that start after them. Searches may run in any
    thread.
    """

    def __init__(self) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
        builder.add_text_field("filter", tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema)
        self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def change(
        self,
        upserts: Iterable[tuple[str, str, Mapping[str, str]]] = (),
        deletes: Iterable[str] = (),
    ) -> None:
        """Drop ``deletes``, then add or replace ``upserts`` (identifier, text, filters), in one visible step."""
        for identifier in deletes:
            self._writer.delete_documents_by_term("id", identifier)
        for identifier, text, filters in upserts:
            self._writer.delete_documents_by_term("id", identifier)
            self._writer.add_document(
                tantivy.Document(
                    id=[identifier],
                    body=[" ".join(terms(text))],
                    filter=[_filter_term(key, value) for key, value in filters.items()],
                )
            )
        self._writer.commit()
        self._index.reload()

    def search(self, text: str, *, limit: int, filters: Mapping[str, str] | None = None) -> list[tuple[str, float]]:
        """Documents that hold any term of the text, with their BM25 scores (k1 1.2, b 0.75), best first.

        Of a long text the first 256 distinct terms count.
        """
        wanted = list(dict.fromkeys(terms(text)))[:_MOST_QUERY_TERMS]
        if not wanted or limit < 1:
            return []
        should, must = tantivy.Occur.Should, tantivy.Occur.Must
        query = tantivy.Query.boolean_query([(should, self._term("body", term)) for term in wanted])
        if filters:
            # A filter must hold, but must not score: its weight is set to nothing.
            held = [self._term("filter", _filter_term(key, value)) for key, value in filters.items()]
            clauses = [(must, query), *((must, tantivy.Query.const_score_query(term, 0.0)) for term in held)]
            query = tantivy.Query.boolean_query(clauses)
        searcher = self._index.searcher()
        hits = searcher.search(query, limit, count=False).hits
        return [(searcher.doc(address)["id"][0], float(score)) for score, address in hits]

    def _term(self, field: str, term: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, term)


def _filter_term(key: str, value: str) -> str:
    return f"{key}\x1f{value}"
