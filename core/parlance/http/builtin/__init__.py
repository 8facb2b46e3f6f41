"""The core's own HTTP features, as plugins that use the same hooks as everybody else's."""

from __future__ import annotations

from parlance.http.builtin.admin import AdminPlugin
from parlance.http.builtin.console import ConsolePlugin
from parlance.http.builtin.health import HealthPlugin
from parlance.http.builtin.inference import InferencePlugin
from parlance.plugins.state import ServerState

__all__ = ["builtin_plugins"]


def builtin_plugins(state: ServerState) -> dict[str, object]:
    """The built-in plugins by name, over the running server's state."""
    return {
        "inference": InferencePlugin(state),
        "admin": AdminPlugin(state),
        "health": HealthPlugin(state),
        "console": ConsolePlugin(state),
    }
