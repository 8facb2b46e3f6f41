"""``parlance support …``: import a knowledge base and try it, without a running server or beside one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from parlance.storage.imports import ImportReport
    from parlance_support.service import SupportService

__all__ = ["support"]

T = TypeVar("T")


@click.group()
def support() -> None:
    """Customer service: import a knowledge base, try questions, read conversations."""


@support.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["en", "zh"]), help="Of entries that do not say theirs [told by script].")
@click.option("--columns", help="The file's columns by ours: question=Frage,answer=Antwort.")
@click.option("--encoding", help="Of the files [detected: UTF-8, UTF-16, GB 18030].")
@click.option("--rejects", type=click.Path(path_type=Path), help="Where rejected rows go [FILE.rejects.jsonl].")
@click.option("--dry-run", is_flag=True, help="Check everything, store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def import_command(
    obj: dict[str, Any] | None,
    path: Path,
    language: str | None,
    columns: str | None,
    encoding: str | None,
    rejects: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import questions and answers from PATH.

    PATH is a CSV, TSV, JSONL or Markdown file, or a folder of these. In tables the columns question and answer are
    needed; variants (separated by |), language, source and id are taken where they are. In Markdown a heading is a
    question and the text under it the answer. A question that is known already is replaced. Rows that cannot be used
    are written to a rejects file with their line and reason, and never stop the others.

    \b
    parlance support import faq.csv
    parlance support import faq.xlsx.csv --columns question=标题,answer=内容 --language zh
    parlance support import docs/help --dry-run
    """
    mapping = _columns(columns)

    async def work(service: SupportService) -> list[ImportReport]:
        with _bar(as_json) as progress:
            return await service.import_path(
                path,
                language=language,
                columns=mapping,
                encoding=encoding,
                rejects=rejects,
                dry_run=dry_run,
                progress=progress,
            )

    reports = _run(obj, work)
    if as_json:
        _print_json(reports)
    else:
        _print_reports(reports, dry_run=dry_run)


@support.command("ask")
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="Print the whole decision as JSON.")
@click.pass_obj
def ask(obj: dict[str, Any] | None, text: str, as_json: bool) -> None:
    """Answer TEXT from the knowledge base; nothing is stored.

    \b
    parlance support ask "How long does delivery take?"
    parlance support ask 怎么申请退货
    """

    async def work(service: SupportService) -> Any:
        return await service.ask(text)

    answer = _run(obj, work)
    if as_json:
        _print_json({"text": answer.text, "decision": answer.decision})
        return
    click.echo(answer.text)
    for citation in answer.decision.citations:
        click.echo(f"  from '{citation.question}' ({citation.source or citation.entry_id})")
    click.echo(
        f"  confidence {answer.decision.confidence:.2f}, {'answer' if answer.decision.answerable else 'fallback'}"
    )


@support.command("conversations")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="Most conversations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def conversations(obj: dict[str, Any] | None, limit: int, as_json: bool) -> None:
    """List conversations, the one with the latest message first."""

    async def work(service: SupportService) -> Any:
        return await service.conversations(limit=limit)

    found = _run(obj, work, models=False)
    if as_json:
        _print_json(found)
        return
    for one in found:
        click.echo(f"{one.updated_at:%Y-%m-%d %H:%M:%S}  {one.id}  {one.turns} turns  {one.language}  {one.channel}")


def _columns(given: str | None) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in (given or "").split(","):
        ours, separator, theirs = pair.partition("=")
        if separator and theirs.strip():
            mapping[ours.strip()] = theirs.strip()
        elif pair.strip():
            raise click.BadParameter(f"'{pair}' is not of the form ours=theirs.", param_hint="--columns")
    return mapping


def _run(obj: dict[str, Any] | None, work: Callable[[SupportService], Awaitable[T]], *, models: bool = True) -> T:
    """Run on the configured database and models, without HTTP."""
    from parlance.session import open_context
    from parlance_support.service import SupportService

    async def whole() -> T:
        async with open_context(obj, "support", models=models) as context:
            return await work(SupportService(context))

    return asyncio.run(whole())


class _bar:  # noqa: N801  # used like a function
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("importing"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        task = self._progress.add_task("import", total=None)
        return lambda done, size: self._progress.update(task, completed=done, total=size)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _print_reports(reports: list[ImportReport], *, dry_run: bool) -> None:
    for report in reports:
        done = "could be stored" if dry_run else "stored"
        click.echo(
            f"{report.file}: {report.stored} of {report.read} entries {done} ({report.format}, {report.encoding})"
        )
        for rejected in report.first_rejects:
            click.echo(f"  line {rejected.line}: {rejected.reason}")
        if report.rejects_file:
            click.echo(f"  {report.rejected} rejected rows are in {report.rejects_file}")
    click.echo(f"{sum(report.stored for report in reports)} entries from {len(reports)} files")


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
