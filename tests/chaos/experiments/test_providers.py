import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.experiments.experiment_documents import SAMPLES, call, http
from chaos.experiments.target_server import TargetServer, target_server
from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Activity
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.processes import MAX_OUTPUT, run_program
from iskra_chaos.experiments.providers import Providers
from iskra_chaos.experiments.run_context import RunContext
from iskra_sdk.client import AsyncIskraClient

Run = Callable[..., Any]


@pytest.fixture
async def run(target: TargetServer) -> AsyncIterator[Run]:
    variables = Variables({"base": target.url}, {"shop": {"token": "t0k3n"}, "other": {"x": 1}})
    allow = AllowList([SAMPLES], ["localhost"], processes=True).with_host_of(target.url)
    async with AsyncIskraClient(target.url, "t") as client:
        providers = Providers(allow, variables, RunContext(client))

        async def run_one(activity: dict[str, Any], **more: Any) -> Any:
            return await providers.run(Activity.model_validate(activity), **more)

        yield run_one


async def test_a_function_gets_what_it_asks_for(run: Run) -> None:
    output = await run(call("leak", "leak", module=SAMPLES, secrets=["shop"]))
    assert output["secrets"] == {"token": "t0k3n"}
    assert set(output["configuration"]) == {"base"}


async def test_a_function_of_the_runner_gets_the_context(run: Run, target: TargetServer) -> None:
    assert await run(call("up", "server_answers")) is True
    target.state.values["health"] = "bad"
    assert await run(call("up", "server_answers")) is False
    assert await run(call("ready", "server_is_ready")) is False


@pytest.mark.parametrize(
    ("func", "text"),
    [
        ("explode", "explode raised RuntimeError: boom"),
        ("exit_at_once", "SystemExit"),
        ("slowly", "slowly raised TimeoutError: the function's own"),
        ("not_offered", "offers no function"),
        ("threading", "offers no function"),
        ("nothing", "offers no function"),
        ("echo", "missing 1 required"),
    ],
)
async def test_functions_that_fail(run: Run, func: str, text: str) -> None:
    with pytest.raises(ActivityError, match=text):
        await run(call("x", func, module=SAMPLES))


async def test_a_function_that_hangs_is_left_behind(run: Run) -> None:
    with pytest.raises(ActivityError, match=r"longer than 0\.05 s"):
        await run(call("x", "hang", module=SAMPLES, timeout=0.05))


async def test_an_answer_is_status_headers_and_body(run: Run) -> None:
    output = await run(http("x", "${base}/health"))
    assert output["status"] == 200
    assert output["headers"]["Content-Type"] == "application/json"
    assert output["body"] == {"status": "ok"}


@pytest.mark.parametrize(
    ("headers", "arguments", "seen"),
    [
        ({"Content-Type": "application/json"}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": "1"}, "a=1"),
        ({}, "raw", "raw"),
    ],
)
async def test_a_body_is_what_the_content_type_says(
    run: Run, target: TargetServer, headers: dict[str, str], arguments: object, seen: object
) -> None:
    activity = http("x", "${base}/value/v", "POST", arguments=arguments)
    activity["provider"]["headers"] = headers
    await run(activity)
    assert target.state.values["v"] == seen


async def test_arguments_of_a_get_are_its_query(run: Run, target: TargetServer) -> None:
    await run(http("x", "${base}/value/v", arguments={"q": "a b"}))
    assert target.state.paths("GET") == ["/value/v?q=a+b"]


async def test_a_redirect_to_somewhere_else_is_not_followed(run: Run, target: TargetServer) -> None:
    with target_server() as other:
        assert (await run(http("x", f"${{base}}/redirect?to={target.url}/health")))["status"] == 200
        with pytest.raises(ActivityError, match=f"{other.host} are not allowed"):
            await run(http("x", f"${{base}}/redirect?to={other.url}/health"))
        assert other.state.calls == []


async def test_a_server_that_is_gone_is_a_failed_activity(run: Run) -> None:
    with target_server() as gone:
        port = gone.server_address[1]
    with pytest.raises(ActivityError, match="The request failed: ConnectError"):
        await run(http("x", f"http://localhost:{port}/health"))


async def test_a_program_gives_its_status_and_outputs(run: Run) -> None:
    code = "import sys; print(sys.argv[1:]); sys.stderr.write('e'); sys.exit(4)"
    provider = {"type": "process", "path": sys.executable, "arguments": ["-c", code, "${base}", None, 7]}
    output = await run({"type": "probe", "name": "x", "provider": provider})
    assert output["status"] == 4
    assert output["stdout"].startswith("['http://127.0.0.1:")
    assert output["stdout"].endswith(", '7']\n")
    assert output["stderr"] == "e"


async def test_arguments_of_a_program_may_be_a_mapping_or_a_text(run: Run) -> None:
    assert (await run_program("echo", {"-n": "a b"}, 10))["stdout"] == "a b"
    assert (await run_program("echo", "one | tr o 0", 10))["stdout"] == "0ne\n"


async def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ActivityError, match="no program 'no-such-program'"):
        await run_program("no-such-program", [], 1)


async def test_the_output_that_is_kept_is_bounded() -> None:
    code = f"import sys; sys.stdout.write('x' * {MAX_OUTPUT * 3})"
    assert len((await run_program(sys.executable, ["-c", code], 30))["stdout"]) == MAX_OUTPUT


def _parent(folder: Path) -> list[str]:
    """A program that starts a child and waits for it; both write down who they are."""
    child = f"import os, time; open({str(folder / 'child')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    return ["-c", parent]


def _number_in(path: Path) -> int:
    return int(path.read_text() or 0) if path.exists() else 0


async def _written(path: Path) -> int:
    async with asyncio.timeout(30):
        while not (number := _number_in(path)):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    return number


async def _is_gone(pid: int) -> bool:
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return True


async def test_a_program_is_killed_with_its_children_when_its_caller_gives_up(tmp_path: Path) -> None:
    task = asyncio.ensure_future(run_program(sys.executable, _parent(tmp_path), 60))
    child = await _written(tmp_path / "child")
    assert os.getpgid(child) != os.getpgid(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _is_gone(child)


async def test_a_program_is_killed_with_its_children_when_its_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(ActivityError, match=r"longer than 1\.5 s and was killed"):
        await run_program(sys.executable, _parent(tmp_path), 1.5)
    # On a busy machine the child may not have got so far as to say who it is.
    if child := _number_in(tmp_path / "child"):
        assert await _is_gone(child)
