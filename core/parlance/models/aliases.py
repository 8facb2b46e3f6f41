"""Aliases such as ``support-intent@live``: names that point at a model version and can be moved while a server runs."""

from __future__ import annotations

import datetime
import os
import re
import tempfile
from pathlib import Path

import msgspec

from parlance.errors import IntegrityError, ValidationFailed

__all__ = ["AliasFile", "AliasTarget"]

_ALIAS = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}(@[a-z0-9][a-z0-9._-]{0,31})?$")


class AliasTarget(msgspec.Struct, frozen=True):
    """A model's name and version; ``None`` follows the newest build."""

    name: str
    version: str | None = None


class AliasFile:
    """``aliases.json`` of a cache, replaced in one step, and ``aliases.log``, one line for every move."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / "aliases.json"
        self._log = cache / "aliases.log"

    def read(self) -> dict[str, AliasTarget]:
        """All aliases.

        Raises:
            IntegrityError: the file is damaged.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, AliasTarget])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise IntegrityError(
                f"{self._path} cannot be read: {error}.", hint=f"Restore it by hand; {self._log} has every move."
            ) from error

    def write(self, alias: str, target: AliasTarget | None) -> None:
        """Points ``alias`` at ``target``, or removes it.

        Raises:
            ValidationFailed: the alias is not a name, with at most one ``@`` part.
        """
        if not _ALIAS.match(alias):
            raise ValidationFailed(f"'{alias}' is no alias: use a-z, 0-9, '.', '_', '-' and one '@', as in name@live.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aliases = self.read()
        before = aliases.pop(alias, None)
        if target is not None:
            aliases[alias] = target
        handle, scratch = tempfile.mkstemp(prefix=".aliases-", dir=self._path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(aliases, order="sorted"), indent=2))
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(self._path)
        moved = {
            "ts": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "alias": alias,
            "before": before, "after": target,
        }  # fmt: skip
        with self._log.open("ab") as log:
            log.write(msgspec.json.encode(moved) + b"\n")

    def stamp(self) -> int:
        """Changes when the aliases do (nanoseconds of the last change)."""
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
