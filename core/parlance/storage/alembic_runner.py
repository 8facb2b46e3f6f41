"""Applies a folder of Alembic revisions on a connection; the only module that imports Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

__all__ = ["upgrade"]


def upgrade(connection: Connection, *, owner: str, folder: Path, metadata: MetaData) -> None:
    """Run the revisions of ``folder`` that ``<owner>_migrations`` does not have yet, in the caller's transaction.

    Needs no ``env.py`` and no ``alembic.ini``.
    """
    config = Config()
    config.set_main_option("script_location", _escaped(folder))
    config.set_main_option("version_locations", _escaped(folder))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001  # what alembic.command.upgrade calls

    with EnvironmentContext(config, script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection,
            target_metadata=metadata,
            version_table=f"{owner}_migrations",
            render_as_batch=True,
            transactional_ddl=True,
        )
        environment.run_migrations()


def _escaped(folder: Path) -> str:
    """For the configuration parser, in which a percent sign begins an interpolation."""
    return str(folder.resolve()).replace("%", "%%")
