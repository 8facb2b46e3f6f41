"""One exception tree for the whole product.

Every error has a stable ``code``, an HTTP status and an exit status for the command line, and says what to do about it.

    ParlanceError
    ├── BadInput              400  the caller's data is wrong               exit 2
    │   ├── ValidationFailed  422  well-formed, but a value is not allowed
    │   ├── TooLarge          413  over a limit
    │   └── ConfigError       500  settings are wrong; stops the start
    ├── NotFound              404  model, plugin, alias, label, row …       exit 2
    ├── Conflict              409  state does not allow it                  exit 2
    ├── Unauthorized          401
    ├── Forbidden             403
    ├── Overloaded            429  refused before any work; carries retry_after_s
    ├── DeadlineExceeded      504
    ├── ClientGone            499
    ├── Unavailable           503  a part that is needed is not there: database, model still loading …
    │   └── StorageError      503
    ├── ModelError            500  the model failed on accepted input
    │   ├── BuildError        500  a build could not be finished
    │   └── IntegrityError    500  a file is not what was recorded
    └── PluginError           500  a plugin broke its contract

A layer may define subclasses with their own ``code`` beside the code that raises them.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BadInput",
    "BuildError",
    "ClientGone",
    "ConfigError",
    "Conflict",
    "DeadlineExceeded",
    "Forbidden",
    "IntegrityError",
    "ModelError",
    "NotFound",
    "Overloaded",
    "ParlanceError",
    "PluginError",
    "StorageError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "ValidationFailed",
]


class ParlanceError(Exception):
    """Base of every error that a user may see.

    Args:
        detail: one or two sentences: what was wrong, where, the value and the limit.
        hint: what to do about it, one sentence; shown after the detail.
        code: overrides the class's stable code for one finer case (snake_case, part of the public interface).
        facts: JSON-able values worth reading by a machine (``index``, ``limit``, ``model`` …); they become
            members of the problem-details body.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, detail: str, *, hint: str | None = None, code: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.facts = facts
        if code is not None:
            self.code = code  # type: ignore[misc]  # one instance may carry a finer code than its class

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}" if self.hint else self.detail


class BadInput(ParlanceError):
    """The request or file cannot be read as what it should be."""

    code = "bad_input"
    title = "Bad input"
    status = 400
    exit_status = 2


class ValidationFailed(BadInput):
    """Well-formed input with a value that is not allowed."""

    code = "validation_failed"
    title = "Validation failed"
    status = 422


class TooLarge(BadInput):
    """Input over a stated limit."""

    code = "too_large"
    title = "Too large"
    status = 413


class ConfigError(BadInput):
    """Settings that cannot be used; the message names the key and where its value came from."""

    code = "bad_configuration"
    title = "Bad configuration"
    status = 500


class NotFound(ParlanceError):
    """A name that stands for nothing here."""

    code = "not_found"
    title = "Not found"
    status = 404
    exit_status = 2


class Conflict(ParlanceError):
    """The present state does not allow the request."""

    code = "conflict"
    title = "Conflict"
    status = 409
    exit_status = 2


class Unauthorized(ParlanceError):
    """No valid API key."""

    code = "unauthorized"
    title = "Unauthorized"
    status = 401


class Forbidden(ParlanceError):
    """A valid key without the scope that is needed."""

    code = "forbidden"
    title = "Forbidden"
    status = 403


class Overloaded(ParlanceError):
    """Refused at once, before any work, because the wait would be too long or a rate was exceeded."""

    code = "overloaded"
    title = "Too many requests"
    status = 429

    def __init__(self, detail: str, *, retry_after_s: float, hint: str | None = None, **facts: Any) -> None:
        super().__init__(detail, hint=hint, retry_after_s=round(retry_after_s, 3), **facts)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ParlanceError):
    """The time that the caller gave ran out before the result was there."""

    code = "deadline_exceeded"
    title = "Deadline exceeded"
    status = 504


class ClientGone(ParlanceError):
    """The caller closed the connection; nobody reads this answer."""

    code = "client_gone"
    title = "Client closed request"
    status = 499


class Unavailable(ParlanceError):
    """Something that the request needs is not there at the moment."""

    code = "unavailable"
    title = "Unavailable"
    status = 503


class StorageError(Unavailable):
    """The database could not be used; nothing was written."""

    code = "storage_unavailable"
    title = "Storage unavailable"


class ModelError(ParlanceError):
    """A model failed on input that had been accepted."""

    code = "model_failed"
    title = "Model failed"


class BuildError(ModelError):
    """A model build that could not be finished; the cache is as it was before."""

    code = "build_failed"
    title = "Build failed"


class IntegrityError(ModelError):
    """A file whose bytes are not the recorded ones."""

    code = "integrity_failed"
    title = "Integrity check failed"


class PluginError(ParlanceError):
    """A plugin that broke its contract; the message names plugin, hook and cause."""

    code = "plugin_failed"
    title = "Plugin failed"
