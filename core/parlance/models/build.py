"""Builds the served form of a model: fetch, merge, fill or export, check parity, record hashes, move into place.

A build works in a hidden folder of the cache and appears by one rename; what an interrupted one left is removed by
the next. A lock file keeps two builds of a model apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from parlance.errors import BuildError
from parlance.models.artefact import Artefact
from parlance.models.graph import Blocks, fill_graph
from parlance.models.hashing import records, sha256_file
from parlance.models.lora import ADAPTER_FILES, Adapted, Calibration, read_calibration, read_head
from parlance.models.manifest import Manifest
from parlance.models.parity import Parity, check_parity, run_graph, tokenise
from parlance.models.progress import SILENT, Progress
from parlance.models.sources.base import FetchContext, ModelSource, SourceModel

__all__ = ["BUILDER_VERSION", "BuildRequest", "build_model", "fetch_source", "local_hash", "prefix_of"]

BUILDER_VERSION = 1
"""Raised when the same inputs give another artefact, so that caches are built anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build and with what. ``base`` and ``base_folder`` belong to the base model of an adapter."""

    manifest: Manifest
    folder: Path
    cache: Path
    sources: Mapping[str, ModelSource]
    base: Manifest | None = None
    base_folder: Path | None = None
    offline: bool = False
    environment: Mapping[str, str]
    progress: Progress = SILENT


def prefix_of(prefixes: Mapping[str, str]) -> str:
    """The prefix that parity sentences get: the one of all roles, else the passage's, else none."""
    return prefixes.get("*", prefixes.get("passage", ""))


def local_hash(manifest_folders: list[Path]) -> str:
    """Hash over the small files that decide a build: manifests, graphs, references, adapters, builder version."""
    digest = hashlib.sha256(f"builder {BUILDER_VERSION}".encode())
    for folder in manifest_folders:
        for name in ("model.toml", "graph.onnx", "reference.npz", *(f"adapter/{part}" for part in ADAPTER_FILES)):
            path = folder / name
            if path.is_file():
                digest.update(f"{name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def build_model(request: BuildRequest) -> Artefact:
    """Builds one model and makes it the current version.

    Raises:
        BuildError: a source, parity, or disk problem; the cache is as it was before.
    """
    home = request.cache / request.manifest.name
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home / ".lock", request.manifest.name, request.progress):
            for stale in home.glob(".build-*"):
                shutil.rmtree(stale, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=home))
            try:
                return _build(request, home, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise BuildError(
                f"The disk of {request.cache} is full while building '{request.manifest.name}'.",
                hint="Free about 1 GB, or choose another folder with the setting models.cache.", code="disk_full",
            ) from error  # fmt: skip
        raise BuildError(f"Building '{request.manifest.name}' failed: {error}.") from error


def _build(request: BuildRequest, home: Path, scratch: Path) -> Artefact:
    manifest, started = request.manifest, time.monotonic()
    timings: dict[str, float] = {}
    request.progress.step(f"{manifest.name}: fetching weights", total=4)
    source = fetch_source(request)
    timings["fetch_s"] = round(time.monotonic() - started, 2)
    request.progress.advance(1)
    calibration = Calibration()
    tensors: Mapping[str, NDArray[Any]] = source.tensors
    head: dict[str, NDArray[np.float32]] = {}
    if manifest.adapter is not None:
        adapter = request.folder / manifest.adapter.folder
        tensors, head, calibration = Adapted(source.tensors, adapter), read_head(adapter), read_calibration(adapter)
    shutil.copyfile(source.tokenizer, scratch / "tokenizer.json")
    pad_id = int(source.config.get("pad_token_id") or 0)
    request.progress.step(f"{manifest.name}: writing the graph", total=4)
    inputs = tokenise(
        scratch / "tokenizer.json", manifest.parity.texts, prefix=prefix_of(manifest.prefixes),
        max_tokens=manifest.max_tokens, pad_id=pad_id,
    )  # fmt: skip
    at = time.monotonic()
    if (request.folder / "graph.onnx").is_file():
        expected = _fill(request, scratch, source, tensors, head)
    else:
        expected = _export(request, scratch, source, tensors, head, inputs)
    timings["graph_s"] = round(time.monotonic() - at, 2)
    request.progress.advance(2)
    request.progress.step(f"{manifest.name}: checking parity", total=4)
    actual = run_graph(scratch / "model.onnx", inputs)
    parity = check_parity(manifest.task, actual, expected, bound=manifest.parity.bound, model=manifest.name)
    names = [path.name for path in scratch.iterdir()]
    files = records(scratch, names)
    folders = [request.folder, *([request.base_folder] if request.base_folder else [])]
    local = local_hash(folders)
    version = hashlib.sha256(
        msgspec.json.encode({"local": local, "sources": sorted(source.files.items())})
    ).hexdigest()[:12]
    artefact = Artefact(
        name=manifest.name, version=version, task=manifest.task, max_tokens=manifest.max_tokens, pad_id=pad_id,
        width=int(source.config["hidden_size"]), labels=manifest.labels, multi_label=manifest.multi_label,
        prefixes=manifest.prefixes, temperature=calibration.temperature, threshold=calibration.threshold,
        precisions=manifest.precisions, fidelity=manifest.fidelity, parity_texts=manifest.parity.texts,
        eager=manifest.eager, files=files,
    )  # fmt: skip
    log = {
        "builder": BUILDER_VERSION, "local_hash": local, "sources": source.files, "parity": _builtins(parity),
        "timings": timings | {"total_s": round(time.monotonic() - started, 2)},
    }  # fmt: skip
    (scratch / "build.json").write_bytes(msgspec.json.format(msgspec.json.encode(log), indent=2))
    (scratch / "artefact.json").write_bytes(msgspec.json.format(msgspec.json.encode(artefact), indent=2))
    _settle(scratch, home, version)
    request.progress.advance(1)
    return msgspec.structs.replace(artefact, folder=str((home / version).resolve()))


def _builtins(parity: Parity) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(parity)
    return result


def fetch_source(request: BuildRequest) -> SourceModel:
    """Fetches the weights of the manifest's source, or of its base model's.

    Raises:
        BuildError: the scheme is unknown, or the source failed.
    """
    owner, folder = request.manifest, request.folder
    if owner.adapter is not None:
        if request.base is None or request.base_folder is None:
            raise BuildError(f"The base '{owner.adapter.base}' of '{owner.name}' has no manifest.")
        owner, folder = request.base, request.base_folder
    if owner.source is None:
        raise BuildError(f"The base '{owner.name}' is itself an adapter; give a base with a source.")
    scheme, _, reference = owner.source.uri.partition(":")
    source = request.sources.get(scheme)
    if source is None:
        raise BuildError(
            f"Model '{owner.name}' comes from '{scheme}:', which no source knows.",
            hint=f"Known: {', '.join(sorted(request.sources))}.",
        )
    return source.fetch(
        reference,
        FetchContext(
            cache=request.cache / ".sources",
            base_folder=folder,
            sha256=owner.source.sha256,
            offline=request.offline,
            environment=request.environment,
            progress=request.progress,
        ),
    )


def _fill(
    request: BuildRequest, scratch: Path, source: SourceModel, tensors: Mapping[str, NDArray[Any]],
    head: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:  # fmt: skip
    """Fills the shipped graph; gives the reference outputs that were stored with it."""

    def tensor(name: str) -> NDArray[Any]:
        part, _, rest = name.partition(".")
        return head[rest] if part == "head" else tensors[rest]

    def blocks(name: str) -> Blocks | None:
        exact = getattr(source.tensors, "blocks", None)
        rest = name.partition(".")[2]
        changed = tensors.changed if isinstance(tensors, Adapted) else frozenset()
        return None if exact is None or rest in changed else exact(rest)

    reference = request.folder / "reference.npz"
    try:
        graph = onnx.load(request.folder / "graph.onnx", load_external_data=False)
        with np.load(reference, allow_pickle=False) as stored:
            expected: NDArray[np.float32] = stored["outputs"]
    except OSError as error:
        raise BuildError(f"{error.filename or reference} cannot be read: {error.strerror}.") from error
    except Exception as error:  # protobuf and zip errors of several libraries: a damaged shipped file
        raise BuildError(f"graph.onnx or reference.npz in {request.folder} is damaged: {error}.") from error
    fill_graph(graph, scratch, tensor=tensor, blocks=blocks)
    return expected


def _export(
    request: BuildRequest, scratch: Path, source: SourceModel, tensors: Mapping[str, NDArray[Any]],
    head: Mapping[str, NDArray[np.float32]], inputs: dict[str, NDArray[np.int64]],
) -> NDArray[np.float32]:  # fmt: skip
    """Exports with torch; gives the torch model's outputs on the parity sentences."""
    try:
        from parlance.training import export
    except ImportError as error:
        raise BuildError(
            f"Model '{request.manifest.name}' has no ready graph, so building it needs torch and transformers, "
            f"which are not installed ({error.name}).",
            hint="Run: pip install 'parlance[train]'",
        ) from error
    network = export.make_network(request.manifest, source, tensors, head)
    graph, parameters = export.export_graph(network)
    fill_graph(graph, scratch, tensor=parameters.__getitem__, blocks=lambda _: None)
    return export.reference_outputs(network, inputs)


def _settle(scratch: Path, home: Path, version: str) -> None:
    """Makes the finished build durable and visible: sync, rename, pointer."""
    for path in [*scratch.iterdir(), scratch]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    target = home / version
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=".build-old-", dir=home))
        target.replace(old / version)
        scratch.replace(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        scratch.replace(target)
    target.chmod(0o755)
    pointer = home / ".current.new"
    pointer.write_text(version, encoding="utf-8")
    pointer.replace(home / "current")
    handle = os.open(home, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _lock(path: Path, name: str, progress: Progress) -> Iterator[None]:
    """Holds the build lock of one model; the system releases it when the process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step(f"{name}: waiting for another build of it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
