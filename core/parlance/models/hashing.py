"""SHA-256 of files, several at once (hashlib releases the GIL), and once for each state of a file in a process."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from parlance.errors import IntegrityError
from parlance.models.artefact import FileRecord

__all__ = ["record", "records", "sha256_file", "verify_files"]

_BLOCK_BYTES = 16_000_000
"""Large, because every block has to wait for the interpreter lock (5 ms beside busy threads)."""

_State = tuple[int, int, int, int, int]
_hashed: dict[_State, Future[str]] = {}
_lock = threading.Lock()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(min(_BLOCK_BYTES, max(1, path.stat().st_size)))
        view = memoryview(buffer)
        while size := file.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()


def record(path: Path) -> FileRecord:
    """Identity of one file: size and hash."""
    return FileRecord(sha256=sha256_file(path), size_bytes=path.stat().st_size)


def records(folder: Path, names: Iterable[str]) -> dict[str, FileRecord]:
    """Identity of every named file of ``folder``, hashed in parallel."""
    listed = sorted(names)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(listed, pool.map(lambda name: record(folder / name), listed), strict=True))


def _sha256_once(path: Path) -> str:
    """The hash of a file's present state: computed once in this process, whoever asks, whatever links lead to it."""
    stat = path.stat()
    state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    with _lock:
        known = _hashed.get(state)
        own = known is None
        if known is None:
            known = _hashed[state] = Future()
    if own:
        try:
            known.set_result(sha256_file(path))
        except BaseException as error:
            with _lock:
                del _hashed[state]
            known.set_exception(error)
            raise
    return known.result()


def _sha256_all(folder: Path, names: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(lambda name: _sha256_once(folder / name), names), strict=True))


def verify_files(folder: Path, expected: dict[str, FileRecord], *, remedy: str) -> None:
    """Compares size and hash of every file with what was recorded.

    Raises:
        IntegrityError: a file is missing, has another size or other bytes; names file, expected, actual and ``remedy``.
    """
    for name, known in sorted(expected.items()):
        path = folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise IntegrityError(f"{path} is missing or cannot be read.", hint=remedy, file=str(path)) from error
        if size != known.size_bytes:
            raise IntegrityError(
                f"{path} has {size} bytes, expected {known.size_bytes}.",
                hint=remedy,
                file=str(path),
                expected=known.size_bytes,
                actual=size,
            )
    try:
        actual = _sha256_all(folder, sorted(expected))
    except OSError as error:
        raise IntegrityError(f"A file of {folder} cannot be read: {error}.", hint=remedy, file=str(folder)) from error
    for name, known in sorted(expected.items()):
        if actual[name] != known.sha256:
            raise IntegrityError(
                f"{folder / name} has SHA-256 {actual[name]}, expected {known.sha256}.",
                hint=remedy,
                file=str(folder / name),
                expected=known.sha256,
                actual=actual[name],
            )
