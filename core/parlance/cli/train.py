"""``parlance train``: fine-tune a model by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["train"]


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--data-root", type=click.Path(path_type=Path, file_okay=False), help="What {data} stands for in the recipe."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to write [default: the recipe's folder]."
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after so many steps (a trial run).")
@click.pass_obj
def train(
    obj: dict[str, Any] | None, recipe: Path, data_root: Path | None, out: Path | None, max_steps: int | None
) -> None:
    """Fine-tune a model: RECIPE is a recipe.toml, or the folder that holds one. Needs the train extra.

    \b
    Writes adapter/ (LoRA weights, head, calibration) and metrics.json with the scores of the held-out data:
      parlance train models/fin-sentiment --data-root ../data
      parlance models graph fin-sentiment && parlance models build fin-sentiment
    """
    import json

    from parlance.cli.models import _registry, _training

    run = _training("parlance.training.run", "run")
    registry = _registry(obj or {})
    report = run(
        recipe, registry=registry, data_root=data_root, out=out, max_steps=max_steps,
        log=lambda entry: click.echo(json.dumps(entry, ensure_ascii=False), err=True),
    )  # fmt: skip
    for name, scores in report.dev.items():
        click.echo(f"{name}: accuracy {scores.accuracy:.4f}, macro-F1 {scores.macro_f1:.4f}, texts {scores.texts}")
