"""A plugin that breaks the contract is named with hook and cause; where that is wanted, the others start without it."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar import get
from litestar.testing import AsyncTestClient

from parlance.cli.main import main
from parlance.errors import ConfigError, PluginError
from parlance.plugins import hookspecs
from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Job
from parlance.testing import application

HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("parlance_")}
AT_START = ("parlance_jobs", "parlance_demo")
"""Hooks that are called only once the server starts."""
CAUSE = "the fuse blew · 保险丝断了"


def takes_context(hook: str) -> bool:
    return "context" in inspect.signature(HOOKS[hook]).parameters


def plugin_with(hook: str, answer: Any) -> object:
    """A plugin that implements one hook."""

    def with_context(self: object, context: Any) -> Any:
        return answer()

    def without(self: object) -> Any:
        return answer()

    return type("Fragile", (), {hook: hookimpl(with_context if takes_context(hook) else without)})()


def blow() -> Any:
    raise RuntimeError(CAUSE)


async def start(plugin: object, **settings: Any) -> None:
    """Build, start and stop an application with the plugin named ``fragile``."""
    async with application({"fragile": plugin}, settings=settings, demo=True) as app:
        try:
            async with app.asgi.lifespan():
                pass
        except BaseExceptionGroup as group:  # Litestar runs the lifespan in a task group
            assert app.state.failure is not None
            raise app.state.failure from group.exceptions[0]
        finally:
            await app.close()


async def health_of(plugin: object) -> dict[str, Any]:
    """What ``/health/ready`` says about the plugin named ``fragile`` when broken ones are skipped."""
    async with (
        application({"fragile": plugin}, settings={"plugins.skip_broken": True}, demo=True) as app,
        AsyncTestClient(app.asgi) as client,
    ):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        found: dict[str, Any] = next(row for row in answer.json()["plugins"] if row["name"] == "fragile")
        return found


RAISING = sorted(set(HOOKS) - {"parlance_commands"})


@pytest.mark.parametrize("hook", RAISING)
async def test_an_exception_in_a_hook_stops_the_start_and_names_plugin_hook_and_cause(hook: str) -> None:
    with pytest.raises(PluginError) as caught:
        await start(plugin_with(hook, blow))
    message = str(caught.value)
    assert "'fragile'" in message
    assert hook in message
    assert CAUSE in message
    assert 'plugins.disabled = ["fragile"]' in message
    assert caught.value.facts == {"plugin": "fragile", "hook": hook}
    assert CAUSE in str(caught.value)


@pytest.mark.parametrize("hook", RAISING)
async def test_with_skip_broken_the_server_starts_and_health_names_it(hook: str) -> None:
    found = await health_of(plugin_with(hook, blow))
    assert found["ok"] is False
    assert found["detail"] == f"{hook}: RuntimeError: {CAUSE}"


@pytest.mark.parametrize("hook", sorted(set(HOOKS) - {"parlance_commands", "parlance_hookspecs"}))
async def test_an_answer_of_the_wrong_type_is_the_plugins_fault(hook: str) -> None:
    with pytest.raises(PluginError, match=rf"'fragile' failed in {hook}.*int 42"):
        await start(plugin_with(hook, lambda: 42))


@asynccontextmanager
async def breaks_while_entering() -> AsyncIterator[list[str]]:
    blow()
    yield []


@pytest.mark.parametrize(
    ("hook", "answer"),
    [("parlance_services", lambda: [breaks_while_entering()]), ("parlance_demo", breaks_while_entering)],
)
async def test_what_breaks_while_it_is_entered_is_named(hook: str, answer: Any) -> None:
    with pytest.raises(PluginError, match=f"'fragile' failed in {hook}: RuntimeError: {CAUSE}"):
        await start(plugin_with(hook, answer))
    assert (await health_of(plugin_with(hook, answer)))["detail"] == f"{hook}: RuntimeError: {CAUSE}"


async def test_two_jobs_of_one_name_are_named() -> None:
    async def nothing() -> None:
        return None

    twice = [Job("tidy", nothing, every_s=60), Job("tidy", nothing, every_s=60)]
    with pytest.raises(PluginError, match=r"fragile.*parlance_jobs.*two jobs named 'tidy'"):
        await start(plugin_with("parlance_jobs", lambda: twice))


async def test_a_plugin_that_breaks_late_leaves_nothing_behind() -> None:
    """Its routes were collected before its metrics failed; they are not served."""

    @get("/fragile", sync_to_thread=False)
    def handler() -> str:
        return "here"

    class Fragile:
        @hookimpl
        def parlance_routes(self, context: Any) -> Any:
            return [handler]

        @hookimpl
        def parlance_metrics(self, context: Any) -> Any:
            blow()

    async with (
        application({"fragile": Fragile()}, settings={"plugins.skip_broken": True}) as app,
        AsyncTestClient(app.asgi) as client,
    ):
        assert (await client.get("/fragile")).status_code == 404


def routes_of(*paths: str) -> object:
    """A plugin with a handler for each path."""
    handlers = [get(path, sync_to_thread=False)(_answer) for path in paths]
    return plugin_with("parlance_routes", lambda: handlers)


def _answer() -> str:
    return "here"


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("/shared", "/shared", "GET /shared"),
        ("/shared/", "/shared", "GET /shared"),
        ("/items/{id:int}", "/items/{key:int}", "GET /items/{int}"),
    ],
)
async def test_two_plugins_that_claim_one_path_and_method_are_named(first: str, second: str, shown: str) -> None:
    with pytest.raises(PluginError) as caught:
        async with application({"alpha": routes_of(first), "beta": routes_of(second)}):
            pass
    message = str(caught.value)
    assert f"{shown} is claimed already by the plugin 'alpha'" in message
    assert "'beta' failed in parlance_routes" in message


async def test_a_plugin_cannot_take_a_path_of_the_core() -> None:
    with pytest.raises(PluginError, match="GET /health/live is claimed already by the plugin 'health'"):
        async with application({"alpha": routes_of("/health/live")}):
            pass


async def test_of_two_that_claim_one_path_the_first_is_served_when_broken_ones_are_skipped() -> None:
    plugins = {"alpha": routes_of("/shared"), "beta": routes_of("/shared", "/other")}
    async with (
        application(plugins, settings={"plugins.skip_broken": True}) as app,
        AsyncTestClient(app.asgi) as client,
    ):
        assert (await client.get("/shared")).status_code == 200
        assert (await client.get("/other")).status_code == 404
        assert [found.name for found in app.plugins.broken] == ["beta"]


async def test_a_handler_that_is_no_handler_is_named() -> None:
    with pytest.raises(PluginError, match="'fragile' failed in parlance_routes"):
        await start(plugin_with("parlance_routes", lambda: [object()]))


@pytest.mark.parametrize(
    ("hook", "answer", "cause"),
    [
        ("parlance_model_sources", lambda: {"pypi": object()}, "the name 'pypi' is taken already"),
        ("parlance_runners", lambda: {"onnxruntime": object()}, "the name 'onnxruntime' is taken already"),
    ],
)
async def test_a_name_of_the_core_cannot_be_taken(hook: str, answer: Any, cause: str) -> None:
    with pytest.raises(PluginError, match=f"'fragile' failed in {hook}: ValueError: {cause}"):
        await start(plugin_with(hook, answer))


async def test_a_misspelt_hook_is_named() -> None:
    class Misspelt:
        @hookimpl
        def parlance_rutes(self, context: Any) -> Any:
            return []

    with pytest.raises(PluginError, match=r"(?s)'fragile' failed in validation.*parlance_rutes"):
        await start(Misspelt())


async def test_a_hook_with_an_unknown_argument_is_named() -> None:
    class Wrong:
        @hookimpl
        def parlance_routes(self, kontext: Any) -> Any:
            return []

    with pytest.raises(PluginError, match=r"(?s)'fragile' failed in validation.*parlance_routes.*kontext"):
        await start(Wrong())


async def test_a_plugin_without_hooks_is_named() -> None:
    with pytest.raises(PluginError, match=r"'fragile' failed in validation.*no hook"):
        await start(object())


async def test_a_bad_setting_of_a_plugin_names_the_key() -> None:
    import msgspec

    class Section(msgspec.Struct, frozen=True, kw_only=True):
        threshold: float = 0.5

    plugin = plugin_with("parlance_settings", lambda: Section)
    with pytest.raises(ConfigError, match=r"fragile\.threshold"):
        await start(plugin, **{"fragile.threshold": "high"})
    with pytest.raises(ConfigError, match="Did you mean 'threshold'"):
        await start(plugin, **{"fragile.treshold": 0.5})


class Written:
    """Modules in a folder of the path, and a settings file that names them as plugins."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def parlance(self, modules: list[str], *arguments: str, skip_broken: bool = False) -> tuple[int, str, str]:
        config = self.folder / "settings.toml"
        config.write_text(
            f"[plugins]\nmodules = {json.dumps(modules)}\nskip_broken = {json.dumps(skip_broken)}\n"
            'disabled = ["support", "sentiment", "recommend"]\n'
        )
        with pytest.raises(SystemExit) as stopped:
            main(["--config", str(config), *arguments])
        captured = self.capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Written:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Written(tmp_path, capsys)


def source_of(hook: str) -> str:
    context = ", context" if takes_context(hook) else ""
    return (
        "from parlance.plugins.hookspecs import hookimpl\n\nclass Fragile:\n    @hookimpl\n"
        f"    def {hook}(self{context}):\n        raise RuntimeError({CAUSE!r})\n\nplugin = Fragile()\n"
    )


@pytest.mark.parametrize("hook", sorted(set(HOOKS) - set(AT_START)))
def test_plugins_list_names_a_plugin_that_raises(hook: str, written: Written) -> None:
    name = f"fragile_{hook}"
    (written.folder / f"{name}.py").write_text(source_of(hook), encoding="utf-8")
    status, out, _ = written.parlance([f"{name}:plugin"], "plugins", "list", "--json")
    row = next(row for row in json.loads(out) if row["name"] == name)
    assert status == 1
    assert (row["state"], row["error"]) == ("broken", f"{hook}: RuntimeError: {CAUSE}")


def test_plugins_show_gives_the_traceback_of_a_broken_plugin(written: Written) -> None:
    (written.folder / "fragile_shown.py").write_text(source_of("parlance_routes"), encoding="utf-8")
    status, out, _ = written.parlance(["fragile_shown:plugin"], "plugins", "show", "fragile_shown")
    assert status == 0
    assert "broken" in out
    assert "Traceback" in out
    assert CAUSE in out


def test_an_import_that_fails_is_named_by_list(written: Written) -> None:
    (written.folder / "unimportable.py").write_text("import a_package_that_nobody_has\n")
    status, out, _ = written.parlance(["unimportable:plugin"], "plugins", "list")
    assert status == 1
    assert "unimportable is broken: import: ModuleNotFoundError" in out


def test_a_plugin_without_the_named_object_is_named(written: Written) -> None:
    (written.folder / "hollow.py").write_text("")
    _, out, _ = written.parlance(["hollow:plugin"], "plugins", "list")
    assert "hollow is broken: import: AttributeError" in out


def test_an_import_that_fails_stops_the_server_with_one_line(written: Written) -> None:
    (written.folder / "unimportable_too.py").write_text("import a_package_that_nobody_has\n")
    url = f"sqlite:///{written.folder / 'x.sqlite'}"
    status, _, err = written.parlance(
        ["unimportable_too:plugin"], "serve", "--no-build", "--port", "0", "--database", url
    )
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    assert "Plugin 'unimportable_too' failed in import: ModuleNotFoundError" in err


def test_two_plugins_of_one_name_are_both_named(written: Written) -> None:
    (written.folder / "twin.py").write_text(source_of("parlance_routes") + "other = Fragile()\n", encoding="utf-8")
    status, _, err = written.parlance(["twin:plugin", "twin:other"], "plugins", "list")
    assert status == 1
    assert "Two plugins are named 'twin': configured as twin:plugin and configured as twin:other" in err


def test_show_of_an_unknown_plugin_lists_those_that_are_there(written: Written) -> None:
    status, _, err = written.parlance([], "plugins", "show", "sentimnt")
    assert status == 2
    assert "There is no plugin 'sentimnt'" in err
    assert "health" in err
    assert "[unknown_plugin]" in err


def test_a_disabled_plugin_is_listed_as_such(written: Written) -> None:
    status, out, _ = written.parlance([], "plugins", "list", "--json")
    states = {row["name"]: row["state"] for row in json.loads(out)}
    assert status == 0
    assert (states["core"], states["support"]) == ("running", "disabled")
