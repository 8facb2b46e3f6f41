"""``parlance sentiment …``: label texts, import files, look at trends, alerts and rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from parlance_sentiment.service import SentimentService

__all__ = ["sentiment"]

T = TypeVar("T")
_WIDE = 1000
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def sentiment() -> None:
    """Label financial news, follow its trend, and see the alerts.

    \b
      parlance sentiment label "Profit rose by a third" "公司预计全年亏损"
      parlance sentiment import news.csv --column text=headline
      parlance sentiment trends --key "company:Borealis Motors"
    """


@sentiment.command()
@click.argument("texts", nargs=-1, required=True)
@as_json
@click.pass_obj
def label(obj: dict[str, Any] | None, texts: tuple[str, ...], as_json: bool) -> None:
    """Label TEXTS positive, neutral or negative. Nothing is stored."""
    labellings = _run(obj, lambda service: service.label(texts), models=True)
    rows = [
        {
            "text": text,
            "label": one.label,
            "score": round(one.score, 4),
            "positive": round(one.positive, 4),
            "neutral": round(one.neutral, 4),
            "negative": round(one.negative, 4),
            "model": one.model,
            "truncated": one.truncated,
        }
        for text, one in zip(texts, labellings, strict=True)
    ]
    _show(rows, as_json=as_json, columns=("label", "score", "text"))


@sentiment.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--column", "columns", multiple=True, metavar="FIELD=COLUMN", help="Which column holds a field.")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="[default: FILE.rejects.jsonl]")
@as_json
@click.pass_obj
def import_(
    obj: dict[str, Any] | None, file: Path, columns: tuple[str, ...], rejects: Path | None, as_json: bool
) -> None:
    """Label and store the documents of FILE (CSV with a header, or JSON lines).

    Fields: text, id, title, published_at, source, companies and topics (separated by ';'), language. Bad rows go to a
    rejects file and never stop the good ones; importing a file again changes nothing.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from parlance_sentiment.importing import import_documents

    mapping = _mapping(columns)
    with Progress(
        "labelling",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("labelling", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = _run(
            obj,
            lambda service: import_documents(service, file, columns=mapping, rejects=rejects, progress=advance),
            models=True,
        )
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(report), ensure_ascii=False, indent=2))
        return
    click.echo(
        f"{report.rows} rows: {report.stored} stored, {report.corrected} corrected, {report.unchanged} unchanged, "
        f"{report.rejected} rejected"
    )
    if report.rejects_file:
        click.echo(f"rejected rows with their reasons: {report.rejects_file}", err=True)


@sentiment.command()
@click.option("--key", "keys", multiple=True, help="all, company:NAME, source:NAME or topic:NAME; may be repeated.")
@click.option("--bucket", type=click.Choice(["hour", "day", "week"]), default="day", show_default=True)
@click.option("--from", "since", help="Earliest time: ISO 8601 with a zone, or a date.")
@click.option("--to", "until", help="Latest time.")
@click.option("--timezone", default="UTC", show_default=True, help="Zone in which days begin.")
@as_json
@click.pass_obj
def trends(
    obj: dict[str, Any] | None,
    keys: tuple[str, ...],
    bucket: str,
    since: str | None,
    until: str | None,
    timezone: str,
    as_json: bool,
) -> None:
    """Counts, mean score and share of negative documents per time bucket."""
    import msgspec

    from parlance_sentiment.documents import parse_time

    start = parse_time(since, field="--from") if since else None
    end = parse_time(until, field="--to") if until else None
    found = _run(
        obj,
        lambda service: service.trends(keys, bucket=bucket, start=start, end=end, timezone=timezone, fill=False),
        models=False,
    )
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=2))
        return
    rows = [
        {
            "key": series.key,
            "start": point.start.isoformat(timespec="minutes"),
            "documents": point.documents,
            "negative": point.negative,
            "mean_score": point.mean_score,
            "negative_share": point.negative_share,
        }
        for series in found.series
        for point in series.points
    ]
    _show(rows, as_json=False, columns=("key", "start", "documents", "negative", "mean_score", "negative_share"))


@sentiment.command()
@click.option("--state", type=click.Choice(["firing", "resolved"]), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@as_json
@click.pass_obj
def alerts(obj: dict[str, Any] | None, state: str | None, limit: int, as_json: bool) -> None:
    """Alerts, the latest first."""
    from parlance_sentiment.store.alerts import AlertQuery

    found, _ = _run(obj, lambda service: service.alerts(AlertQuery(state=state, limit=limit)), models=False)
    rows = [
        alert.as_body()
        | {
            "documents": alert.evidence.documents,
            "negative_share": alert.evidence.negative_share,
            "starts_at": alert.starts_at.isoformat(timespec="minutes"),
        }
        for alert in found
    ]
    _show(
        rows, as_json=as_json, columns=("state", "severity", "rule", "key", "starts_at", "documents", "negative_share")
    )


@sentiment.command()
@as_json
@click.pass_obj
def rules(obj: dict[str, Any] | None, as_json: bool) -> None:
    """The rules in force."""
    import msgspec

    found = _run(obj, lambda service: service.rules(), models=False)
    rows = [{"origin": one.origin, "version": one.version, **msgspec.to_builtins(one.rule)} for one in found]
    _show(
        rows, as_json=as_json, columns=("name", "kind", "keys", "window", "negative_share", "min_documents", "origin")
    )


def _run(obj: dict[str, Any] | None, work: Callable[[SentimentService], Awaitable[T]], *, models: bool) -> T:
    from parlance_sentiment.opening import opened

    async def run() -> T:
        async with opened(obj, models=models) as service:
            return await work(service)

    return asyncio.run(run())


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    from parlance_sentiment.schemas import DocumentIn

    mapping: dict[str, str] = {}
    for entry in columns:
        field, equals, column = entry.partition("=")
        if not equals or field not in DocumentIn.__struct_fields__:
            known = ", ".join(DocumentIn.__struct_fields__)
            raise click.BadParameter(f"'{entry}' is not FIELD=COLUMN; fields are {known}.", param_hint="--column")
        mapping[field] = column
    return mapping


def _show(rows: list[dict[str, Any]], *, as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)  # for a file or a pipe nothing is cut off
    console.print(table if rows else "nothing")


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)
