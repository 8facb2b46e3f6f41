"""All models that are known here: manifests by name, built versions in the cache, aliases."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from parlance.errors import ConfigError, Conflict, IntegrityError, NotFound, Unavailable
from parlance.models.aliases import AliasFile, AliasTarget
from parlance.models.artefact import Artefact
from parlance.models.hashing import verify_files
from parlance.models.manifest import Manifest, load_manifest
from parlance.models.progress import SILENT, Progress
from parlance.models.sources import default_sources
from parlance.models.sources.base import ModelSource
from parlance.models.strict import nearest

if TYPE_CHECKING:
    from parlance.models.build import BuildRequest

__all__ = ["ModelRegistry"]


class ModelRegistry:
    """Manifests under ``folders`` and their built versions under ``cache/<name>/<version>/``.

    Every method reads the disk and may be called from any thread; ``resolve`` hashes files the first time.

    Args:
        folders: folders whose subfolders hold a ``model.toml``; one that does not exist is skipped.
        cache: folder of built models.
        sources: sources by scheme; the core's own when not given.
        environment: variables that sources may read; the process's when not given.

    Raises:
        ConfigError: a manifest is wrong, or two models or aliases have the same name.
    """

    def __init__(
        self, folders: Iterable[Path], cache: Path, *, sources: Mapping[str, ModelSource] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.cache = Path(cache).expanduser()
        self._sources = dict(sources) if sources else default_sources()
        self._environment = dict(os.environ if environment is None else environment)
        self._manifests: dict[str, tuple[Manifest, Path]] = {}
        self._defaults: dict[str, AliasTarget] = {}
        self._aliases = AliasFile(self.cache)
        self._verified: dict[str, tuple[tuple[str, int, int], ...]] = {}
        for folder in folders:
            self._read(Path(folder))
        self._seen = self._stamp()

    def names(self) -> list[str]:
        """Names of all models with a manifest, sorted."""
        return sorted(self._manifests)

    def manifest(self, name: str) -> Manifest:
        """The manifest of a model.

        Raises:
            NotFound: code ``unknown_model``, with the nearest name.
        """
        return self._entry(name)[0]

    def folder(self, name: str) -> Path:
        """The folder of a model's manifest."""
        return self._entry(name)[1]

    def aliases(self) -> dict[str, tuple[str, str | None]]:
        """Aliases with their targets (name, version); version ``None`` follows the newest build."""
        merged = {**self._defaults, **self._aliases.read()}
        return {alias: (target.name, target.version) for alias, target in sorted(merged.items())}

    def set_alias(self, alias: str, name: str, version: str | None = None) -> None:
        """Points an alias at a built version, or at the newest one.

        Raises:
            NotFound: no such model or version.
            Conflict: a model has the alias's name.
            ValidationFailed: the alias is no valid name.
        """
        if alias in self._manifests:
            raise Conflict(f"'{alias}' is the name of a model and cannot be an alias.", code="alias_is_model")
        self.manifest(name)
        if version is not None and version not in self.versions(name):
            raise NotFound(
                f"Model '{name}' has no built version '{version}'.", hint=nearest(version, self.versions(name)),
                code="unknown_version", model=name,
            )  # fmt: skip
        self._aliases.write(alias, AliasTarget(name, version))

    def remove_alias(self, alias: str) -> None:
        """Removes an alias; one that a manifest declares falls back to its manifest.

        Raises:
            NotFound: there is no such alias.
        """
        known = self._aliases.read()
        if alias not in known:
            raise NotFound(f"Alias '{alias}' is not set.", hint=nearest(alias, sorted(known)), code="unknown_alias")
        self._aliases.write(alias, None)

    def versions(self, name: str) -> list[str]:
        """Built versions of a model in the cache, sorted by name."""
        home = self.cache / name
        return sorted(path.parent.name for path in home.glob("[0-9a-f]*/artefact.json")) if home.is_dir() else []

    def current(self, name: str) -> str | None:
        """The newest built version, ``None`` when there is none."""
        try:
            version = (self.cache / name / "current").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return version if (self.cache / name / version / "artefact.json").is_file() else None

    def is_current(self, name: str) -> bool:
        """Whether a version is built and the manifest's files are those that it was built from."""
        from parlance.models.build import local_hash

        version = self.current(name)
        if version is None:
            return False
        try:
            log = msgspec.json.decode((self.cache / name / version / "build.json").read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):
            return False
        return bool(log.get("local_hash") == local_hash(self._folders(name)))

    def resolve(self, name_or_alias: str, *, verify: bool = True) -> Artefact:
        """The built version that a name, an alias or ``name@version`` stands for.

        ``verify`` compares every file with its recorded hash, once for each state of the files.

        Raises:
            NotFound: code ``unknown_model``, with the nearest name.
            Unavailable: code ``model_not_built``, with the command to run.
            IntegrityError: a file is not what was recorded; names it.
        """
        name, version = self._target(name_or_alias)
        version = version or self.current(name)
        folder = self.cache / name / (version or "")
        if version is None or not (folder / "artefact.json").is_file():
            what = f"'{name}'" if version is None else f"'{name}' version {version}"
            raise Unavailable(
                f"Model {what} is not built.", hint=f"Run `parlance models build {name}`.", code="model_not_built",
                model=name,
            )  # fmt: skip
        remedy = f"Run `parlance models build {name} --force`."
        try:
            artefact = msgspec.json.decode((folder / "artefact.json").read_bytes(), type=Artefact)
        except (OSError, msgspec.MsgspecError) as error:
            raise IntegrityError(f"{folder / 'artefact.json'} is damaged: {error}.", hint=remedy) from error
        if verify:
            self._verify(folder, artefact, remedy)
        return msgspec.structs.replace(artefact, folder=str(folder.resolve()))

    def build(self, name: str, *, force: bool = False, offline: bool = False, progress: Progress = SILENT) -> Artefact:
        """Builds a model unless its newest version is up to date.

        Raises:
            NotFound: no such model.
            BuildError: the build could not be finished; the cache is as it was before.
        """
        # Building needs libraries that serving does not: imported when it comes to that.
        from parlance.models.build import build_model

        if not force and self.is_current(name):
            return self.resolve(name)
        artefact = build_model(self.request(name, offline=offline, progress=progress))
        self._verified.pop(artefact.folder, None)
        return artefact

    def request(self, name: str, *, offline: bool = False, progress: Progress = SILENT) -> BuildRequest:
        """Everything that a build of the model needs.

        Raises:
            NotFound: no such model, or no such base.
        """
        from parlance.models.build import BuildRequest

        manifest, folder = self._entry(name)
        base, base_folder = self._entry(manifest.adapter.base) if manifest.adapter else (None, None)
        return BuildRequest(
            manifest=manifest, folder=folder, cache=self.cache, sources=self._sources, base=base,
            base_folder=base_folder, offline=offline, environment=self._environment, progress=progress,
        )  # fmt: skip

    def ensure_built(self, names: Sequence[str] | None = None, progress: Progress = SILENT) -> list[Artefact]:
        """Builds what is missing or out of date among ``names`` (all default models when not given)."""
        wanted = [name for name in self.names() if self.manifest(name).default] if names is None else names
        return [self.build(self._target(name)[0], progress=progress) for name in wanted]

    def changed(self) -> bool:
        """Whether an alias was moved or a model was built since the last call."""
        now = self._stamp()
        moved, self._seen = now != self._seen, now
        return moved

    def _stamp(self) -> tuple[int, ...]:
        stamps = [self._aliases.stamp()]
        for name in sorted(self._manifests):
            try:
                stamps.append((self.cache / name / "current").stat().st_mtime_ns)
            except OSError:
                stamps.append(0)
        return tuple(stamps)

    def _read(self, folder: Path) -> None:
        for file in sorted(folder.glob("*/model.toml")):
            manifest = load_manifest(file.parent)
            if manifest.name in self._manifests:
                other = self._manifests[manifest.name][1]
                if other.resolve() == file.parent.resolve():
                    continue
                raise ConfigError(f"Two models are named '{manifest.name}': {other} and {file.parent}.", file=str(file))
            self._manifests[manifest.name] = (manifest, file.parent)
            for alias in manifest.aliases:
                if alias in self._defaults:
                    raise ConfigError(f"{file}: alias '{alias}' is declared by two models.", file=str(file))
                self._defaults[alias] = AliasTarget(manifest.name)

    def _entry(self, name: str) -> tuple[Manifest, Path]:
        try:
            return self._manifests[name]
        except KeyError:
            raise NotFound(
                f"There is no model '{name}'.", hint=nearest(name, [*self.names(), *self.aliases()]),
                code="unknown_model", model=name,
            ) from None  # fmt: skip

    def _folders(self, name: str) -> list[Path]:
        manifest, folder = self._entry(name)
        return [folder, self._entry(manifest.adapter.base)[1]] if manifest.adapter else [folder]

    def _target(self, name_or_alias: str) -> tuple[str, str | None]:
        if name_or_alias in self._manifests:
            return name_or_alias, None
        aliases = self.aliases()
        if name_or_alias in aliases:
            name, version = aliases[name_or_alias]
            return self._entry(name)[0].name, version
        name, _, version = name_or_alias.partition("@")
        if version and name in self._manifests and version in self.versions(name):
            return name, version
        self._entry(name_or_alias)
        return name_or_alias, None

    def _verify(self, folder: Path, artefact: Artefact, remedy: str) -> None:
        try:
            state = tuple(
                (name, (stat := (folder / name).stat()).st_size, stat.st_mtime_ns) for name in sorted(artefact.files)
            )
        except OSError as error:
            raise IntegrityError(f"{error.filename} is missing or cannot be read.", hint=remedy) from error
        key = str(folder.resolve())
        if self._verified.get(key) != state:
            verify_files(folder, artefact.files, remedy=remedy)
            self._verified[key] = state
