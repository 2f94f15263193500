"""Finding, ordering, enabling, configuring and persisting plugins."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from iskra.plugin_host import PluginState, Verdict
from iskra_sdk.errors import (
    ConfigurationError,
    PermissionDeniedError,
    PluginConflictError,
    PluginDependencyError,
    PluginError,
    PluginLoadError,
    PluginManifestError,
    PluginNotFoundError,
    PluginSettingsError,
)
from iskra_sdk.llm import LLMChunk
from iskra_sdk.principal import Principal
from iskra_sdk.testing.memory_store import MemoryStore
from plugin_workshop import GOOD, Workshop, until, with_header, workshop

BROKEN = "raise RuntimeError('broken')"


def greeting(text: str) -> str:
    return GOOD.replace("hello {name}", text)


async def test_a_plugin_is_loaded_from_a_file_and_from_a_package_with_relative_imports(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.write("single", GOOD)
        shop.write_package(
            "many",
            {
                "iskra-plugin.toml": 'name = "many"\nversion = "1.2"\n',
                "__init__.py": "from .tools import hello, register_tools",
                "tools.py": """
                    from iskra_sdk import hookimpl, tool
                    from . import words
                    @tool(risk="read")
                    async def hello() -> str:
                        '''Say it.'''
                        from .words import WORD
                        return words.WORD + WORD
                    @hookimpl
                    def register_tools():
                        return [hello]
                """,
                "words.py": "WORD = 'hi'",
            },
        )
        await shop.host.start()
        assert {status.name: status.state for status in shop.host.list()} == {
            "single": PluginState.RUNNING,
            "many": PluginState.RUNNING,
        }
        assert shop.host.get("many").version == "1.2"
        assert await shop.call("hello") == "hihi"
        assert shop.host.get("single").offers == {"tools": ["greet"]}
        (shop.folder / "many" / "words.py").write_text("WORD = 'ho'")
        await shop.host.rescan()
        assert await shop.call("hello") == "hoho"


async def test_two_saves_within_one_second_and_of_one_size_are_told_apart(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        for word in ("aaa", "bbb", "ccc"):
            await shop.drop("quick", greeting(word))
            assert await shop.call("greet") == word


async def test_the_first_of_two_plugins_with_one_name_stays(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.write("a_first", GOOD, header='name = "twin"')
        shop.write("b_second", GOOD.replace("greet", "other"), header='name = "twin"')
        await shop.host.start()
        running, rejected = shop.host.list()
        assert running.state is PluginState.RUNNING
        assert running.path.name == "a_first.py"
        assert rejected.state is PluginState.FAILED
        assert isinstance(rejected.error, PluginConflictError)
        assert "greet" in shop.host.catalog.tools
        # One that comes later and is found earlier does not push it out either.
        shop.write("a_before", GOOD.replace("greet", "third"), header='name = "twin"')
        await shop.host.rescan()
        assert "greet" in shop.host.catalog.tools
        assert len(shop.host.list()) == 3


async def test_dependencies_come_first_and_missing_ones_are_named(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.write("a_user", GOOD, header='name = "a_user"\nrequires = ["z_base"]')
        shop.write("z_base", GOOD.replace("greet", "base"))
        shop.write("orphan", GOOD.replace("greet", "orphan"), header='requires = ["nobody"]')
        await shop.host.start()
        assert list(shop.host.catalog.generations) == ["a_user", "z_base"]
        error = shop.host.get("orphan").error
        assert isinstance(error, PluginDependencyError)
        assert "'nobody', which is not installed" in str(error)
        await shop.drop("nobody", GOOD.replace("greet", "nobody"))
        assert shop.host.get("orphan").state is PluginState.RUNNING


async def test_a_cycle_of_dependencies_is_named_and_others_run(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.write("one", GOOD, header='requires = ["two"]')
        shop.write("two", GOOD, header='requires = ["one"]')
        shop.write("good", GOOD)
        await shop.host.start()
        for name in ("one", "two"):
            assert "one, two require one another" in str(shop.host.get(name).error)
        assert await shop.call("greet") == "hello you"


async def test_what_requires_a_disabled_plugin_goes_with_it_and_comes_back(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.write("base", GOOD)
        shop.write("user", GOOD.replace("greet", "use"), header='requires = ["base"]')
        await shop.host.start()
        await shop.host.disable("base")
        assert not shop.host.catalog.tools
        assert isinstance(shop.host.get("user").error, PluginDependencyError)
        await shop.host.enable("base")
        assert set(shop.host.catalog.tools) == {"greet", "use"}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ('api = "99"', "plugin API 99"),
        ('permissions = ["rule_the_world"]', "permissions"),
        ('colour = "red"', "colour"),
        ("name = ", "no valid TOML"),
        ('name = "json"', "taken by Python's standard library"),
        ('name = "turn"', "or by the kernel"),  # its events would begin like those of turns
        ('name = "session"', "or by the kernel"),
        ('name = "kernel"', "taken by"),
        ('name = "../up"', "name"),
        ('name = "Upper"', "name"),
    ],
)
async def test_a_manifest_that_cannot_be_honoured_is_refused_with_a_reason(
    header: str, reason: str, tmp_path: Path
) -> None:
    async with workshop(tmp_path) as shop:
        shop.write("odd", GOOD, header=header)
        await shop.host.rescan()
        (status,) = shop.host.list()
        assert status.state is PluginState.FAILED
        assert reason in str(status.error)
        assert not shop.host.catalog.tools


async def test_a_plugin_whose_extra_is_missing_is_left_out_and_never_quarantined(tmp_path: Path) -> None:
    for _ in range(4):
        async with workshop(tmp_path) as shop:
            shop.write("heavy", GOOD, header='extras = { "no_such_module" = "iskra[local]" }')
            await shop.host.rescan()
            (status,) = shop.host.list()
            assert status.state is PluginState.UNAVAILABLE
            assert 'pip install "iskra[local]"' in str(status.error)
            assert "error" not in shop.event_types()


@pytest.mark.parametrize("name", ["Weather", "1weather", "we-ather", "json", "a" * 65, "wéather", "a b"])
async def test_a_file_whose_name_is_no_plugin_name_is_listed_as_failed(name: str, tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        shop.write(name, GOOD)
        await shop.host.rescan()
        (status,) = shop.host.list()
        assert isinstance(status.error, PluginManifestError)
        assert not shop.host.catalog.tools


async def test_temporary_files_of_editors_are_no_plugins(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        shop.folder.mkdir(parents=True)
        for name in (".weather.py.swp", "weather.py~", "#weather.py#", ".#weather.py", "_draft.py", "4913", "x.txt"):
            (shop.folder / name).write_text(GOOD)
        await shop.host.rescan()
        assert not shop.host.list()


async def test_code_that_fails_leaves_the_generation_before_in_place(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("steady", GOOD)
        status = await shop.drop("steady", BROKEN)
        assert status.state is PluginState.RUNNING
        assert status.generation == 1
        assert "RuntimeError: broken" in str(status.error)
        assert await shop.call("greet") == "hello you"
        status = await shop.drop("steady", greeting("mended"))
        assert status.error is None
        assert await shop.call("greet") == "mended"


async def test_enabled_and_disabled_outlive_a_restart(tmp_path: Path) -> None:
    store = MemoryStore()
    async with workshop(tmp_path, store=store) as shop:
        await shop.drop("lasting", GOOD)
        receipt = await shop.host.disable("lasting", principal=Principal("anna"))
        assert receipt.verdict is Verdict.CLEAN
        assert receipt.released["tools"] == 1
        assert "plugin.disabled" in shop.event_types()
    async with workshop(tmp_path, store=store) as shop:
        assert shop.host.get("lasting").state is PluginState.DISABLED
        assert not shop.host.catalog.tools
        await shop.host.enable("lasting", principal=Principal("anna"))
    async with workshop(tmp_path, store=store) as shop:
        assert await shop.call("greet") == "hello you"
    audit = [(entry.action, entry.target, entry.principal_id) for _, entry in await store.audit()]
    assert audit == [("plugin.enable", "lasting", "anna"), ("plugin.disable", "lasting", "anna")]


async def test_three_failed_starts_put_a_plugin_into_quarantine_until_its_code_changes(tmp_path: Path) -> None:
    store = MemoryStore()
    marker = tmp_path / "starts"
    source = f"with open({str(marker)!r}, 'a') as file: file.write('x')\n{BROKEN}"
    for start in range(1, 5):
        async with workshop(tmp_path / "data", store=store) as shop:
            if start == 1:
                shop.write("faulty", source)
                await shop.host.rescan()
            status = shop.host.get("faulty")
            expected = PluginState.QUARANTINED if start >= 3 else PluginState.FAILED
            assert status.state is expected, start
            assert "RuntimeError: broken" in str(status.error)
            if start == 3:
                assert "plugin.quarantined" in shop.event_types()
    assert marker.read_text() == "xxx"  # the fourth start did not run its code any more
    async with workshop(tmp_path / "data", store=store) as shop:
        assert (await shop.drop("faulty", GOOD)).state is PluginState.RUNNING


async def test_a_plugin_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False) as shop:
        shop.folder.write_text("not a folder")
        with pytest.raises(ConfigurationError, match=r"plugin folder .* cannot be read.*--plugin-dir"):
            await shop.host.start()


async def test_a_plugin_that_stops_listening_to_a_model_ends_the_call(tmp_path: Path) -> None:
    ended = asyncio.Event()

    class Router:
        async def stream(self, _request: object, _providers: object) -> AsyncIterator[LLMChunk]:
            try:
                while True:
                    yield LLMChunk(text="more")
            finally:
                ended.set()

    source = """
        from contextlib import aclosing
        from iskra_sdk import LLMRequest, Message, hookimpl, tool
        @hookimpl
        def register_tools(context):
            @tool(risk="read")
            async def first() -> str:
                '''Listen once.'''
                async with aclosing(context.llm.stream(LLMRequest([Message.user("hi")]))) as chunks:
                    async for chunk in chunks:
                        return chunk.text
                return ""
            return [first]
    """
    async with workshop(tmp_path) as shop:
        shop.facilities.llm = Router()  # type: ignore[assignment]  # only what the plugin calls
        await shop.drop("listener", source, header='permissions = ["llm"]')
        assert await shop.call("first") == "more"
        assert ended.is_set()


async def test_safe_mode_loads_nothing(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False, safe_mode=True) as shop:
        shop.write("good", GOOD)
        await shop.host.start()
        assert not shop.host.catalog.generations


async def test_the_setting_disabled_wins_over_what_is_stored(tmp_path: Path) -> None:
    async with workshop(tmp_path, start=False, plugins={"disabled": ("good",)}) as shop:
        shop.write("good", GOOD)
        await shop.host.start()
        assert shop.host.get("good").state is PluginState.DISABLED
        with pytest.raises(PluginLoadError, match=r"plugins\.disabled"):
            await shop.host.enable("good")


async def test_an_unknown_plugin_is_not_found(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        for action in (shop.host.enable, shop.host.disable, shop.host.reload):
            with pytest.raises(PluginNotFoundError):
                await action("../../etc/passwd")


CONFIGURED = """
from pydantic import BaseModel, SecretStr
from iskra_sdk import hookimpl, tool

class Settings(BaseModel):
    word: str = "default"
    count: int = 1
    key: SecretStr = SecretStr("")

@hookimpl
def settings_schema():
    return Settings

@hookimpl
def register_tools(context):
    @tool(risk="read")
    async def greet() -> str:
        '''Say the word.'''
        return context.settings.word * context.settings.count + context.settings.key.get_secret_value()
    return [greet]
"""


async def test_settings_come_from_the_manifest_the_file_and_the_store_in_this_order(tmp_path: Path) -> None:
    store = MemoryStore()
    given = {"settings": {"wordy": {"count": 2}}}
    header = 'defaults = { word = "manifest", count = 3 }'
    async with workshop(tmp_path, store=store, plugins=given) as shop:
        await shop.drop("wordy", CONFIGURED, header=header)
        assert await shop.call("greet") == "manifestmanifest"
        receipt = await shop.host.configure("wordy", {"word": "stored", "key": "s3cret"})
        assert receipt.new_generation == 2
        assert await shop.call("greet") == "storedstoreds3cret"
        assert "s3cret" not in str(shop.host.get("wordy").wire)
        with pytest.raises(PluginSettingsError, match="count") as caught:
            await shop.host.configure("wordy", {"count": "many", "key": "hidden-value"})
        assert "hidden-value" not in str(caught.value)
        assert await shop.call("greet") == "storedstoreds3cret"
        audited = [entry.data for _, entry in await store.audit(action="plugin.configure")]
        assert audited == [{"keys": ["key", "word"]}]
    async with workshop(tmp_path, store=store, plugins=given) as shop:
        assert await shop.call("greet") == "storedstoreds3cret"
        await shop.host.configure("wordy", {"word": None, "key": None})
        assert await shop.call("greet") == "manifestmanifest"


async def test_settings_for_a_plugin_that_has_none_do_not_fit(tmp_path: Path) -> None:
    async with workshop(tmp_path, plugins={"settings": {"plain": {"colour": "red"}}}) as shop:
        status = await shop.drop("plain", GOOD)
        assert isinstance(status.error, PluginSettingsError)


async def test_a_turn_finishes_on_the_generation_it_began_with(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("lively", greeting("one"))
        lease = shop.host.lease()
        await shop.drop("lively", greeting("two"))
        assert await shop.call("greet") == "two"
        assert (await lease.catalog.tools["greet"].value.run({})).content == "one"
        assert shop.host.receipts("lively")[0].verdict is Verdict.DRAINING
        lease.release()
        lease.release()  # changes nothing
        await _drained(shop, "lively")
        receipt = shop.host.receipts("lively")[0]
        assert (receipt.turns_drained, receipt.turns_parked) == (1, 0)
        assert receipt.old_hash != receipt.new_hash


async def _drained(shop: Workshop, name: str) -> None:
    await until(lambda: shop.host.receipts(name)[0].verdict is not Verdict.DRAINING)


async def test_after_the_drain_deadline_turns_are_parked(tmp_path: Path) -> None:
    async with workshop(tmp_path, plugins={"drain_deadline": 0.05}) as shop:
        await shop.drop("lively", greeting("one"))
        lease = shop.host.lease()
        parked = []

        def park(catalog: object) -> None:
            parked.append(catalog)
            lease.release()

        shop.facilities.park = park
        await shop.drop("lively", greeting("two"))
        await _drained(shop, "lively")
        assert parked == [lease.catalog]
        assert shop.host.receipts("lively")[0].turns_parked == 1


async def test_a_swap_is_seen_by_callbacks_before_anybody_can_lease_the_catalog(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        seen = []
        shop.host.on_swap(lambda catalog: seen.append(sorted(catalog.tools)))
        shop.host.on_swap(_raise)
        await shop.drop("good", GOOD)
        await shop.host.disable("good")
        assert seen == [["greet"], []]


def _raise(_: object) -> None:
    raise RuntimeError("a callback's own mistake")


CONTEXT_USER = """
import dataclasses
from iskra_sdk import hookimpl, tool

@hookimpl
def register_tools(context):
    @tool(risk="read")
    async def use(facility: str) -> str:
        '''Use something.'''
        return type(getattr(context, facility)).__name__
    @tool(risk="read")
    async def remember(value: int) -> int:
        '''Keep a value.'''
        before = await context.state.get("value", 0)
        await context.state.put("value", value)
        return before
    return [use, remember]
"""


@pytest.mark.parametrize(
    ("facility", "permission"),
    [
        ("llm", "llm"),
        ("sessions", "sessions"),
        ("turns", "turns"),
        ("approvals", "approvals"),
        ("http", "network"),
        ("workspace", "files"),
    ],
)
async def test_a_facility_needs_its_permission(facility: str, permission: str, tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("user", CONTEXT_USER)
        with pytest.raises(PermissionDeniedError) as caught:
            await shop.call("use", facility=facility)
        assert f'permissions = ["{permission}"]' in caught.value.mend
        if facility != "approvals":  # the workshop has no approval service
            await shop.drop("user", CONTEXT_USER, header=f'permissions = ["{permission}"]')
            assert await shop.call("use", facility=facility)


async def test_state_is_kept_between_generations_and_is_each_plugin_s_own(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("keeper", CONTEXT_USER)
        assert await shop.call("remember", value=5) == "0"
        await shop.drop("keeper", CONTEXT_USER + "\n")
        assert await shop.call("remember", value=6) == "5"
        assert await shop.store.plugin_value("keeper", "value") == 6


SERVICE = """
import collections.abc
from iskra_sdk import hookimpl
@hookimpl
def lifespan(context):
    from contextlib import asynccontextmanager
    @asynccontextmanager
    async def live():
        context.provide(collections.abc.Sized, {text!r})
        context.on_close(lambda: print)
        yield
    return live()
"""


async def test_services_are_found_across_reloads_and_gone_with_their_plugin(tmp_path: Path) -> None:
    import collections.abc

    user = """
    import collections.abc
    from iskra_sdk import hookimpl, tool
    @hookimpl
    def register_tools(context):
        @tool(risk="read")
        async def ask() -> str:
            '''Ask the other plugin.'''
            return context.service(collections.abc.Sized)
        return [ask]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("asker", user)
        with pytest.raises(PluginDependencyError, match="no running plugin offers Sized"):
            await shop.call("ask")
        await shop.drop("keeper", SERVICE.format(text="one"))
        assert await shop.call("ask") == "one"
        rival = await shop.drop("rival", SERVICE.format(text="theft"))
        assert isinstance(rival.error, PluginConflictError)
        await shop.drop("keeper", SERVICE.format(text="two"))
        await _drained(shop, "keeper")
        assert await shop.call("ask") == "two"
        receipt = await shop.host.disable("keeper")
        assert receipt.released["services"] == 1
        assert shop.host.service(collections.abc.Sized) is None  # type: ignore[type-abstract]


async def test_everything_is_released_last_acquired_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    source = f"""
    import asyncio
    from contextlib import asynccontextmanager
    from iskra_sdk import hookimpl

    def note(word):
        with open({str(log)!r}, "a") as file:
            file.write(word + " ")

    @hookimpl
    @asynccontextmanager
    async def lifespan(context):
        note("enter")
        async def work():
            try:
                async with context.events.subscribe("x"):
                    note("work")
                    await asyncio.sleep(600)
            finally:
                note("worked")
        context.on_close(lambda: note("first"))
        async def second():
            note("second")
        context.on_close(second)
        context.tasks.start(work)
        yield
        note("leave")
    """
    async with workshop(tmp_path / "data") as shop:
        await shop.drop("orderly", source)
        await until(lambda: "work" in log.read_text())
        receipt = await shop.host.disable("orderly")
    assert log.read_text().split() == ["enter", "work", "worked", "second", "first", "leave"]
    assert receipt.verdict is Verdict.CLEAN
    assert receipt.released == {"subscriptions": 1, "tasks": 1, "callbacks": 2, "lifespan": 1, "modules": 1}


async def test_removing_the_file_removes_the_plugin(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("brief", GOOD)
        (shop.folder / "brief.py").unlink()
        await shop.host.rescan()
        assert not shop.host.list()
        assert not shop.host.catalog.tools


async def test_the_watched_folder_loads_reloads_and_unloads_by_itself(tmp_path: Path) -> None:
    async with workshop(tmp_path, watch=True) as shop:
        swapped = asyncio.Event()
        shop.host.on_swap(lambda _: swapped.set())

        async def after(change: str) -> None:
            async with asyncio.timeout(15):
                await swapped.wait()
            swapped.clear()

        shop.write("watched", greeting("one"))
        await after("created")
        assert await shop.call("greet") == "one"
        shop.write("watched", greeting("two"))
        await after("changed")
        assert await shop.call("greet") == "two"
        (shop.folder / "watched.py").unlink()
        await after("deleted")
        assert not shop.host.catalog.tools


async def test_a_plugin_is_installed_from_a_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "anything.py").write_text(with_header(GOOD, 'name = "fetched"'))
    async with workshop(tmp_path / "data") as shop:
        (status,) = await shop.host.install(str(elsewhere / "anything.py"))
        assert (status.name, status.state) == ("fetched", PluginState.RUNNING)
        assert (shop.folder / "fetched.py").is_file()
        package = elsewhere / "pack"
        package.mkdir()
        (package / "__init__.py").write_text(GOOD.replace("greet", "packed"))
        (package / "iskra-plugin.toml").write_text('name = "packed"')
        (status,) = await shop.host.install(str(package))
        assert status.name == "packed"
        (package / "__init__.py").write_text(GOOD.replace("greet", "packed_again"))
        await shop.host.install(str(package))
        assert "packed_again" in shop.host.catalog.tools


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "no path and no requirement"),
        ("--index-url=http://127.0.0.1/", "no path and no requirement"),
        ("/nowhere/at/all.py", "nothing at"),
        ("not a requirement !!", "neither a path nor a requirement"),
        ("{tmp}/text.txt", "holds no plugin"),
        ("{tmp}/up.py", "name"),
        ("{tmp}/linked", "symbolic link"),
    ],
)
async def test_what_cannot_be_installed_says_why(source: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "up.py").write_text(with_header(GOOD, 'name = "../up"'))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "__init__.py").write_text(GOOD)
    (tmp_path / "linked" / "secret.py").symlink_to("/etc/passwd")
    async with workshop(tmp_path / "data") as shop:
        with pytest.raises(PluginError, match=reason):
            await shop.host.install(source.format(tmp=tmp_path))
        assert not shop.host.list()
        assert not (tmp_path / "up").exists()


@contextmanager
def installed(directory: Path, package: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have an importable package in ``directory``."""
    root = directory / package
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(directory))
    yield root


async def test_an_installed_plugin_is_reloaded_with_its_package_and_without_its_siblings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = """
    from iskra_sdk import hookimpl, tool
    from .words import WORD
    @tool(name="say_{name}", risk="read")
    async def say() -> str:
        '''Say it.'''
        return WORD
    @hookimpl
    def register_tools():
        return [say]
    """
    files = {
        "__init__.py": "",
        "left/__init__.py": plugin.replace("{name}", "left"),
        "left/words.py": "WORD = 'one'",
        "right/__init__.py": plugin.replace("{name}", "right"),
        "right/words.py": "WORD = 'right'",
    }
    points = [EntryPoint(name, f"shared_house.{name}", "iskra.plugins") for name in ("left", "right")]
    with installed(tmp_path, "shared_house", files, monkeypatch) as root:
        async with workshop(tmp_path / "data", entry_points=points) as shop:
            import sys

            sibling = sys.modules["shared_house.right.words"]
            (root / "left" / "words.py").write_text("WORD = 'two'")
            receipt = await shop.host.reload("left")
            assert receipt.new_generation == 2
            assert await shop.call("say_left") == "two"
            assert sys.modules["shared_house.right.words"] is sibling
            # Code that fails puts the modules back that were there before.
            working = sys.modules["shared_house.left.words"]
            (root / "left" / "words.py").write_text("WORD = vlaue")
            with pytest.raises(PluginError, match="NameError"):
                await shop.host.reload("left")
            assert sys.modules["shared_house.left.words"] is working
            assert await shop.call("say_left") == "two"
        assert "shared_house.left" not in sys.modules


async def test_modules_that_a_new_generation_imports_late_stay_when_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "__init__.py": """
            from iskra_sdk import hookimpl, tool

            @hookimpl
            def register_tools():
                from late_house.kinds import Kind  # not known yet when the package was imported

                @tool(risk="read")
                async def is_same_kind() -> bool:
                    "Compare the class with the one that is imported now."
                    from late_house.kinds import Kind as now
                    return Kind is now

                return [is_same_kind]
        """,
        "kinds.py": "class Kind: pass",
    }
    points = [EntryPoint("late", "late_house", "iskra.plugins")]
    with installed(tmp_path, "late_house", files, monkeypatch):
        async with workshop(tmp_path / "data", entry_points=points) as shop:
            for _ in range(3):
                assert await shop.call("is_same_kind") == "true"
                await shop.host.reload("late")
            assert await shop.call("is_same_kind") == "true"


async def test_an_entry_point_without_its_module_is_named(tmp_path: Path) -> None:
    points = [EntryPoint("ghost", "a_module_nobody_has.plugin", "iskra.plugins")]
    async with workshop(tmp_path, entry_points=points) as shop:
        assert "'a_module_nobody_has.plugin', which is not there" in str(shop.host.get("ghost").error)


async def test_interceptors_are_in_place_while_their_plugin_runs(tmp_path: Path) -> None:
    from iskra_sdk.interceptor import Point

    source = """
    from iskra_sdk import Interceptor, Point, hookimpl
    async def around(payload, proceed):
        return await proceed(payload)
    @hookimpl
    def register_interceptors():
        return [Interceptor(Point.TURN, around)]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("between", source, header='permissions = ["interceptors"]')
        assert shop.points.slot(Point.TURN).chain is not None
        await shop.host.disable("between")
        assert shop.points.slot(Point.TURN).chain is None


async def test_while_a_plugin_hangs_when_it_is_tried_out_others_can_be_disabled(tmp_path: Path) -> None:
    async with workshop(tmp_path, plugins={"start_timeout": 4.0}) as shop:
        await shop.drop("good", GOOD)
        shop.write("hanging", "import time\ntime.sleep(600)")
        loop = asyncio.get_running_loop()
        rescan = asyncio.create_task(shop.host.rescan())
        began = loop.time()
        await asyncio.sleep(0.2)
        await shop.host.disable("good")
        assert loop.time() - began < 2
        assert not rescan.done()
        await rescan
        assert "did not end within 4 s" in str(shop.host.get("hanging").error)


async def test_after_a_start_that_took_the_server_down_installed_plugins_are_tried_out_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iskra_sdk.session_store import PutPluginValue

    (tmp_path / "deadly_plugin.py").write_text("import os\nos._exit(9)")
    monkeypatch.syspath_prepend(str(tmp_path))
    store = MemoryStore()
    await store.apply([PutPluginValue("kernel", "starting", True)])  # what a start leaves that did not come to its end
    points = [EntryPoint("deadly", "deadly_plugin", "iskra.plugins")]
    async with workshop(tmp_path / "data", store=store, entry_points=points) as shop:
        assert "ended the process with status 9" in str(shop.host.get("deadly").error)
        assert await store.plugin_value("kernel", "starting") is None
