"""``make bench``: embeddings by our engine and our HTTP server beside raw ONNX Runtime, same texts, one run.

Read the CPU ratios first: other work on the machine disturbs them least, and ``--rounds 5`` gives medians. The HTTP
part starts ``parlance serve`` without plugins and needs the project's model ``embed-en`` to be built; ``--artefact
FOLDER`` takes another built model (a folder with ``artefact.json``) for the in-process part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from corpus import corpus
from http_load import HttpServer, load
from parlance.models.artefact import Artefact

HERE = Path(__file__).parent
RAW = "raw ONNX Runtime"


def child(script: str, *arguments: object) -> dict[str, Any]:
    """Run one measurement in a process of its own, so that its CPU time is its own."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "core"), "TOKENIZERS_PARALLELISM": "false"}
    ran = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])


def find_artefact(given: str | None) -> Artefact:
    """The built model to measure."""
    if given is None:
        from parlance.app import build_registry
        from parlance.builtin import CorePlugin
        from parlance.plugins.manager import PluginManager
        from parlance.settings import load_settings

        settings = load_settings()
        manager = PluginManager(settings.core.plugins, builtin={"core": CorePlugin()})
        return build_registry(settings, manager).resolve("embed-en")
    folder = Path(given).resolve()
    artefact = msgspec.json.decode((folder / "artefact.json").read_bytes(), type=Artefact)
    return msgspec.structs.replace(artefact, folder=str(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artefact")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--runners", nargs="+", default=["onnxruntime", "auto"])
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument("--rounds", type=int, default=1, help="repeat everything; medians are printed")
    arguments = parser.parse_args()
    artefact = find_artefact(arguments.artefact)
    texts = corpus()
    rounds: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        texts_file, artefact_file = Path(scratch) / "texts.json", Path(scratch) / "artefact.json"
        texts_file.write_text(json.dumps(texts), encoding="utf-8")
        artefact_file.write_bytes(msgspec.json.encode(artefact))

        def raw() -> dict[str, Any]:
            return child("raw.py", artefact.folder, texts_file, artefact.max_tokens, arguments.seconds)

        before = raw()
        for _ in range(arguments.rounds):
            rows: dict[str, dict[str, Any]] = {}
            for concurrency in arguments.concurrency:
                for runner in arguments.runners:
                    result = child(
                        "served.py", artefact_file, texts_file, runner, concurrency, arguments.seconds, scratch
                    )
                    rows[f"engine {result['runner']} ({runner}), c{concurrency}"] = result
            if not arguments.no_http:
                for runner in arguments.runners:
                    with HttpServer(runner=runner) as server:
                        for concurrency in arguments.concurrency:
                            result = load(server, texts, concurrency=concurrency, seconds=arguments.seconds)
                            rows[f"HTTP ({runner}), c{concurrency}"] = result
            after = raw()
            mean = {key: (before[key] + after[key]) / 2 for key in ("texts", "wall_s", "cpu_s")}
            rounds.append({RAW: mean, **rows})
            before = after
    report(rounds)


def figures(one: dict[str, Any], raw: dict[str, Any]) -> dict[str, float]:
    """The columns of one row of one round."""
    cpu = one["cpu_s"] / one["texts"]
    columns = {"texts/s": one["texts"] / one["wall_s"], "CPU s/1000": cpu * 1e3}
    columns["CPU / raw"] = cpu / (raw["cpu_s"] / raw["texts"])
    named = {"p50 ms": "p50_ms", "p99 ms": "p99_ms", "CPU outside model, ms": "outside_ms"}
    return columns | {column: one[key] for column, key in named.items() if key in one}


def report(rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Print the medians over the rounds; ratios are against the raw runs before and after their own round."""
    many = f"; medians of {len(rounds)} rounds, ratios with their range" if len(rounds) > 1 else ""
    table = Table(title=f"embeddings, one text a request; raw = ONNX Runtime fp32, sorted by length, 2 threads{many}")
    columns = {"texts/s": 0, "p50 ms": 1, "p99 ms": 1, "CPU s/1000": 2, "CPU / raw": 2, "CPU outside model, ms": 2}
    for name in ("what", *columns):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name in rounds[0]:
        found = [figures(rows[name], rows[RAW]) for rows in rounds if name in rows]
        cells = []
        for column, digits in columns.items():
            values = [one[column] for one in found if column in one]
            cell = f"{statistics.median(values):.{digits}f}" if values else ""
            if column == "CPU / raw" and len(values) > 1:
                cell += f" ({min(values):.2f}–{max(values):.2f})"
            cells.append(cell)
        table.add_row(name, *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
