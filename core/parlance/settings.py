"""Typed settings of the core, and how they are read: ``parlance.toml`` < environment (``PARLANCE_…``) < flags.

A plugin's section of the file carries the plugin's name and is decoded into the type that the plugin declares.
Secrets come from the environment or from files only (a setting named ``…_file`` holds the path of one).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from parlance.errors import ConfigError

__all__ = [
    "DatabaseSettings",
    "EngineSettings",
    "HttpClientSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "OutboxSettings",
    "PluginSettings",
    "ServerSettings",
    "Settings",
    "load_settings",
]

ENVIRONMENT_PREFIX = "PARLANCE_"
PositiveInt = Annotated[int, Meta(ge=1)]
PositiveFloat = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the settings file."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where the server listens and who may call it."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs API keys, or ``allow_anonymous``."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    server: Literal["granian", "uvicorn"] = "granian"
    """The HTTP server program; granian serves about 1.6 times as many small requests, uvicorn is easier to debug."""
    auth: Literal["auto", "on", "off"] = "auto"
    """API keys: ``auto`` asks for them everywhere but on a loopback address."""
    allow_anonymous: bool = False
    """Listen on a public address without API keys. Say so only behind a gateway that authenticates."""
    drain_s: PositiveFloat = 15.0
    """Seconds that running requests get to finish when the server is told to stop."""


class LimitSettings(Section, frozen=True, kw_only=True):
    """What one request, and one caller, may ask for."""

    body_bytes: PositiveInt = 4_000_000
    """Largest request body in bytes; above it 413."""
    batch_texts: PositiveInt = 256
    """Most texts in one request; above it 413."""
    text_chars: PositiveInt = 100_000
    """Longest text in characters; above it 422 names the index."""
    requests_per_minute: Annotated[int, Meta(ge=0)] = 0
    """Requests per minute for each API key, or address where keys are off; 0 sets no limit."""


class DatabaseSettings(Section, frozen=True, kw_only=True):
    """Where everything that must not be lost is kept."""

    url: str = "sqlite:///var/parlance.sqlite"
    """``sqlite:///path`` or ``postgresql://user:password@host/name``; a password is better in ``url_file``."""
    url_file: str = ""
    """File that holds the URL; used instead of ``url`` when set."""
    pool_size: PositiveInt = 8
    """Connections to PostgreSQL, and readers of SQLite, that one process keeps at most."""
    lock_timeout_s: PositiveFloat = 10.0
    """How long a statement waits for a lock before the request fails with 503."""
    keep_events_days: PositiveInt = 30
    """Days after which entries of the event log are deleted; a reader further behind gets 410 ``cursor_too_old``."""


class ModelSettings(Section, frozen=True, kw_only=True):
    """Which models there are and where their built forms lie."""

    cache: str = "~/.cache/parlance/models"
    """Folder of built models and fetched packages."""
    folders: tuple[str, ...] = ()
    """Further folders with manifests, beside those of the project and the plugins."""
    eager: tuple[str, ...] = ()
    """Models to load at start beside those whose manifest says so."""
    memory_mb: PositiveInt = 8192
    """Memory that loaded models may take together; a load above it is refused."""


class EngineSettings(Section, frozen=True, kw_only=True):
    """How models are run."""

    threads: Annotated[int, Meta(ge=0)] = 0
    """Forward passes at a time, each on one thread; 0 takes the number of cores."""
    runner: str = "auto"
    """``auto`` measures the runners that are installed and takes the cheapest within each model's fidelity bound;
    or one by name: ``onnxruntime``, ``openvino``, ``torch``."""
    interactive_deadline_s: PositiveFloat = 5.0
    """A call without a deadline of its own is refused when its estimated wait is longer than this."""
    background_queue_s: PositiveFloat = 120.0
    """Longest estimated wait of background work (feeds, indexing) before it is refused."""
    cache_mb: Annotated[int, Meta(ge=0)] = 64
    """Memory for embeddings of texts seen before; 0 turns the cache off."""


class OutboxSettings(Section, frozen=True, kw_only=True):
    """How webhooks are delivered."""

    attempts: PositiveInt = 20
    """Tries before a delivery becomes a dead letter; with the waits below that takes five to nine hours."""
    first_retry_s: PositiveFloat = 2.0
    """Wait before the second try; doubles each time, with jitter, up to ``longest_retry_s``."""
    longest_retry_s: PositiveFloat = 3600.0
    """Longest wait between two tries."""
    keep_days: PositiveInt = 30
    """Days after which delivered messages and their delivery log are deleted; dead letters stay until redelivered."""
    timeout_s: PositiveFloat = 10.0
    """How long one try may take before it counts as failed."""
    concurrency: PositiveInt = 8
    """Deliveries at a time."""


class HttpClientSettings(Section, frozen=True, kw_only=True):
    """Outbound HTTP: webhooks and feeds."""

    allow_private: bool = False
    """Let outbound requests reach loopback, private and link-local addresses."""
    max_response_bytes: PositiveInt = 10_000_000
    """Largest response that is read; above it the request fails."""
    timeout_s: PositiveFloat = 15.0
    """How long a request may take, unless its caller says otherwise."""


class LogSettings(Section, frozen=True, kw_only=True):
    """What is logged and how. Texts of users never are."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious events that are logged."""
    format: Literal["auto", "json", "console"] = "auto"
    """``auto``: console form on a terminal, JSON otherwise."""


class PluginSettings(Section, frozen=True, kw_only=True):
    """Which plugins run."""

    disabled: tuple[str, ...] = ()
    """Installed plugins to leave out, by name."""
    modules: tuple[str, ...] = ()
    """Further plugins by import path, ``package.module:object`` (found beside the installed ones)."""
    skip_broken: bool = False
    """Start without a plugin that fails, instead of refusing to start."""


class Settings(Section, frozen=True, kw_only=True):
    """The core's settings, whole. Sections of plugins are in ``plugin_sections``, undecoded."""

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    database: DatabaseSettings = DatabaseSettings()
    models: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    outbox: OutboxSettings = OutboxSettings()
    http_client: HttpClientSettings = HttpClientSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()


S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings with the origin of each value that was given: ``origins["server.port"]`` is ``"flag"``, a file, …"""

    core: Settings
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def plugin(self, name: str, kind: type[S]) -> S:
        """Decode a plugin's section into its own settings type.

        Raises:
            ConfigError: a key is unknown or a value is not allowed; the message names key and origin.
        """
        return _decode(dict(self.sections.get(name, {})), kind, prefix=name, origins=self.origins)


def load_settings(
    file: str | Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    plugin_names: tuple[str, ...] | None = None,
) -> LoadedSettings:
    """Read the settings.

    Args:
        file: the TOML file; ``None`` takes ``parlance.toml`` in the working folder where there is one.
        flags: values by dotted key (``"server.port"``), which win over everything; ``None`` values are left out.
        environment: ``PARLANCE_SERVER__PORT=…`` (two underscores between section and key); default the process's own.
        plugin_names: sections that plugins own; a section that is neither theirs nor the core's is an error.
            ``None`` leaves sections of plugins unchecked (commands that load no plugins).

    Raises:
        ConfigError: unreadable file, unknown section or key (the nearest known one is suggested), bad value.
    """
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    path = Path(file) if file is not None else Path("parlance.toml")
    if file is not None or path.exists():
        _merge_file(path, values, origins)
    _merge_environment(os.environ if environment is None else environment, values, origins)
    for dotted, value in (flags or {}).items():
        if value is not None:
            section, _, key = dotted.partition(".")
            values.setdefault(section, {})[key] = value
            origins[dotted] = "flag"
    core_names = Settings.__struct_fields__
    sections = {name: body for name, body in values.items() if name not in core_names}
    if plugin_names is not None:
        for name in sections:
            if name not in plugin_names:
                raise _unknown(
                    name, (*core_names, *plugin_names), what="section", origin=_section_origin(name, origins)
                )
    hints = get_type_hints(Settings)
    core = Settings(
        **{
            name: _decode(body, hints[name], prefix=name, origins=origins)
            for name, body in values.items()
            if name in core_names
        }
    )
    return LoadedSettings(core=core, sections=sections, origins=origins)


def _merge_file(path: Path, values: dict[str, dict[str, Any]], origins: dict[str, str]) -> None:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from error
    for section, body in document.items():
        if not isinstance(body, dict):
            raise ConfigError(f"{path}: '{section}' stands outside a section; write it under one, such as [server].")
        values.setdefault(section, {}).update(body)
        origins.update({f"{section}.{key}": str(path) for key in body})


def _merge_environment(
    environment: Mapping[str, str], values: dict[str, dict[str, Any]], origins: dict[str, str]
) -> None:
    for variable, raw in sorted(environment.items()):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or "__" not in name:
            continue
        section, _, key = name.lower().partition("__")
        values.setdefault(section, {})[key] = raw
        origins[f"{section}.{key}"] = f"environment {variable}"


def _decode(body: dict[str, Any], kind: type[S], *, prefix: str, origins: Mapping[str, str]) -> S:
    """Decode one section value by value, so that an error names its key and origin."""
    hints = get_type_hints(kind, include_extras=True)
    decoded: dict[str, Any] = {}
    for key, value in body.items():
        origin = origins.get(f"{prefix}.{key}", "settings")
        if key not in hints:
            raise _unknown(key, tuple(hints), what=f"key in [{prefix}]", origin=origin)
        textual = origin.startswith("environment")
        given = _from_text(value, hints[key]) if textual and isinstance(value, str) else value
        try:
            decoded[key] = msgspec.convert(given, hints[key], strict=not textual)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{origin}: {prefix}.{key} cannot be {value!r}: {error}.") from error
    try:
        return kind(**decoded)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[{prefix}]: {error}.") from error


def _from_text(value: str, hint: Any) -> Any:
    """Environment values are text: lists are separated by commas, structures are JSON, the rest msgspec coerces."""
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if value[:1] in "[{" and get_origin(kind) in (tuple, list, dict):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    if get_origin(kind) in (tuple, list):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _unknown(name: str, known: tuple[str, ...], *, what: str, origin: str) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}."
    return ConfigError(f"{origin}: '{name}' is an unknown {what}.", hint=hint)


def _section_origin(section: str, origins: Mapping[str, str]) -> str:
    return next((origin for key, origin in origins.items() if key.startswith(f"{section}.")), "settings")
