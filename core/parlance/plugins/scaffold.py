"""Writes a new plugin: a package of its own that installs, passes its test and answers on its route."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template

from parlance import __version__
from parlance.errors import Conflict, StorageError, ValidationFailed
from parlance.settings import Settings

__all__ = ["TEMPLATE", "check_name", "write_plugin"]

TEMPLATE = Path(__file__).parent / "template"
"""Files ending in ``.txt``, which is cut off; ``$name`` and the like are filled in."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_name(name: str, *, taken: Mapping[str, str]) -> None:
    """Say what is wrong with the name of a new plugin.

    Args:
        name: the name: its settings section, its command, the prefix of its tables and routes.
        taken: names that cannot be had, and by whom.

    Raises:
        ValidationFailed: not lower-case letters, digits and underscores, or a word of Python's.
        Conflict: a plugin, a section of the core's settings, a command or a Python package has the name.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValidationFailed(
            f"'{name}' cannot be a plugin's name: it is not 1 to 40 lower-case letters, digits and underscores that "
            "start with a letter, or it is a word of Python's.",
            hint="Choose a noun, such as 'glossary' or 'spell_check'.",
            code="bad_plugin_name",
        )
    owner = taken.get(name)
    if owner is None and name in Settings.__struct_fields__:
        owner = "a section of the core's settings"
    if owner is None and find_spec(f"parlance_{name}") is not None:
        owner = f"the installed package parlance_{name}"
    if owner is not None:
        raise Conflict(f"The name '{name}' is taken by {owner}.", hint="Choose another name.", code="plugin_name_taken")


def write_plugin(name: str, folder: Path, *, taken: Mapping[str, str]) -> list[Path]:
    """Write the package ``parlance-NAME`` into a new folder below ``folder``: wholly, or not at all.

    Args:
        name: the plugin's name.
        folder: where the new folder is put; made when it does not exist.
        taken: as in :func:`check_name`.

    Returns:
        The files written, sorted; all lie below ``folder / "parlance-NAME"`` (underscores become hyphens).

    Raises:
        ValidationFailed: as :func:`check_name`.
        Conflict: as :func:`check_name`, or the new folder exists.
        StorageError: the files cannot be written.
    """
    check_name(name, taken=taken)
    values = _values(name)
    target = folder / values["distribution"]
    if target.exists():
        raise Conflict(
            f"{target} exists already; nothing was written.",
            hint="Give another folder with --folder, or remove it.",
            code="folder_exists",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as work:
            written = Path(work) / "plugin"
            _fill(written, values)
            shutil.move(written, target)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}.", code="cannot_write") from error
    return sorted(path for path in target.rglob("*") if path.is_file())


def _values(name: str) -> dict[str, str]:
    words = name.split("_")
    minor = ".".join(__version__.split(".")[:2])
    return {
        "name": name,
        "package": f"parlance_{name}",
        "distribution": f"parlance-{name.replace('_', '-')}",
        "title": " ".join(words).capitalize(),
        "camel": "".join(word.capitalize() for word in words),
        "operation": words[0] + "".join(word.capitalize() for word in words[1:]),
        "version": minor,
    }


def _fill(target: Path, values: Mapping[str, str]) -> None:
    for source in sorted(TEMPLATE.rglob("*.txt")):
        relative = source.relative_to(TEMPLATE).with_suffix("")
        parts = [values["package"] if part == "package" else part for part in relative.parts]
        destination = target.joinpath(*parts)
        destination.parent.mkdir(parents=True, exist_ok=True)
        text = Template(source.read_text(encoding="utf-8")).substitute(values)
        destination.write_text(text, encoding="utf-8")
