"""Settings come from file, environment and flags; what is wrong is named with its origin and the nearest known name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from parlance.errors import ConfigError
from parlance.plugins.reference import settings_reference
from parlance.settings import Settings, load_settings


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plugin's section."""

    words: tuple[str, ...] = ()
    weights: dict[str, float] = {}
    threshold: float = 0.5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "parlance.toml"
    path.write_text('[server]\nport = 1111\nhost = "::1"\n[glossary]\nthreshold = 0.7\n', encoding="utf-8")
    return path


def test_without_anything_every_setting_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_settings(environment={})
    assert loaded.core == Settings()
    assert loaded.origins == {}


def test_the_file_of_the_working_folder_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load_settings(environment={}).core.server.port == 1111


def test_flags_win_over_the_environment_and_that_over_the_file(file: Path) -> None:
    environment = {"PARLANCE_SERVER__PORT": "2222"}
    loaded = load_settings(file, environment=environment, flags={"server.port": 3333})
    assert (loaded.core.server.port, loaded.core.server.host) == (3333, "::1")
    assert loaded.origins["server.port"] == "flag"
    loaded = load_settings(file, environment=environment, flags={"server.port": None})
    assert loaded.core.server.port == 2222
    assert loaded.origins["server.port"] == "environment PARLANCE_SERVER__PORT"
    assert loaded.origins["server.host"] == str(file)


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("PARLANCE_SERVER__ALLOW_ANONYMOUS", "true", "server.allow_anonymous", True),
        ("PARLANCE_SERVER__DRAIN_S", "2.5", "server.drain_s", 2.5),
        ("PARLANCE_PLUGINS__DISABLED", "support, sentiment", "plugins.disabled", ("support", "sentiment")),
        ("PARLANCE_PLUGINS__DISABLED", '["support"]', "plugins.disabled", ("support",)),
        ("PARLANCE_LOG__LEVEL", "debug", "log.level", "debug"),
    ],
)
def test_environment_values_are_text_that_is_converted(variable: str, value: str, key: str, expected: Any) -> None:
    section, _, name = key.partition(".")
    loaded = load_settings(environment={variable: value}, flags={"log.format": "json"})
    assert getattr(getattr(loaded.core, section), name) == expected


def test_a_plugins_section_is_decoded_into_its_own_type(file: Path) -> None:
    environment = {"PARLANCE_GLOSSARY__WORDS": "dividend,股息", "PARLANCE_GLOSSARY__WEIGHTS": '{"股息": 2}'}
    loaded = load_settings(file, environment=environment)
    assert loaded.plugin("glossary", Section) == Section(
        words=("dividend", "股息"), weights={"股息": 2.0}, threshold=0.7
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PARLANCE_SERVER__PROT": "1"}, r"environment PARLANCE_SERVER__PROT: 'prot' .*Did you mean 'port'\?"),
        ({"PARLANCE_SERVER__PORT": "high"}, r"environment PARLANCE_SERVER__PORT: server\.port cannot be 'high'"),
        ({"PARLANCE_SERVER__PORT": "70000"}, r"server\.port cannot be '70000': .*65535"),
        ({"PARLANCE_SERVER__AUTH": "maybe"}, r"server\.auth cannot be 'maybe'"),
        ({"PARLANCE_LIMITS__BATCH_TEXTS": "0"}, r"limits\.batch_texts cannot be '0': .*1"),
    ],
)
def test_a_bad_key_or_value_names_key_origin_and_limit(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(environment=environment)


def test_an_unknown_section_suggests_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[sentimnt]\nmodel = 'x'\n")
    with pytest.raises(ConfigError, match=r"'sentimnt' is an unknown section.*Did you mean 'sentiment'\?"):
        load_settings(path, environment={}, plugin_names=("support", "sentiment"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"port = 1\n", "stands outside a section"),
        (b"[server\n", "not valid TOML"),
        (b"[server]\nhost = '\xff'\n", "not valid TOML"),
        (b"[server]\nport = '8000'\n", r"server\.port cannot be '8000'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(body: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(body)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(path, environment={})
    assert "bad.toml" in str(caught.value)


def test_a_file_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml", environment={})


def test_every_setting_of_the_core_is_documented_and_has_a_default() -> None:
    undocumented = [
        f"{field.name}.{row.key}"
        for field in msgspec.structs.fields(Settings)
        for row in settings_reference(field.type)
        if not row.description or not row.default
    ]
    assert undocumented == []
