"""Manifests: every mistake is one error that names file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from parlance.errors import ConfigError
from parlance.models.manifest import load_manifest

GOOD = """
name = "x"
task = "embed"
description = "d"
licence = "MIT"
languages = ["en"]
[source]
uri = "folder:weights"
[parity]
texts = ["a", "b"]
"""


def test_a_good_manifest_is_read(write_manifest) -> None:  # type: ignore[no-untyped-def]  # a fixture
    assert load_manifest(write_manifest(GOOD)).source.uri == "folder:weights"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('licence = "MIT"', 'license = "MIT"', r"model.toml: unknown key 'license'. Did you mean 'licence'\?"),
        ('uri = "folder:weights"', 'url = "folder:x"', r"unknown key 'source.url'. Did you mean 'uri'\?"),
        ('task = "embed"', 'task = "classfy"', "key 'task'"),
        ('task = "embed"', 'task = "classify"', "key 'labels': a classifier needs at least two labels"),
        ('name = "x"', 'name = "X y"', "key 'name': 'X y' is not made of"),
        ('texts = ["a", "b"]', 'texts = ["a"]', "key 'parity.texts'"),
        ('texts = ["a", "b"]', 'texts = ["a", "b"]\nbound = 2', "key 'parity.bound'"),
        ('uri = "folder:weights"', 'uri = "weights"', "key 'source.uri': 'weights' has no scheme"),
        ('name = "x"\n', "", "missing required field `name`"),
        ('name = "x"', 'name = ', "is not valid TOML"),
        ('[source]\nuri = "folder:weights"\n', "", r"give exactly one of \[source\] and \[adapter\]"),
        ('licence = "MIT"', 'licence = "MIT"\nprecisions = ["bf16"]', "key 'precisions': fp32 is the reference"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_and_key(write_manifest, old: str, new: str, message: str) -> None:  # type: ignore[no-untyped-def]
    assert old in GOOD
    with pytest.raises(ConfigError, match=message) as caught:
        load_manifest(write_manifest(GOOD.replace(old, new)))
    assert "model.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.toml does not exist"):
        load_manifest(tmp_path)
