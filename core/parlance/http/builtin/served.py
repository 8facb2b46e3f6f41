"""What models there are and how they are, as the HTTP routes show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from parlance.plugins.state import ServerState

__all__ = ["ServedModel", "served_models"]


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or one version of it that is loaded."""

    name: Annotated[str, Meta(description="Name or alias to use in requests.", examples=["embed-en"])]
    task: Annotated[str, Meta(description="embed, classify, tag, score or generate.", examples=["embed"])] = ""
    version: Annotated[str, Meta(description="Version that answers at present; empty before the first load.")] = ""
    state: Annotated[str, Meta(description="`ready`, `loading`, `failed`, `unloaded` …")] = "unloaded"
    detail: Annotated[str, Meta(description="Why a model failed.")] = ""


def served_models(state: ServerState) -> list[ServedModel]:
    """Every model of the registry, with the engine's word on it where it has one, by name."""
    known = {name: ServedModel(name=name, task=task) for name, task in _registered(state)}
    status = getattr(state.engine, "status", None)
    for item in _items(status()) if status is not None else ():
        name = str(_get(item, "name") or "")
        if name:
            known[name] = ServedModel(
                name=name,
                task=str(_get(item, "task") or (known[name].task if name in known else "")),
                version=str(_get(item, "version") or ""),
                state=str(_get(item, "state") or "ready"),
                detail=str(_get(item, "detail") or _get(item, "error") or ""),
            )
    return [known[name] for name in sorted(known)]


def _registered(state: ServerState) -> Iterable[tuple[str, str]]:
    manifests: Any = getattr(state.models, "manifests", None)
    if callable(manifests):
        manifests = manifests()
    for item in _items(manifests or ()):
        yield str(_get(item, "name") or ""), str(_get(item, "task") or "")


def _items(found: Any) -> Iterable[Any]:
    if isinstance(found, dict):
        return found["models"] if isinstance(found.get("models"), list) else found.values()
    return getattr(found, "models", found)  # type: ignore[no-any-return]  # an engine may return a report or a list


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)
