"""``parlance models``: which models there are, building and checking them, aliases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from parlance.models.registry import ModelRegistry

__all__ = ["build_missing", "models"]

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
@click.option(
    "--cache", type=click.Path(file_okay=False), help="Folder of built models [default: setting models.cache]."
)
@click.pass_context
def models(ctx: click.Context, cache: str | None) -> None:
    """List, build and check models; move aliases.

    \b
    A model is described by a model.toml under models/. Building turns it into what is served:
      parlance models list                     which models there are, and which are built
      parlance models build                    build every default model that is missing or out of date
      parlance models show fin-sentiment       its card: what it is, data, licence, measured quality
      parlance models alias set sentiment@live fin-sentiment
    """
    ctx.obj = {**(ctx.obj or {}), "cache": cache}


@models.command("list")
@_as_json
@click.pass_obj
def list_models(obj: dict[str, Any], as_json: bool) -> None:
    """List all models with task, languages and built version."""
    registry = _registry(obj)
    rows = []
    for name in registry.names():
        manifest = registry.manifest(name)
        built = registry.current(name)
        state = "not built" if built is None else "built" if registry.is_current(name) else "out of date"
        rows.append({
            "name": name, "task": manifest.task, "languages": list(manifest.languages), "state": state,
            "version": built, "licence": manifest.licence, "description": manifest.description,
            "aliases": [alias for alias, (target, _) in registry.aliases().items() if target == name],
        })  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo("There are no models. Add a folder with a model.toml, see the setting models.folders.")
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        languages = ",".join(row["languages"])  # type: ignore[arg-type]  # a list of strings, see above
        click.echo(
            f"{row['name']:<{width}}  {row['task']:<9} {languages:<16} {row['state']:<12} {row['version'] or '-'}"
        )


@models.command("show")
@click.argument("name")
@_as_json
@click.pass_obj
def show(obj: dict[str, Any], name: str, as_json: bool) -> None:
    """Print a model's card: NAME is a model or an alias."""
    import msgspec

    registry = _registry(obj)
    target = registry.aliases().get(name, (name, None))[0]
    manifest = registry.manifest(target)
    card = msgspec.to_builtins(manifest)
    card["folder"] = str(registry.folder(target))
    card["built"] = registry.current(target)
    card["versions"] = registry.versions(target)
    metrics = registry.folder(target) / "metrics.json"
    if metrics.is_file():
        card["metrics"] = json.loads(metrics.read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False, indent=2))
        return
    _print_card(card)


@models.command("build")
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Build anew even when nothing changed.")
@click.option("--offline", is_flag=True, help="Download nothing.")
@_as_json
@click.pass_obj
def build(obj: dict[str, Any], names: tuple[str, ...], force: bool, offline: bool, as_json: bool) -> None:
    """Build the named models, or all default models; what is up to date is left alone.

    A build fetches the weights, merges the adapter, writes the graph, checks it against torch on real sentences, and
    appears in the cache whole or not at all; it may be interrupted at any time.
    """
    registry = _registry(obj)
    for name in names:
        registry.manifest(name)
    wanted = list(names) or [name for name in registry.names() if registry.manifest(name).default]
    results = []
    with _Bars(quiet=as_json) as bars:
        for name in wanted:
            fresh = not force and registry.is_current(name)
            artefact = registry.build(name, force=force, offline=offline, progress=bars)
            log = json.loads((artefact.path / "build.json").read_text(encoding="utf-8"))
            results.append({
                "name": name, "version": artefact.version, "folder": artefact.folder, "up_to_date": fresh,
                "parity": log["parity"], "seconds": log["timings"]["total_s"],
            })  # fmt: skip
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=2))
        return
    for row in results:
        if row["up_to_date"]:
            click.echo(f"{row['name']} {row['version']} is up to date.")
        else:
            worst = row["parity"]["worst"]
            click.echo(f"{row['name']} {row['version']} built in {row['seconds']} s, agreement with torch {worst:.7f}.")


@models.command("verify")
@click.argument("names", nargs=-1)
@_as_json
@click.pass_obj
def verify(obj: dict[str, Any], names: tuple[str, ...], as_json: bool) -> None:
    """Hash every file of the named models, or of all built ones, and compare with what was recorded."""
    registry = _registry(obj)
    wanted = list(names) or [name for name in registry.names() if registry.current(name)]
    rows = []
    for name in wanted:
        artefact = registry.resolve(name, verify=True)
        size = sum(known.size_bytes for known in artefact.files.values())
        rows.append({"name": artefact.name, "version": artefact.version, "files": len(artefact.files), "bytes": size})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}@{row['version']}: {row['files']} files, {row['bytes']:,} bytes, all as recorded.")
    if not rows:
        click.echo("No model is built. Run `parlance models build`.")


@models.command("graph")
@click.argument("name")
@click.pass_obj
def graph(obj: dict[str, Any], name: str) -> None:
    """Write the weight-free graph and reference outputs into the model's folder (needs the train extra).

    With them a model is built without torch. Run it after a change of a shipped model's adapter or pooling.
    """
    registry = _registry(obj)
    registry.manifest(name)
    make_graph = _training("parlance.training.graphs", "make_graph")
    with _Bars(quiet=False) as bars:
        sizes = make_graph(registry, name, progress=bars)
    for file, size in sizes.items():
        click.echo(f"{registry.folder(name) / file}: {size:,} bytes")


@models.group("alias")
def alias_group() -> None:
    """Names such as sentiment@live that point at a model version and move without a restart."""


@alias_group.command("list")
@_as_json
@click.pass_obj
def alias_list(obj: dict[str, Any], as_json: bool) -> None:
    """List aliases and where they point."""
    aliases = _registry(obj).aliases()
    if as_json:
        rows = [{"alias": alias, "name": name, "version": version} for alias, (name, version) in aliases.items()]
        click.echo(json.dumps(rows, indent=2))
        return
    for alias, (name, version) in aliases.items():
        click.echo(f"{alias} -> {name}@{version or 'newest'}")


@alias_group.command("set")
@click.argument("alias")
@click.argument("name")
@click.option("--version", help="A built version; without it the alias follows the newest build.")
@click.pass_obj
def alias_set(obj: dict[str, Any], alias: str, name: str, version: str | None) -> None:
    """Point ALIAS at model NAME; a running server follows."""
    _registry(obj).set_alias(alias, name, version)
    click.echo(f"{alias} -> {name}@{version or 'newest'}")


@alias_group.command("remove")
@click.argument("alias")
@click.pass_obj
def alias_remove(obj: dict[str, Any], alias: str) -> None:
    """Remove ALIAS."""
    _registry(obj).remove_alias(alias)
    click.echo(f"{alias} removed")


def build_missing(loaded: Any) -> None:
    """Builds default and eager models that are missing or out of date, with a progress display; silent when none is.

    Args:
        loaded: the loaded settings.
    """
    registry = _open(loaded, None)
    names = {name for name in registry.names() if registry.manifest(name).default}
    names |= {registry.aliases().get(name, (name, None))[0] for name in loaded.core.models.eager}
    missing = [name for name in sorted(names) if not registry.is_current(name)]
    if not missing:
        return
    click.echo(
        f"Building {len(missing)} model{'s' if len(missing) > 1 else ''}: {', '.join(missing)} (once).", err=True
    )
    with _Bars(quiet=False) as bars:
        registry.ensure_built(missing, bars)


class _Bars:
    """Progress on standard error with rich; nothing when ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(),
            console=Console(stderr=True), disable=quiet, transient=True,
        )  # fmt: skip
        self._task: Any = None

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, text: str, *, total: float | None = None) -> None:
        """Shows a new step in place of the last."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=total)

    def advance(self, amount: float) -> None:
        """Moves the present bar."""
        if self._task is not None:
            self._progress.advance(self._task, amount)


def _registry(obj: dict[str, Any]) -> ModelRegistry:
    from parlance.settings import load_settings

    return _open(load_settings(obj.get("config")), obj.get("cache"))


def _open(loaded: Any, cache: str | None) -> ModelRegistry:
    """The registry with the folders and sources of the core and of every plugin."""
    from pathlib import Path

    from parlance.builtin import CorePlugin
    from parlance.models.registry import ModelRegistry
    from parlance.plugins.manager import PluginManager

    manager = PluginManager(loaded.core.plugins, builtin={"core": CorePlugin()})
    folders = [Path(folder).expanduser() for folder in loaded.core.models.folders]
    sources: dict[str, Any] = {}
    for answer in manager.call("parlance_model_folders"):
        folders.extend(answer.value or ())
    for answer in manager.call("parlance_model_sources"):
        sources.update(answer.value or {})
    return ModelRegistry(folders, Path(cache or loaded.core.models.cache), sources=sources)


def _training(module: str, attribute: str) -> Any:
    """Something of the training part, or one error that says what to install."""
    import importlib

    from parlance.errors import BuildError

    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise BuildError(
            f"This needs torch and transformers, which are not installed ({error.name}).",
            hint="Run: pip install 'parlance[train]'", code="training_not_installed",
        ) from error  # fmt: skip


def _print_card(card: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for key in (
        "name",
        "task",
        "description",
        "languages",
        "licence",
        "labels",
        "max_tokens",
        "prefixes",
        "precisions",
    ):
        if card.get(key):
            table.add_row(
                key, ", ".join(map(str, card[key])) if isinstance(card[key], list | tuple) else str(card[key])
            )
    origin = card["source"]["uri"] if card.get("source") else f"adapter on {card['adapter']['base']}"
    table.add_row("weights", origin)
    for note in card.get("notes", ()):
        table.add_row("note", note)
    for data in card.get("training_data", ()):
        table.add_row("trained on", f"{data['name']} ({data['licence']})")
    for name, scores in (card.get("metrics") or {}).get("dev", {}).items():
        table.add_row("held out", f"{name}: accuracy {scores['accuracy']}, macro-F1 {scores['macro_f1']}")
    table.add_row("built", card["built"] or "not yet: parlance models build " + card["name"])
    Console().print(table)
