"""The ``parlance`` command: groups of the core and of the plugins, one way of reporting errors.

Exit status: 0 done, 1 failed, 2 bad input or usage, 130 interrupted. Start-up stays cheap: every group is imported only
when it is used.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from typing import Any

import click

from parlance import __version__
from parlance.errors import ParlanceError

__all__ = ["cli", "main"]

_CORE_COMMANDS = {
    "serve": ("parlance.cli.serve:serve", "Run the server."),
    "models": ("parlance.cli.models:models", "List, build and check models; move aliases."),
    "train": ("parlance.cli.train:train", "Fine-tune a model by a recipe (needs the train extra)."),
    "plugins": ("parlance.cli.plugins:plugins", "List, inspect and write plugins."),
    "config": ("parlance.cli.config:config", "Show the effective settings and where each came from."),
    "db": ("parlance.cli.database:db", "Look at the database and migrate it."),
    "keys": ("parlance.cli.keys:keys", "Create, list and revoke API keys."),
    "outbox": ("parlance.cli.outbox:outbox", "Webhooks: endpoints, deliveries, dead letters."),
}


class _Commands(click.Group):
    """Core commands and, under each plugin's name, the plugin's; imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's interface
        return [*_CORE_COMMANDS, *sorted(set(_plugin_names()) - set(_CORE_COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's interface
        if cmd_name in _CORE_COMMANDS:
            module, _, attribute = _CORE_COMMANDS[cmd_name][0].partition(":")
            command = getattr(importlib.import_module(module), attribute)
            return command if isinstance(command, click.Command) else None
        return _plugin_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's interface
        """List core commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _CORE_COMMANDS.items()])
        rows = []
        for name in sorted(set(_plugin_names()) - set(_CORE_COMMANDS)):
            command = _plugin_command(name)
            if command is not None:
                rows.append((name, command.get_short_help_str(90)))
        if rows:
            with formatter.section("Plugins"):
                formatter.write_dl(rows)


def _plugin_names() -> list[str]:
    from parlance.plugins.manager import ENTRY_POINT_GROUP

    return [entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP)]


def _plugin_command(name: str) -> click.Command | None:
    from parlance.plugins.manager import ENTRY_POINT_GROUP

    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            commands = getattr(entry_point.load(), "parlance_commands", None)
            command = commands() if commands is not None else None
        except Exception as error:  # noqa: BLE001  # a broken plugin must not take the command line with it
            click.echo(f"plugin '{name}' gives no commands: {type(error).__name__}: {error}", err=True)
            return None
        if isinstance(command, click.Command):
            command.name = name
            return command
    return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="parlance")
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False), help="Settings file [default: parlance.toml]."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, config_file: str | None, debug: bool) -> None:
    """Parlance: an NLP application server for customer service, financial sentiment and recommendation.

    \b
    Start here:
      parlance serve --demo              run the server with models and demonstration data
      parlance models list               which models there are, and which are built
      parlance support import faq.csv    fill the knowledge base
    """
    ctx.obj = {"config": config_file, "debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``parlance`` program: runs a command, reports an error in one line, exits with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        result: Any = cli.main(args=arguments, prog_name="parlance", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.Abort:
        click.echo("parlance: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ParlanceError as error:
        if debug:
            raise
        click.echo(f"parlance: {error} [{error.code}]", err=True)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # a bug: say so in one line, traceback behind --debug
        if debug:
            raise
        click.echo(f"parlance: {type(error).__name__}: {error} (show the traceback with --debug)", err=True)
        sys.exit(1)
