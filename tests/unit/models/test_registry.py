"""The registry: names, aliases, versions, change detection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parlance.errors import ConfigError, Conflict, IntegrityError, NotFound, Unavailable, ValidationFailed
from parlance.models.registry import ModelRegistry


def test_an_unknown_name_is_answered_with_the_nearest(registry: ModelRegistry) -> None:
    with pytest.raises(NotFound, match=r"There is no model 'tinny'. Did you mean 'tiny'") as caught:
        registry.resolve("tinny")
    assert caught.value.code == "unknown_model"


def test_a_model_that_is_not_built_says_the_command(registry: ModelRegistry) -> None:
    with pytest.raises(Unavailable, match=r"parlance models build tiny") as caught:
        registry.resolve("tiny")
    assert caught.value.code == "model_not_built"


def test_an_alias_moves_and_every_move_is_logged(registry: ModelRegistry) -> None:
    built = registry.build("tiny")
    registry.set_alias("search@live", "tiny", built.version)
    assert registry.resolve("search@live").reference == built.reference
    registry.set_alias("search@live", "tiny")
    assert registry.aliases()["search@live"] == ("tiny", None)
    registry.remove_alias("search@live")
    assert "search@live" not in registry.aliases()
    lines = [json.loads(line) for line in (registry.cache / "aliases.log").read_text().splitlines()]
    assert lines[0]["after"] == {"name": "tiny", "version": built.version}
    assert lines[-1]["after"] is None
    assert len(lines) == 3


def test_a_version_can_be_asked_for_directly(registry: ModelRegistry) -> None:
    built = registry.build("tiny")
    assert registry.resolve(f"tiny@{built.version}").version == built.version


def test_wrong_aliases_are_refused(registry: ModelRegistry) -> None:
    registry.build("tiny")
    with pytest.raises(ValidationFailed, match=r"is no alias"):
        registry.set_alias("a b", "tiny")
    with pytest.raises(Conflict, match=r"is the name of a model"):
        registry.set_alias("tiny", "tiny")
    with pytest.raises(NotFound, match=r"no built version"):
        registry.set_alias("a@live", "tiny", "000000000000")
    with pytest.raises(NotFound, match=r"is not set"):
        registry.remove_alias("a@live")
    assert registry.aliases() == {}


def test_another_processs_alias_is_noticed(registry: ModelRegistry, shipped_folder: Path) -> None:
    registry.build("tiny")
    registry.changed()
    assert not registry.changed()
    ModelRegistry([shipped_folder], registry.cache, environment={}).set_alias("a@live", "tiny")
    assert registry.changed()
    assert not registry.changed()
    assert registry.resolve("a@live").name == "tiny"


def test_a_damaged_alias_file_is_named(registry: ModelRegistry) -> None:
    registry.cache.mkdir(parents=True)
    (registry.cache / "aliases.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"aliases\.json"):
        registry.aliases()


def test_two_models_of_one_name_stop_the_start(shipped_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "tiny"
    other.mkdir(parents=True)
    (other / "model.toml").write_bytes((shipped_folder / "tiny" / "model.toml").read_bytes())
    with pytest.raises(ConfigError, match=r"Two models are named 'tiny'"):
        ModelRegistry([shipped_folder, other.parent], tmp_path / "cache", environment={})


def test_the_shipped_manifests_are_valid() -> None:
    from parlance.builtin import bundled_models

    registry = ModelRegistry([bundled_models()], Path("unused"), environment={})
    assert {"embed-en", "embed-multi", "fin-sentiment"} <= set(registry.names())
    assert all(data.commercial for data in registry.manifest("fin-sentiment").training_data)
    assert registry.aliases()["sentiment@live"] == ("fin-sentiment", None)
