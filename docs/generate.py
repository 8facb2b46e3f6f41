"""Writes ``configuration.md`` from the settings types: ``python docs/generate.py``; ``--check`` only compares."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "plugins")]

from parlance.plugins.reference import settings_reference  # noqa: E402  # the path comes first
from parlance.settings import Settings  # noqa: E402

TARGET = ROOT / "docs" / "configuration.md"
HEAD = """\
# Configuration

<!-- Made by `python docs/generate.py` from the docstrings of the settings types; change those, not this file. -->

Every setting has a default that works. The later of these wins:

1. `parlance.toml` in the working folder, or the file that `parlance --config FILE …` names;
2. the environment: `PARLANCE_SECTION__KEY`, with two underscores between section and key. Lists are separated by
   commas, tables are JSON: `PARLANCE_SERVER__PORT=8080`, `PARLANCE_PLUGINS__DISABLED=sentiment,recommend`;
3. flags of the command line, such as `parlance serve --port 8080`.

`parlance config show` prints every setting with its value and where that came from. An unknown section or key stops
the start and names the nearest known one. Secrets belong into files: a setting that ends in `_file` names one.

```toml
[server]
port = 8080

[database]
url_file = "/run/secrets/database_url"

[sentiment]
model = "fin-sentiment"
```
"""


def render() -> str:
    """The whole document."""
    parts = [HEAD, "## The core\n"]
    parts += [_section(field.name, field.type) for field in msgspec.structs.fields(Settings)]
    parts.append("## The plugins\n")
    parts += [_section(name, settings) for name, settings in _plugin_settings()]
    return "\n".join(parts)


def _section(name: str, settings: type[msgspec.Struct]) -> str:
    title = " ".join((settings.__doc__ or "").split())
    rows = [f"### `[{name}]`\n\n{title}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |"]
    for row in settings_reference(settings):
        default = f"`{row.default}`" if row.default and len(row.default) <= 60 else ("see below" if row.default else "")
        cells = (f"`{row.key}`", row.kind, default, row.description.replace("``", "`"))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    long = [row for row in settings_reference(settings) if len(row.default) > 60]
    rows += [f"\nDefault of `{row.key}`: `{row.default}`" for row in long]
    return "\n".join(rows) + "\n"


def _plugin_settings() -> list[tuple[str, type[msgspec.Struct]]]:
    """The settings types of the project's own plugins, by the entry points that it declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = []
    for name, path in project["entry-points"]["parlance.plugins"].items():
        module, _, attribute = path.partition(":")
        plugin = getattr(importlib.import_module(module), attribute)
        found.append((name, plugin.parlance_settings()))
    return found


def main() -> int:
    """Write the document, or with ``--check`` say whether it is current."""
    text = render()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
