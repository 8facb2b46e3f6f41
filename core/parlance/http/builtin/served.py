"""What models there are and how they are, as the HTTP routes show it."""

from __future__ import annotations

from typing import Annotated

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
    model: Annotated[str, Meta(description="The model that an alias stands for.")] = ""
    runner: Annotated[str, Meta(description="What computes it.", examples=["onnxruntime"])] = ""
    precision: Annotated[str, Meta(description="Arithmetic of its forward pass.", examples=["fp32"])] = ""
    memory_mb: Annotated[int, Meta(description="Memory that it takes, in megabytes.")] = 0
    eager: Annotated[bool, Meta(description="The server is ready only while this model is.")] = False


def served_models(state: ServerState) -> list[ServedModel]:
    """Every model and alias of the registry, with the engine's word on it where it has one, by name."""
    known: dict[str, ServedModel] = {}
    registry = state.models
    if registry is not None:
        for name in registry.names():
            known[name] = ServedModel(name=name, task=registry.manifest(name).task)
        for alias, (name, version) in registry.aliases().items():
            task = known[name].task if name in known else ""
            known[alias] = ServedModel(name=alias, model=name, task=task, version=version or "")
    status = getattr(state.engine, "status", None)
    for item in status().models if status is not None else ():
        known[item.name] = ServedModel(
            name=item.name,
            model=item.model,
            task=item.task or (known[item.name].task if item.name in known else ""),
            version=item.version,
            state=item.state,
            detail=item.detail,
            runner=item.runner,
            precision=item.precision,
            memory_mb=item.memory_mb,
            eager=item.eager,
        )
    return [known[name] for name in sorted(known)]
