"""``parlance termbase``."""

from __future__ import annotations

import click

__all__ = ["termbase"]


@click.group()
def termbase() -> None:
    """Keep terms in two languages."""


@termbase.command()
def languages() -> None:
    """Print the languages."""
    click.echo("en zh")
