"""``parlance serve``: build what is missing, check that the server may listen, run it, and print what to try."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

import click

__all__ = ["serve"]


@click.command()
@click.option("--host", help="Address to listen on [default: 127.0.0.1]. Other than loopback needs API keys.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port [default: 8000].")
@click.option("--database", help="Database URL [default: sqlite:///var/parlance.sqlite].")
@click.option("--demo", is_flag=True, help="Load the plugins' demonstration data (once).")
@click.option("--build/--no-build", default=True, help="Build missing models first [default: build].")
@click.option("--server", type=click.Choice(["granian", "uvicorn"]), help="HTTP server program [default: granian].")
@click.option("--runner", help="auto, onnxruntime, openvino or torch [default: auto: measured].")
@click.option("--allow-anonymous", is_flag=True, default=None, help="Listen publicly without API keys.")
@click.option("--skip-broken-plugins", is_flag=True, default=None, help="Start without a plugin that fails.")
@click.pass_obj
def serve(
    obj: dict[str, Any] | None,
    host: str | None,
    port: int | None,
    database: str | None,
    demo: bool,
    build: bool,
    server: str | None,
    runner: str | None,
    allow_anonymous: bool | None,
    skip_broken_plugins: bool | None,
) -> None:
    """Run the server.

    \b
    parlance serve --demo                          with demonstration data, on http://127.0.0.1:8000
    parlance serve --database postgresql://…       on PostgreSQL
    parlance serve --host 0.0.0.0                  needs keys: parlance keys create NAME --scope …
    """
    from parlance.serving import run
    from parlance.settings import load_settings

    flags = {
        "server.host": host,
        "server.port": port,
        "server.server": server,
        "server.allow_anonymous": allow_anonymous,
        "database.url": database,
        "engine.runner": runner,
        "plugins.skip_broken": skip_broken_plugins,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    loaded = load_settings((obj or {}).get("config"), flags=given)
    _check_port(loaded.core.server.host, loaded.core.server.port)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run(loaded, demo=demo, prepare=partial(_build_missing, loaded) if build else None)


def _build_missing(loaded: Any) -> None:
    """Build the models that the server loads at start, with a progress display; nothing is shown when all are there."""
    from parlance.cli.models import build_missing

    build_missing(loaded)


def _check_port(host: str, port: int) -> None:
    """Say at once, and in one line, that the port cannot be had."""
    from parlance.errors import Conflict

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"Cannot listen on {host}:{port}: {error.strerror}.",
                hint="Stop the program that has the port, or choose another with --port.",
                code="port_in_use",
            ) from error
