"""``parlance config``: what the settings are and where each value came from."""

from __future__ import annotations

import json
import re
from typing import Any

import click
import msgspec

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the effective settings and where each came from."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(obj: dict[str, Any] | None, as_json: bool) -> None:
    """Print every setting with its value and origin (default, file, environment, flag)."""
    from parlance.plugins.manager import PluginManager
    from parlance.settings import load_settings

    loaded = load_settings((obj or {}).get("config"))
    manager = PluginManager(loaded.core.plugins)
    loaded = load_settings((obj or {}).get("config"), plugin_names=manager.names)
    values = dict(msgspec.to_builtins(loaded.core))
    for answer in manager.call("parlance_settings"):
        if answer.value is not None:
            values[answer.plugin] = msgspec.to_builtins(loaded.plugin(answer.plugin, answer.value))
    rows = [
        {
            "key": f"{section}.{key}",
            "value": _hidden(value),
            "origin": loaded.origins.get(f"{section}.{key}", "default"),
        }
        for section, body in values.items()
        for key, value in body.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    width = max(len(row["key"]) for row in rows)
    for row in rows:
        click.echo(f"{row['key']:<{width}}  {json.dumps(row['value'], ensure_ascii=False)}  ({row['origin']})")


def _hidden(value: Any) -> Any:
    """A URL without its password."""
    return re.sub(r"(://[^:/@]+:)[^@]+@", r"\1***@", value) if isinstance(value, str) else value
