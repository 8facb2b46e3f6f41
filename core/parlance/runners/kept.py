"""What runners keep beside a built model (compiled or quantised forms): hidden folders next to the version's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from parlance.models.artefact import Artefact

__all__ = ["KINDS", "clean", "kept_folder"]

KINDS = ("int8", "openvino")


def kept_folder(artefact: Artefact, kind: str) -> Path:
    """``<cache>/<name>/.<version>.<kind>``; may be deleted at any time, it is made again."""
    return artefact.path.parent / f".{artefact.path.name}.{kind}"


def clean(artefact: Artefact, *, keep: str | None) -> list[Path]:
    """Delete this version's kept forms but ``keep``, and all those of versions that are gone; returns what went."""
    gone = []
    for folder in artefact.path.parent.glob(".*"):
        version, _, kind = folder.name[1:].rpartition(".")
        if kind not in KINDS or not version or not folder.is_dir():
            continue
        mine = version == artefact.path.name
        if (mine and kind != keep) or not (folder.parent / version).is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone
