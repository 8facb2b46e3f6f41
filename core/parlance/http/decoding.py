"""JSON bodies into typed values, strictly, with errors that say where.

msgspec decodes; only when it refuses is the body read a second time, slowly, to find out what is wrong with it.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from parlance.errors import BadInput, ParlanceError, ValidationFailed

__all__ = ["decode_json", "invalid_field"]

T = TypeVar("T")
_WHERE = re.compile(r" - at `(?:key in )?\$?([^`]*)`$")
_MOST_DEPTH = "The JSON is nested too deeply."


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode ``body``.

    Raises:
        BadInput: not JSON (code ``invalid_json``, with ``position`` in bytes, ``line`` and ``column``) or not UTF-8.
        ValidationFailed: JSON of the wrong shape (``errors`` names path and reason), or a string with half of a
            surrogate pair, which is no Unicode text (code ``not_unicode``, ``path``).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_shape(error) from error
    except RecursionError as error:
        raise BadInput(_MOST_DEPTH, code="invalid_json") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(body, error) from error


def invalid_field(path: str, message: str, *, code: str | None = None, hint: str | None = None) -> ValidationFailed:
    """A validation error of one field, in the form that decoding gives, for checks that types cannot express.

    Args:
        path: where, dotted with indices in brackets: ``documents[3].published_at``.
        message: what is wrong, one sentence without the path.
    """
    where = f"{path}: " if path else ""
    return ValidationFailed(f"{where}{message}", code=code, hint=hint, errors=[{"path": path, "message": message}])


def _wrong_shape(error: msgspec.ValidationError) -> ValidationFailed:
    text = str(error)
    found = _WHERE.search(text)
    path = found.group(1).removeprefix(".") if found else ""
    message = (text[: found.start()] if found else text).replace("`", "'")
    return invalid_field(path.replace("[...]", "[*]"), message)


def _not_json(body: bytes, error: Exception) -> ParlanceError:
    if not body.strip():
        return BadInput("The body is empty; this route takes a JSON document.", code="invalid_json")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return BadInput(
            f"The body is not UTF-8: byte {wrong.start} is 0x{body[wrong.start]:02x}.",
            hint="Send JSON in UTF-8.",
            code="invalid_json",
            position=wrong.start,
        )
    try:
        value = json.loads(text)
    except json.JSONDecodeError as wrong:
        return BadInput(
            f"The body is not valid JSON: {wrong.msg} at line {wrong.lineno}, column {wrong.colno}.",
            code="invalid_json",
            line=wrong.lineno,
            column=wrong.colno,
            position=len(text[: wrong.pos].encode()),
        )
    except RecursionError:
        return BadInput(_MOST_DEPTH, code="invalid_json")
    except ValueError as wrong:  # an integer of thousands of digits
        return BadInput(f"The body is not valid JSON: {wrong}.", code="invalid_json")
    found = _find_surrogate(value, "")
    if found is not None:
        message = "the string holds half of a surrogate pair, which is not a Unicode character"
        return invalid_field(found, message, code="not_unicode", hint="Send the text as valid UTF-8.")
    return BadInput(f"The body is not valid JSON: {error}.", code="invalid_json")


def _find_surrogate(value: Any, path: str) -> str | None:
    """The path of the first string, or key, that UTF-8 cannot hold."""
    if isinstance(value, str):
        return path if any("\ud800" <= character <= "\udfff" for character in value) else None
    if isinstance(value, dict):
        for key, inner in value.items():
            if (found := _find_surrogate(key, path)) is not None:
                return found
            if (found := _find_surrogate(inner, f"{path}.{key}" if path else key)) is not None:
                return found
    if isinstance(value, list):
        for index, inner in enumerate(value):
            if (found := _find_surrogate(inner, f"{path}[{index}]")) is not None:
                return found
    return None
