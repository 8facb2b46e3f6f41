"""Documents: how they are read, what identifies them, and which keys they count for."""

from parlance_sentiment.documents.document import Document, Labelling
from parlance_sentiment.documents.draft import Draft, DraftLimits, make_draft
from parlance_sentiment.documents.keys import check_key, keys_of
from parlance_sentiment.documents.labelling import LABELS, labelling_from
from parlance_sentiment.documents.times import parse_time

__all__ = [
    "LABELS",
    "Document",
    "Draft",
    "DraftLimits",
    "Labelling",
    "check_key",
    "keys_of",
    "labelling_from",
    "make_draft",
    "parse_time",
]
