"""Gives freed memory back to the system: glibc keeps what a closed model has freed until it is asked."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

__all__ = ["give_back", "resident_bytes"]

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = 4096


def give_back() -> None:
    """Collect garbage and return free heap pages to the system (does nothing beyond that outside glibc)."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def resident_bytes() -> int:
    """Resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
