"""What is refused before any work is done on it; every error names the index of the text."""

from __future__ import annotations

from collections.abc import Sequence

from parlance.errors import ValidationFailed

__all__ = ["check_pairs", "check_task", "check_texts"]


def check_task(model: str, *, has: str, wanted: str) -> None:
    """Refuse a model of another task.

    Raises:
        ValidationFailed: code ``wrong_task``.
    """
    if has != wanted:
        raise ValidationFailed(
            f"The model '{model}' does the task '{has}', not '{wanted}'.",
            hint=f"Name a model of the task '{wanted}'; GET /models lists them.",
            code="wrong_task",
            model=model,
            task=has,
            wanted=wanted,
        )


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what has no meaning as text.

    Raises:
        ValidationFailed: not a string, empty, only white space, or with a lone surrogate; ``index`` is among its facts.
    """
    if isinstance(texts, str):
        raise ValidationFailed(
            "The texts are one string where a list of strings is expected.",
            hint="Wrap it in a list.",
            code="not_a_text",
        )
    for index, text in enumerate(texts):
        _check(text, index, f"Text {index}")


def check_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse pairs of which one side has no meaning as text; errors as in ``check_texts``."""
    for index, pair in enumerate(pairs):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValidationFailed(
                f"Pair {index} is not two texts.", hint="Send [text, text].", code="not_a_pair", index=index
            )
        _check(pair[0], index, f"The first text of pair {index}")
        _check(pair[1], index, f"The second text of pair {index}")


def _check(text: object, index: int, what: str) -> None:
    if not isinstance(text, str):
        raise ValidationFailed(
            f"{what} is {type(text).__name__}, not a string.", hint="Send text.", code="not_a_text", index=index
        )
    if not text or text.isspace():
        raise ValidationFailed(
            f"{what} is empty or only white space.",
            hint="Leave it out: there is nothing to compute.",
            code="empty_text",
            index=index,
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValidationFailed(
                f"{what} has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}, "
                "which is half a character.",
                hint="Decode the text as UTF-16 pairs or replace the character before sending it.",
                code="invalid_unicode",
                index=index,
                position=error.start,
            ) from error
