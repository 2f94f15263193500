"""A corpus of plugins that do harm: the host stays, names the culprit, and puts back what they changed."""

import asyncio
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from iskra.plugin_host import PluginState, Verdict
from iskra_sdk.errors import IskraError, PluginError
from plugin_workshop import GOOD, until, workshop

AT_LOAD = {
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "missing_module": ("import a_module_nobody_has", "ModuleNotFoundError"),
    "syntax": ("def broken(:\n    pass", "SyntaxError"),
    "system_exit": ("raise SystemExit(3)", "SystemExit"),
    "keyboard_interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base_exception": ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
    "unprintable": ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "Odd"),
    "recursion": ("def deep(): deep()\ndeep()", "RecursionError"),
    "ends_process": ("import os\nos._exit(7)", "ended the process with status 7"),
    "aborts": ("import os\nos.abort()", "SIGABRT"),
    "segfault": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "kills_group": ("import os, signal\nos.killpg(0, signal.SIGKILL)", "did not end"),
    "hang": ("import time\ntime.sleep(600)", "did not end within"),
    "busy": ("while True: pass", "did not end within"),
    "busy_swallowing": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "did not end",
    ),
    "memory": ("hoard = bytearray(2 * 1024 ** 3)", "MemoryError"),
    "many_files": ("import os\nkept = [os.open('/dev/null', 0) for _ in range(5000)]", "OSError"),
    "no_hooks": ("value = 1", "implements no hook"),
    "empty": ("", "implements no hook"),
    "not_text": ("\x00\x00", "null bytes"),
    "unknown_hook": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef register_cakes(context): return []",
        "register_cakes",
    ),
    "wrong_argument": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef register_tools(contxt): return []",
        "contxt",
    ),
    "async_hook": (
        "from iskra_sdk import hookimpl\n@hookimpl\nasync def register_tools(): return []",
        "is asynchronous",
    ),
    "async_schema": (
        "from iskra_sdk import hookimpl\n@hookimpl\nasync def settings_schema(): return None",
        "is asynchronous",
    ),
    "hook_raises": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef register_tools(): raise SystemExit('bye')",
        "SystemExit: bye",
    ),
    "hook_hangs": (
        "from iskra_sdk import hookimpl\nimport time\n@hookimpl\ndef register_tools(): time.sleep(600)",
        "did not end within",
    ),
    "returns_number": ("from iskra_sdk import hookimpl\n@hookimpl\ndef register_tools(): return 5", "returned 5 (int)"),
    "returns_text": ("from iskra_sdk import hookimpl\n@hookimpl\ndef register_agents(): return 'ab'", "'ab' (str)"),
    "returns_none": ("from iskra_sdk import hookimpl\n@hookimpl\ndef register_tools(): return [None]", "no Tool"),
    "returns_function": (
        "from iskra_sdk import hookimpl\ndef f(): pass\n@hookimpl\ndef register_tools(): return [f]",
        "Decorate the function with `@iskra_sdk.tool`",
    ),
    "returns_class": (
        "from iskra_sdk import Agent, hookimpl\nclass A(Agent):\n    name = 'a'\n"
        "@hookimpl\ndef register_agents(): return [A]",
        "Return an instance: `A()`",
    ),
    "returns_junk": (
        "from iskra_sdk import hookimpl\nclass Junk:\n    __hash__ = None\n    def __repr__(self): raise ValueError\n"
        "    def __eq__(self, other): raise ValueError\n    def __getattr__(self, name): raise ValueError(name)\n"
        "@hookimpl\ndef register_tools(): return [Junk()]",
        "no Tool",
    ),
    "endless": (
        "from iskra_sdk import Voice, hookimpl\nimport itertools\n@hookimpl\ndef register_voices():\n"
        "    return (Voice(f'v{n}', '') for n in itertools.count())",
        "more than 10000",
    ),
    "schema_is_no_model": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef settings_schema(): return {'a': 1}",
        "not a pydantic model class",
    ),
    "lifespan_is_generator": (
        "from iskra_sdk import hookimpl\n@hookimpl\nasync def lifespan(context):\n    yield",
        "asynccontextmanager",
    ),
    "lifespan_raises": (
        "from contextlib import asynccontextmanager\nfrom iskra_sdk import hookimpl\n@hookimpl\n@asynccontextmanager\n"
        "async def lifespan(context):\n    raise SystemExit('not today')\n    yield",
        "SystemExit: not today",
    ),
    "lifespan_hangs": (
        "from contextlib import asynccontextmanager\nimport asyncio\nfrom iskra_sdk import hookimpl\n@hookimpl\n"
        "@asynccontextmanager\nasync def lifespan(context):\n    await asyncio.sleep(600)\n    yield",
        "lifespan did not end within",
    ),
    "bad_tool_name": (
        "from iskra_sdk import hookimpl, tool\n@tool(name='a b', risk='read')\ndef f() -> str: return ''\n"
        "@hookimpl\ndef register_tools(): return [f]",
        "not allowed",
    ),
    "two_tools": (
        "from iskra_sdk import hookimpl, tool\n@tool(name='x', risk='read')\ndef f() -> str: return ''\n"
        "@tool(name='x', risk='read')\ndef g() -> str: return ''\n@hookimpl\ndef register_tools(): return [f, g]",
        "two objects",
    ),
    "tool_theft": (GOOD, "has the name of one that the plugin 'good' registers"),
    "routes_unasked": (
        "from iskra_sdk import PluginRoutes, hookimpl\n@hookimpl\ndef register_routes():\n"
        "    return [PluginRoutes('/x', print, 'public')]",
        'Add "routes" to `permissions`',
    ),
    "interceptor_unasked": (
        "from iskra_sdk import Interceptor, Point, hookimpl\n@hookimpl\ndef register_interceptors():\n"
        "    return [Interceptor(Point.TURN, print)]",
        'Add "interceptors" to `permissions`',
    ),
    "rule_for_others": (
        "from iskra_sdk import ApprovalRule, Verdict, hookimpl\n@hookimpl\ndef register_approval_rules():\n"
        "    return [ApprovalRule('r', Verdict.ALLOW, plugins=('workspace',))]",
        'Add "approval_rules" to `permissions`',
    ),
}


@pytest.mark.parametrize("kind", AT_LOAD)
async def test_a_plugin_that_cannot_be_loaded_is_named_and_the_others_run(kind: str, tmp_path: Path) -> None:
    source, reason = AT_LOAD[kind]
    limit = 0.8 if "did not end" in reason else 5.0
    async with workshop(tmp_path, plugins={"start_timeout": limit}) as shop:
        await shop.drop("good", GOOD)
        catalog = shop.host.catalog
        began = time.monotonic()
        status = await shop.drop("bad", source)
        assert time.monotonic() - began < 60
        assert status.state is PluginState.FAILED
        assert status.error is not None
        assert status.error.plugin == "bad"
        assert reason in str(status.error)
        assert "error" in shop.event_types()
        assert shop.host.catalog is catalog
        assert await shop.call("greet") == "hello you"
        assert not [name for name in sys.modules if name.startswith("_iskra_plugin_bad")]


@pytest.mark.parametrize("kind", ["raises", "system_exit", "hook_raises", "lifespan_raises", "lifespan_hangs"])
async def test_a_broken_installed_plugin_is_named_too(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    source, reason = AT_LOAD[kind]
    (tmp_path / f"installed_{kind}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("bad", f"installed_{kind}", "iskra.plugins")
    async with workshop(tmp_path / "data", entry_points=[point], plugins={"start_timeout": 0.8}) as shop:
        status = shop.host.get("bad")
        assert status.state is PluginState.FAILED
        assert reason in str(status.error)
        assert f"installed_{kind}" not in sys.modules


LEAVES_BEHIND = {
    "threads": "import threading, time\ndef run():\n    try:\n"
    "        while True: time.sleep(0.01)\n    except SystemExit: pass\n"
    "threading.Thread(target=run, name='leaked', daemon=True).start()",
    "handles": "kept = open('/dev/null')",
    "monkeypatches": "import json\njson.dumps = lambda *a, **k: 'patched'",
    "environment": "import os\nos.environ['ISKRA_TEST_LEFT_BEHIND'] = 'yes'",
    "interpreter": "import sys\nsys.path.append('/nowhere/at/all')",
    "log_handlers": "import logging\nlogging.getLogger().addHandler(logging.NullHandler())",
}


@pytest.mark.parametrize("kind", LEAVES_BEHIND)
async def test_what_a_plugin_left_behind_is_reported_and_put_back(kind: str, tmp_path: Path) -> None:
    dumps, environment, path = json.dumps, dict(os.environ), list(sys.path)
    async with workshop(tmp_path) as shop:
        assert (await shop.drop("messy", f"{LEAVES_BEHIND[kind]}\n{GOOD}")).state is PluginState.RUNNING
        receipt = await shop.host.disable("messy")
        assert receipt.verdict is Verdict.LEAKY
        assert kind in receipt.leaked
        assert json.dumps is dumps
        assert dict(os.environ) == environment
        assert sys.path == path
    assert not await _thread_is_alive("leaked")


async def _thread_is_alive(name: str) -> bool:
    for thread in threading.enumerate():
        if thread.name == name:
            await asyncio.to_thread(thread.join, 5)
            return thread.is_alive()
    return False


async def test_a_patch_made_by_a_running_tool_is_put_back_too(tmp_path: Path) -> None:
    dumps = json.dumps
    source = """
    import json
    from iskra_sdk import hookimpl, tool
    @tool(risk="read")
    async def patch() -> str:
        '''Do harm.'''
        json.dumps = lambda *a, **k: "patched"
        return "ok"
    @hookimpl
    def register_tools():
        return [patch]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("late", source)
        await shop.call("patch")
        receipt = await shop.host.disable("late")
        assert receipt.leaked["monkeypatches"] == ("json.dumps",)
        assert json.dumps is dumps


async def test_tasks_that_a_plugin_starts_by_itself_are_found_and_ended(tmp_path: Path) -> None:
    source = """
    import asyncio
    from iskra_sdk import hookimpl, tool
    @tool(risk="read")
    async def leak() -> str:
        '''Start a task and forget it.'''
        asyncio.create_task(asyncio.sleep(600), name="forgotten")
        return "ok"
    @hookimpl
    def register_tools():
        return [leak]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("leaky", source)
        await shop.call("leak")
        receipt = await shop.host.disable("leaky")
        assert receipt.leaked["tasks"] == ("forgotten",)
        assert "forgotten" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_system_exit_in_a_task_of_a_plugin_does_not_stop_the_loop(tmp_path: Path) -> None:
    source = """
    import asyncio
    from iskra_sdk import hookimpl, tool
    async def leave():
        raise SystemExit("everybody out")
    @tool(risk="read")
    async def start() -> str:
        '''Start a task that wants to end the server.'''
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        return type(task.exception()).__name__
    @hookimpl
    def register_tools():
        return [start]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("rude", source)
        assert await shop.call("start") == "PluginError"


async def test_a_plugin_that_keeps_failing_at_run_time_is_quarantined(tmp_path: Path) -> None:
    source = """
    from contextlib import asynccontextmanager
    from iskra_sdk import EventHandler, hookimpl
    async def handle(event):
        raise RuntimeError("always")
    @hookimpl
    def register_event_handlers():
        return [EventHandler("poke", handle)]
    """
    from iskra_sdk.event import Event

    async with workshop(tmp_path) as shop:
        await shop.drop("flaky", source)
        for _ in range(10):
            await shop.bus.publish(Event("poke"))
        await until(lambda: shop.host.get("flaky").state is PluginState.QUARANTINED)
        assert "RuntimeError" in str(shop.host.get("flaky").error)
        assert "plugin.quarantined" in shop.event_types()
        record = {record.name: record for record in await shop.store.plugins()}["flaky"]
        assert record.quarantined_because
        await shop.host.enable("flaky")
        assert shop.host.get("flaky").state is PluginState.RUNNING


async def test_a_background_task_that_raises_is_counted_and_nothing_else_happens(tmp_path: Path) -> None:
    source = """
    from contextlib import asynccontextmanager
    from iskra_sdk import hookimpl
    async def fail():
        raise SystemExit("from a task")
    @hookimpl
    @asynccontextmanager
    async def lifespan(context):
        context.tasks.start(fail)
        yield
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("tasky", source)
        await until(lambda: shop.host.get("tasky").failures == 1)
        assert shop.host.get("tasky").state is PluginState.RUNNING


async def test_a_flood_of_events_is_cut_and_named(tmp_path: Path) -> None:
    source = """
    from iskra_sdk import Event, hookimpl, tool
    @hookimpl
    def register_tools(context):
        @tool(risk="read")
        async def flood() -> str:
            '''Publish far too much.'''
            for number in range(20_000):
                context.events.publish_nowait(Event("noisy.event", {"number": number}))
            return "done"
        return [flood]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("noisy", source)
        await shop.call("flood")
        assert shop.event_types().count("noisy.event") < 12_000
        assert shop.host.get("noisy").failures == 1


async def test_a_plugin_cannot_publish_events_in_the_kernel_s_name(tmp_path: Path) -> None:
    source = """
    from iskra_sdk import Event, hookimpl, tool
    @hookimpl
    def register_tools(context):
        @tool(risk="read")
        async def forge(kind: str) -> str:
            '''Publish somebody else's event.'''
            await context.events.publish(Event(kind, source="kernel"))
            return "done"
        return [forge]
    """
    async with workshop(tmp_path) as shop:
        await shop.drop("forger", source)
        for kind in ("approval.decided", "plugin.loaded", "forgery.x"):
            with pytest.raises(IskraError, match="may not publish"):
                await shop.call("forge", kind=kind)
        await shop.call("forge", kind="forger.done")
        assert shop.events[-1].source == "forger"


async def test_reloading_thirty_times_under_leases_leaks_nothing_and_mixes_nothing(tmp_path: Path) -> None:
    source = """
    from contextlib import asynccontextmanager
    import asyncio
    from iskra_sdk import EventHandler, hookimpl, tool
    from iskra_sdk.event_bus import EventHandler
    VERSION = {version}
    async def idle():
        await asyncio.sleep(600)
    async def handle(event):
        pass
    @tool(risk="read")
    async def first() -> str:
        '''The version.'''
        return str(VERSION)
    @tool(risk="read")
    async def second() -> str:
        '''The version, later.'''
        await asyncio.sleep(0)
        return str(VERSION)
    @hookimpl
    @asynccontextmanager
    async def lifespan(context):
        context.tasks.start(idle)
        yield
    @hookimpl
    def register_tools():
        return [first, second]
    @hookimpl
    def register_event_handlers():
        return [EventHandler("*", handle)]
    """
    import textwrap

    source = textwrap.dedent(source)
    async with workshop(tmp_path) as shop:
        await shop.drop("swift", source.replace("{version}", "0"))
        stopping = False
        threads = tasks = files = 0
        mixed: list[tuple[str, str]] = []
        calls = 0

        async def work() -> None:
            nonlocal calls
            while not stopping:
                with shop.host.lease() as lease:
                    one = (await lease.catalog.tools["first"].value.run({})).content
                    await asyncio.sleep(0)
                    two = (await lease.catalog.tools["second"].value.run({})).content
                    calls += 1
                    if one != two:
                        mixed.append((one, two))

        swaps = []
        async with asyncio.TaskGroup() as workers:
            for _ in range(4):
                workers.create_task(work())
            for version in range(1, 31):
                if version == 6:
                    gc.collect()
                    threads, tasks, files = _usage()
                await shop.drop("swift", source.replace("{version}", str(version)))
                receipt = shop.host.receipts("swift")[0]
                assert receipt.new_generation == version + 1
                swaps.append(receipt.swap_seconds)
            stopping = True
        await until(lambda: all(one.verdict is not Verdict.DRAINING for one in shop.host.receipts("swift")))
        gc.collect()
        now = _usage()
        assert calls > 30
        assert not mixed
        assert all(receipt.verdict is Verdict.CLEAN for receipt in shop.host.receipts("swift"))
        assert all(receipt.is_code_freed for receipt in shop.host.receipts("swift"))
        assert now[0] <= threads + 2
        assert now[1] <= tasks
        assert now[2] <= files + 2
        assert len([name for name in sys.modules if name.startswith("_iskra_plugin_swift")]) == 1
        assert sorted(swaps)[len(swaps) // 2] < 0.1


def _usage() -> tuple[int, int, int]:
    return threading.active_count(), len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def test_errors_name_file_and_line(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        status = await shop.drop("typo", "value = 1\nother = vlaue\n")
        assert isinstance(status.error, PluginError)
        assert f"{shop.folder / 'typo.py'}, line 2: NameError" in str(status.error)
