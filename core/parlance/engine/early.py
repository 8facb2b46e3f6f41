"""Starts loading the eager models when the process starts, beside the imports: hashing and reading weights need no
interpreter lock."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from parlance.engine.loading import Loader
from parlance.engine.served import ServedModel
from parlance.engine.tokenise import keep_to_one_thread
from parlance.errors import ParlanceError
from parlance.models.artefact import Artefact
from parlance.models.hashing import verify_files
from parlance.runners import default_runners
from parlance.runners.machine import available_cores
from parlance.runners.memory import grow_by
from parlance.settings import Settings

__all__ = ["EarlyLoads"]

_STEP_BYTES = 64 << 20
_USUAL_STEP_BYTES = 128 << 10
_REMEDY = "Run `parlance models build NAME --force`."


class EarlyLoads:
    """Newest built versions whose artefact says ``eager``, on their way, files verified.

    It is a head start and nothing else: what is not taken is closed, what failed is loaded again in the usual way,
    which reports the error. Models whose runner has to be measured first are left out.
    """

    def __init__(self, settings: Settings) -> None:
        keep_to_one_thread()
        grow_by(_STEP_BYTES)
        cache = Path(settings.models.cache).expanduser()
        self._loader = Loader(
            default_runners(),
            wanted=settings.engine.runner,
            threads=settings.engine.threads or available_cores(),
            choices=cache / "choices",
        )
        self._lock = threading.Lock()
        self._loads: dict[str, Future[ServedModel]] = {}
        found = [artefact for file in sorted(cache.glob("*/current")) if (artefact := _read(file)) is not None]
        pool = ThreadPoolExecutor(2, thread_name_prefix="parlance-early")
        for artefact in found:
            self._loads[artefact.folder] = pool.submit(self._load, artefact)
        pool.shutdown(wait=False)

    def take(self, artefact: Artefact, loader: Loader) -> Future[ServedModel] | None:
        """The load of just this version, where ``loader`` would load it in the same way; the caller owns the result."""
        mine = self._loader
        same = (mine.wanted, mine.threads, set(mine.runners)) == (loader.wanted, loader.threads, set(loader.runners))
        with self._lock:
            return self._loads.pop(artefact.folder, None) if same else None

    def close(self) -> None:
        """Close what nobody took, now or as soon as it is loaded."""
        grow_by(_USUAL_STEP_BYTES)
        with self._lock:
            left, self._loads = self._loads, {}
        for load in left.values():
            load.add_done_callback(_close)

    def _load(self, artefact: Artefact) -> ServedModel:
        if not self._loader.is_quick(artefact):
            raise ParlanceError("The runner has to be measured first.")
        verify_files(artefact.path, artefact.files, remedy=_REMEDY)
        return self._loader.load(artefact)


def _read(current: Path) -> Artefact | None:
    try:
        folder = current.parent / current.read_text(encoding="utf-8").strip()
        artefact = msgspec.json.decode((folder / "artefact.json").read_bytes(), type=Artefact)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(artefact, folder=str(folder.resolve())) if artefact.eager else None


def _close(load: Future[ServedModel]) -> None:
    if not load.cancelled() and load.exception() is None:
        load.result().runner.close()
