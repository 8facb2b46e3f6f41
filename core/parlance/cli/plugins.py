"""``parlance plugins``: which plugins there are and whether they work, what one contributes, and writing a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from parlance.cli.survey import PluginRow

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List, inspect and write plugins.

    \b
    parlance plugins list                 every plugin, its version, and why one does not run
    parlance plugins show support         its settings, routes, tables, metrics, checks and commands
    parlance plugins new glossary         write the package parlance-glossary to start from
    """


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_plugins(obj: dict[str, Any] | None, as_json: bool) -> None:
    """List every plugin that was found: version, state, hooks, and the error of a broken one.

    Plugins are loaded and asked as at the start of the server, but nothing is started: what breaks only then
    (services, jobs, demonstration data) is shown by /health/ready. Exit status 1 when a plugin is broken.
    """
    from parlance.cli.survey import survey

    rows = survey((obj or {}).get("config")).rows
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], ensure_ascii=False, indent=2))
    else:
        _print_table(rows)
    if any(row.state == "broken" for row in rows):
        raise click.exceptions.Exit(1)


@plugins.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(obj: dict[str, Any] | None, name: str, as_json: bool) -> None:
    """Show what plugin NAME contributes: settings, routes, tables, metrics, checks, pages, commands, models."""
    from parlance.cli.survey import survey

    details = survey((obj or {}).get("config")).details(name)
    if as_json:
        click.echo(json.dumps(details, ensure_ascii=False, indent=2))
        return
    for key, value in details.items():
        if key == "trace" and value:
            click.echo(f"\n{value}")
        elif key == "settings" and value:
            click.echo("settings")
            for setting in value:
                click.echo(f"  {name}.{setting['key']} = {setting['default']}  ({setting['kind']})")
                click.echo(f"      {setting['description']}")
        elif value and isinstance(value, list):
            click.echo(f"{key}")
            for entry in value:
                click.echo(f"  {entry}")
        elif value not in ([], "", None):
            click.echo(f"{key:<13}{value}")


@plugins.command()
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to put the new folder [default: here].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def new(obj: dict[str, Any] | None, name: str, folder: Path, as_json: bool) -> None:
    """Write plugin NAME: a package with entry point, settings, one route, README and a passing test.

    \b
    parlance plugins new glossary
    pip install -e parlance-glossary && (cd parlance-glossary && python -m pytest)
    """
    from parlance.cli.main import cli
    from parlance.cli.survey import survey
    from parlance.plugins.scaffold import check_name, write_plugin

    commands = dict.fromkeys(cli.list_commands(click.Context(cli)), "a command of parlance")
    check_name(name, taken=commands)
    taken = {row.name: f"the plugin {row.name} ({row.origin})" for row in survey((obj or {}).get("config")).rows}
    written = write_plugin(name, folder, taken={**commands, **taken})
    root = next(path.parent for path in written if path.name == "pyproject.toml")
    if as_json:
        click.echo(json.dumps({"folder": str(root), "files": [str(path.relative_to(root)) for path in written]}))
        return
    for path in written:
        click.echo(f"  {path}")
    click.echo(
        f"Wrote the plugin '{name}'. Next:\n"
        f"  pip install -e {root}\n"
        f"  (cd {root} && python -m pytest)\n"
        f"  parlance plugins show {name}"
    )


def _print_table(rows: list[PluginRow]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "state", "from", "hooks"):
        table.add_column(title, overflow="fold")
    for row in rows:
        hooks = " ".join(hook.removeprefix("parlance_") for hook in row.hooks)
        table.add_row(row.name, row.state, escape(row.origin), hooks)
    console = Console(soft_wrap=False)
    console.print(table)
    for row in rows:
        if row.error:
            console.print(f"\n{escape(row.name)} is broken: {escape(row.error)}", highlight=False)
