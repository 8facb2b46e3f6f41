"""``parlance recommend …``: import items and events, rank, look at a user, erase a user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from parlance.storage.imports import ImportReport
    from parlance_recommend.service import Recommender

__all__ = ["recommend"]

T = TypeVar("T")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
columns = click.option("--column", "columns", multiple=True, metavar="FIELD=COLUMN", help="Which column holds a field.")
rejects = click.option(
    "--rejects", type=click.Path(dir_okay=False, path_type=Path), help="[default: FILE.rejects.jsonl]"
)
file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
Obj = dict[str, Any] | None


@click.group()
def recommend() -> None:
    """Rank items by what people's behaviour says about their text.

    \b
      parlance recommend import items items.csv --column title=name
      parlance recommend import events clicks.jsonl
      parlance recommend rank --user ada trail-maps tea-pot
    """


@recommend.group("import")
def import_() -> None:
    """Import items or events from a file. Importing a file again changes nothing."""


@import_.command("items")
@file
@columns
@rejects
@as_json
@click.pass_obj
def items_(obj: Obj, file: Path, columns: tuple[str, ...], rejects: Path | None, as_json: bool) -> None:
    """Import a catalogue from FILE (CSV or TSV with a header, or JSON lines) and encode its texts.

    Fields: id, title, description, categories (separated by '|' or ';'), hidden; Gorse's names work as they are.
    """
    from parlance_recommend.importing import import_items

    mapping = _mapping(columns)

    async def work(service: Recommender) -> ImportReport:
        with _progress("items") as advance:
            report = await import_items(service, file, mapping=mapping, rejects=rejects, progress=advance)
        waiting = await service.waiting()
        with _progress("encoding") as advance:
            while await service.encode_waiting():
                advance(waiting - await service.waiting(), waiting)
            advance(max(1, waiting), max(1, waiting))
        return report

    _report(_run(obj, work, models=True), as_json=as_json)


@import_.command("events")
@file
@columns
@click.option("--unit", type=click.Choice(["ms", "s"]), default="ms", show_default=True, help="Of numeric timestamps.")
@click.option("--type", "kind", default="click", show_default=True, help="Type of rows that name none.")
@rejects
@as_json
@click.pass_obj
def events_(
    obj: Obj,
    file: Path,
    columns: tuple[str, ...],
    unit: Literal["ms", "s"],
    kind: str,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Import events from FILE: Metarank's JSON lines, or rows with these fields (Gorse's names work too).

    Fields: item, timestamp, user, session, type, value (a rating), ranking, id. Events of items that are not in the
    catalogue are kept and reported.
    """
    from parlance_recommend.importing import import_events

    mapping = _mapping(columns)

    async def work(service: Recommender) -> tuple[ImportReport, set[str]]:
        with _progress("events") as advance:
            return await import_events(
                service, file, mapping=mapping, unit=unit, kind=kind, rejects=rejects, progress=advance
            )

    report, unknown = _run(obj, work, models=False)
    _report(report, as_json=as_json, unknown_items=sorted(unknown))


@recommend.command()
@click.argument("items", nargs=-1, required=True)
@click.option("--user", help="Whose interests to rank for.")
@click.option("--session", help="Session to rank for.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Of the reasons.")
@as_json
@click.pass_obj
def rank(
    obj: Obj, items: tuple[str, ...], user: str | None, session: str | None, lang: Literal["en", "zh"], as_json: bool
) -> None:
    """Rank ITEMS (ids) and say why."""
    import msgspec

    from parlance_recommend.ranker import Candidate

    candidates = [Candidate(item) for item in items]
    ranked = _run(
        obj,
        lambda service: service.rank("default", candidates, user=user, session=session, explain=True, language=lang),
        models=True,
    )
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(ranked), ensure_ascii=False, indent=2))
        return
    for place, one in enumerate(ranked.items, start=1):
        best = max(one.reasons or [], key=lambda reason: reason.contribution)
        click.echo(f"{place:>3}  {one.score:+.3f}  {one.item}  {best.message}")


@recommend.command()
@click.argument("user")
@as_json
@click.pass_obj
def profile(obj: Obj, user: str, as_json: bool) -> None:
    """Show a USER's interests."""
    import msgspec

    shown = _run(obj, lambda service: service.profile(user), models=False)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(shown), ensure_ascii=False, indent=2))
        return
    for interest in shown.interests:
        click.echo(f"{interest.share:6.1%}  " + "; ".join(shown.titles[item] or item for item in interest.items))


@recommend.command()
@click.argument("user")
@click.confirmation_option(prompt="Delete everything about this user?")
@as_json
@click.pass_obj
def erase(obj: Obj, user: str, as_json: bool) -> None:
    """Delete everything about a USER."""
    erased, remaining = _run(obj, lambda service: service.erase(user), models=False)
    facts = {"user": user, **erased._asdict(), "remaining": remaining}
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else ", ".join(f"{k}: {v}" for k, v in facts.items()))


def _run(obj: Obj, work: Callable[[Recommender], Awaitable[T]], *, models: bool) -> T:
    from parlance.session import open_context
    from parlance_recommend.service import Recommender

    async def run() -> T:
        async with open_context(obj, "recommend", models=models) as context, Recommender(context).running() as service:
            return await work(service)

    return asyncio.run(run())


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for entry in columns:
        field, equals, column = entry.partition("=")
        if not (field and equals and column):
            raise click.BadParameter(f"'{entry}' is not FIELD=COLUMN.", param_hint="--column")
        mapping[column] = field
    return mapping


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    bar = Progress(label, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report(report: ImportReport, *, as_json: bool, unknown_items: list[str] | None = None) -> None:
    import msgspec

    unknown = unknown_items or []
    if as_json:
        facts = {**msgspec.to_builtins(report, str_keys=True), "unknown_items": unknown}
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2, default=str))
        return
    click.echo(f"{report.read} rows read, {report.stored} stored, {report.rejected} rejected.")
    if unknown:
        count = "1 item is" if len(unknown) == 1 else f"{len(unknown)} items are"
        click.echo(f"{count} not in the catalogue yet, such as {', '.join(unknown[:5])}.")
    for one in report.first_rejects:
        click.echo(f"  line {one.line}: {one.reason}")
    if report.rejects_file:
        click.echo(f"Rejected rows are in {report.rejects_file}.")
