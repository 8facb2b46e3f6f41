"""What this machine can do: its cores, its CPU's arithmetic, and a name to keep measurements by."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

__all__ = ["available_cores", "cpu_flags", "fast_bf16", "fingerprint", "library_versions"]

_CPU_INFO = Path("/proc/cpuinfo")
_MEASURED_LIBRARIES = ("numpy", "onnxruntime", "openvino", "torch")


def available_cores() -> int:
    """Cores that this process may run on (containers and ``taskset`` count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Instruction set flags as Linux names them (``avx2``, ``amx_bf16``, …); empty where they cannot be read."""
    for line in _cpu_info().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def fast_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX, or the AVX-512 instructions for it)."""
    return bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})


@functools.cache
def fingerprint() -> str:
    """12 hexadecimal digits that stand for the CPU model, its instructions and the number of cores."""
    model = next((line for line in _cpu_info().splitlines() if line.startswith("model name")), platform.processor())
    facts = [platform.machine(), model, *sorted(cpu_flags()), str(available_cores())]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of the installed libraries whose change makes a measurement stale."""
    versions = {}
    for name in _MEASURED_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def _cpu_info() -> str:
    try:
        return _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
