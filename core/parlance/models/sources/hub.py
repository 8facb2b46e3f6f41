"""Models of the Hugging Face hub, at a pinned revision; read from the local hub cache, downloaded only when allowed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from parlance.errors import BuildError
from parlance.models.sources.base import FetchContext, SourceModel
from parlance.models.sources.folder import read_folder

__all__ = ["HubSource", "hub_cache"]

_REFERENCE = re.compile(r"^(?P<repository>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})$")
_FILES = ("config.json", "tokenizer.json", "*.safetensors")


class HubSource:
    """``hf:OWNER/NAME@COMMIT``: a repository at a full commit hash."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Reads the snapshot from the hub's cache (``HF_HUB_CACHE``, ``HF_HOME``), else downloads it when it may."""
        match = _REFERENCE.match(reference)
        if match is None:
            raise BuildError(
                f"Hub reference '{reference}' is not of the form OWNER/NAME@COMMIT with a full commit hash.",
                hint="Pin the revision: 40 hexadecimal digits, as the repository's history shows them.",
            )
        repository, revision = match["repository"], match["revision"]
        folder = hub_cache(context.environment) / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
        if not folder.is_dir():
            folder = _download(repository, revision, context, wanted=folder)
        return read_folder(folder, context=context, origin=f"hub repository {reference}")


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Where the hub's own library keeps repositories."""
    if environment.get("HF_HUB_CACHE"):
        return Path(environment["HF_HUB_CACHE"]).expanduser()
    home = environment.get("HF_HOME") or "~/.cache/huggingface"
    return Path(home).expanduser() / "hub"


def _download(repository: str, revision: str, context: FetchContext, *, wanted: Path) -> Path:
    offline = context.offline or context.environment.get("HF_HUB_OFFLINE", "0").lower() not in ("", "0", "false", "no")
    remedy = f"Fetch it first: `hf download {repository} --revision {revision}`, or copy the snapshot to {wanted}."
    if offline:
        raise BuildError(f"{wanted} does not exist and the build is offline.", hint=remedy)
    if importlib.util.find_spec("huggingface_hub") is None:
        raise BuildError(f"{wanted} does not exist and huggingface_hub is not installed.", hint=remedy)
    from huggingface_hub import snapshot_download

    context.progress.step(f"downloading {repository}@{revision[:12]}")
    try:
        path = snapshot_download(
            repository, revision=revision, allow_patterns=list(_FILES), cache_dir=hub_cache(context.environment)
        )
    except Exception as error:  # the library raises network and protocol errors of several packages
        raise BuildError(f"{repository}@{revision} could not be downloaded: {error}.", hint=remedy) from error
    return Path(path)
