"""Result structures of the five tasks, and nothing else: what the engine returns and plugins read."""

from parlance.tasks.classify import Classification
from parlance.tasks.embed import Embeddings, Role
from parlance.tasks.generate import GenerateOptions, Message, Piece
from parlance.tasks.origin import Origin
from parlance.tasks.score import Scores
from parlance.tasks.tag import Span

TASKS = ("embed", "classify", "tag", "score", "generate")
"""The task names that a manifest may use; plugins add more with ``parlance_tasks``."""

__all__ = [
    "TASKS",
    "Classification",
    "Embeddings",
    "GenerateOptions",
    "Message",
    "Origin",
    "Piece",
    "Role",
    "Scores",
    "Span",
]
