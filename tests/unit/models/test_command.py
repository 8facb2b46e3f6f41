"""``parlance models``: what it prints and how it exits; serving code stays free of torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from parlance.cli.models import models
from parlance.errors import NotFound


def run(*arguments: str, cache: Path) -> str:
    result = CliRunner().invoke(models, ["--cache", str(cache), *arguments], catch_exceptions=False, obj={})
    assert result.exit_code == 0
    return result.output


def test_the_list_names_every_model_and_its_state(tmp_path: Path) -> None:
    rows = json.loads(run("list", "--json", cache=tmp_path))
    assert {"embed-en", "embed-multi", "fin-sentiment"} <= {row["name"] for row in rows}
    assert all(row["state"] == "not built" for row in rows)
    assert "embed-multi" in run("list", cache=tmp_path)


def test_a_card_shows_where_the_weights_come_from(tmp_path: Path) -> None:
    card = json.loads(run("show", "fin-sentiment", "--json", cache=tmp_path))
    assert card["adapter"]["base"] == "embed-multi"
    assert card["metrics"]["dev"]["twitter_fin_sentiment"]["accuracy"] > 0.8
    assert "adapter on embed-multi" in run("show", "sentiment@live", cache=tmp_path)


def test_an_unknown_model_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"Did you mean 'embed-en'") as caught:
        CliRunner().invoke(
            models,
            ["--cache", str(tmp_path), "build", "embed-em"],
            catch_exceptions=False,
            obj={},
            standalone_mode=False,
        )
    assert caught.value.exit_status == 2


@pytest.mark.models
def test_a_shipped_model_is_built_verified_and_aliased_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft'): sys.modules[name] = None\n"
        "from parlance.cli.models import models\n"
        f"models(['--cache', {str(tmp_path)!r}, 'build', 'embed-en', '--json'], obj={{}})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["parity"]["worst"] > 0.99999
    assert "all as recorded" in run("verify", cache=tmp_path)
    assert "up to date" in run("build", "embed-en", cache=tmp_path)
    run("alias", "set", "search@live", "embed-en", cache=tmp_path)
    assert json.loads(run("alias", "list", "--json", cache=tmp_path))[-1]["name"] in {"embed-en", "fin-sentiment"}
    assert "search@live" in run("alias", "list", cache=tmp_path)


def test_the_models_package_imports_no_training_library() -> None:
    script = (
        "import sys, parlance.models.registry, parlance.cli.models\n"
        "bad = {'torch', 'transformers', 'peft', 'parlance.training', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(', '.join(bad) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.models
def test_the_multilingual_model_is_rebuilt_from_four_bit_blocks_exactly(tmp_path: Path) -> None:
    """The embedding table stays in its int8 blocks and the outputs equal torch's to 1e-5; two builds do not collide."""
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", f"from parlance.cli.models import models; models({arguments!r}, obj={{}})"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in (["--cache", str(tmp_path), "build", "embed-multi", "--json"],) * 2
    ]
    outputs = [command.communicate(timeout=300)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0]
    rows = [json.loads(output)[0] for output in outputs]
    assert rows[0]["version"] == rows[1]["version"]
    assert rows[0]["parity"]["largest_difference"] < 1e-5
    assert (Path(rows[0]["folder"]) / "weights.bin").stat().st_size < 200_000_000
