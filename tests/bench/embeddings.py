"""``make bench``: embeddings by our engine and our HTTP server beside raw ONNX Runtime, same texts, one run.

Read the CPU ratios first: other work on the machine disturbs them least. The HTTP part starts ``parlance serve``
without plugins and needs the project's model ``embed-en`` to be built; ``--artefact FOLDER`` takes another built model
(a folder with ``artefact.json``) for the in-process part.
"""

from __future__ import annotations

import argparse
import json
import os
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
    arguments = parser.parse_args()
    artefact = find_artefact(arguments.artefact)
    texts = corpus()
    rows: list[tuple[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        texts_file, artefact_file = Path(scratch) / "texts.json", Path(scratch) / "artefact.json"
        texts_file.write_text(json.dumps(texts), encoding="utf-8")
        artefact_file.write_bytes(msgspec.json.encode(artefact))

        def raw() -> dict[str, Any]:
            return child("raw.py", artefact.folder, texts_file, artefact.max_tokens, arguments.seconds)

        raws = [raw()]
        for concurrency in arguments.concurrency:
            for runner in arguments.runners:
                result = child("served.py", artefact_file, texts_file, runner, concurrency, arguments.seconds, scratch)
                rows.append((f"engine {result['runner']} ({runner}), c{concurrency}", result))
        if not arguments.no_http:
            for runner in arguments.runners:
                with HttpServer(runner=runner) as server:
                    for concurrency in arguments.concurrency:
                        result = load(server, texts, concurrency=concurrency, seconds=arguments.seconds)
                        rows.append((f"HTTP ({runner}), c{concurrency}", result))
        raws.append(raw())
    report(raws, rows)


def report(raws: list[dict[str, Any]], rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Print the table; ratios are against the mean of the raw runs before and after."""
    raw = {key: sum(one[key] for one in raws) for key in ("texts", "wall_s", "cpu_s")}
    table = Table(title="embeddings, one text a request; raw = ONNX Runtime fp32, sorted by length, 2 threads")
    for name in ("what", "texts/s", "p50 ms", "p99 ms", "CPU s/1000", "CPU / raw", "CPU outside model, ms"):
        table.add_column(name, justify="left" if name == "what" else "right")
    raw_cpu = raw["cpu_s"] / raw["texts"]
    for name, one in [(f"raw ONNX Runtime, run {n + 1}", one) for n, one in enumerate(raws)] + rows:
        cpu = one["cpu_s"] / one["texts"]
        table.add_row(
            name,
            f"{one['texts'] / one['wall_s']:.0f}",
            f"{one['p50_ms']:.1f}" if "p50_ms" in one else "",
            f"{one['p99_ms']:.1f}" if "p99_ms" in one else "",
            f"{cpu * 1e3:.2f}",
            f"{cpu / raw_cpu:.2f}",
            f"{one['outside_ms']:.2f}" if "outside_ms" in one else "",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
