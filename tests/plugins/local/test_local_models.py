"""Local models by the real path: a tiny GGUF file, llama.cpp, a child process that is killed now and then."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from iskra_plugins import local
from iskra_plugins.local import model_process
from iskra_plugins.local.local_provider import LocalProvider
from iskra_plugins.local.model_process import ModelProcess, ModelState
from iskra_plugins.local.settings import LocalModel, LocalSettings
from iskra_sdk import LLMChunk, LLMRequest, Message, PluginContext, Usage
from iskra_sdk.errors import (
    ProviderRateLimitError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StreamInterruptedError,
)
from iskra_sdk.testing.manual_clock import ManualClock
from programs import require_module

INSTALL = "pip install 'iskra[local]'"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_module("llama_cpp", INSTALL)
    from plugins.local.tiny_model import write_tiny_model

    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path)
    return path


@dataclass
class Running:
    """A provider with one model, ``tiny``."""

    provider: LocalProvider
    process: ModelProcess
    clock: ManualClock
    model: str = "tiny"
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def stream(self, **parameters: object) -> AsyncIterator[LLMChunk]:
        return self.provider.stream(request(**parameters), self.model)

    async def text(self, **parameters: object) -> str:
        return (await self.provider.complete(request(**parameters), self.model)).message.text

    def state(self) -> ModelState:
        return self.process.state

    async def until(self, state: ModelState) -> None:
        """Let other tasks run until the process is in a state."""
        async with asyncio.timeout(10):
            while self.state() is not state:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def read_and_kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Read a long answer, and send the child a signal at its first piece."""
        pid = self.pid
        async for chunk in self.stream(max_tokens=400):
            if chunk.text:
                os.kill(pid, number)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid


MakeRunning = Callable[..., Running]


def request(*messages: Message, **parameters: object) -> LLMRequest:
    return LLMRequest(
        messages or (Message.user("hello"),), parameters={"temperature": 0, "max_tokens": 8, **parameters}
    )


@pytest.fixture
async def make_running() -> AsyncIterator[MakeRunning]:
    made: list[Running] = []

    def make(path: Path, environment: Mapping[str, str] | None = None, **settings: Any) -> Running:
        model = LocalModel(path=path, context=512, threads=1, chat_format=settings.pop("chat_format", ""))
        clock = ManualClock()
        process = ModelProcess(
            "tiny",
            model,
            LocalSettings(models={"tiny": model}, **settings),
            clock=clock,
            logger=logging.getLogger("test.local"),
            environment=environment or os.environ,
        )
        made.append(Running(LocalProvider([process]), process, clock))
        return made[-1]

    yield make
    for running in made:
        for task in running.tasks:
            task.cancel()
        await running.provider.aclose()


@pytest.fixture
def running(tiny_model: Path, make_running: MakeRunning) -> Running:
    return make_running(tiny_model)


async def test_a_model_is_loaded_on_first_use_and_streams(running: Running) -> None:
    assert running.state() is ModelState.UNLOADED
    chunks = [chunk async for chunk in running.stream()]
    assert "".join(chunk.text for chunk in chunks).isalpha()
    assert sum(bool(chunk.text) for chunk in chunks) > 1
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["length"]
    assert running.state() is ModelState.READY


async def test_tokens_are_counted(running: Running) -> None:
    answer = await running.provider.complete(request(max_tokens=5), "tiny")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    longer = await running.provider.complete(request(Message.user("hello" * 10), max_tokens=5), "tiny")
    assert longer.usage is not None
    assert longer.usage.prompt_tokens == answer.usage.prompt_tokens + 45


async def test_the_chat_template_of_the_file_is_used(
    tmp_path: Path, tiny_model: Path, make_running: MakeRunning
) -> None:
    from plugins.local.tiny_model import write_tiny_model

    write_tiny_model(tmp_path / "b.gguf", template="{{ messages[0]['content'] }}")
    plain, framed = make_running(tmp_path / "b.gguf"), make_running(tiny_model)
    counts = []
    for one in (plain, framed):
        usage = (await one.provider.complete(request(Message.user("abcdef")), "tiny")).usage
        assert usage is not None
        counts.append(usage.prompt_tokens)
    assert counts[1] > counts[0]
    assert 6 <= counts[0] <= 8  # six letters, and what the tokenizer puts before them


async def test_a_file_without_a_chat_template_needs_a_chat_format(tmp_path: Path, make_running: MakeRunning) -> None:
    require_module("llama_cpp", INSTALL)
    from plugins.local.tiny_model import write_tiny_model

    write_tiny_model(tmp_path / "c.gguf", template=None)
    with pytest.raises(ProviderUnavailableError, match="no chat template; set chat_format"):
        await make_running(tmp_path / "c.gguf").text()
    assert await make_running(tmp_path / "c.gguf", chat_format="chatml").text()


async def test_the_same_seed_gives_the_same_answer_and_sampling_is_passed_on(running: Running) -> None:
    first = await running.text(temperature=1.5, seed=3, max_tokens=30)
    assert first == await running.text(temperature=1.5, seed=3, max_tokens=30)
    assert first != await running.text(temperature=1.5, seed=4, max_tokens=30)
    assert len(await running.text(max_completion_tokens=3, max_tokens=None)) <= 3


async def test_stop_words_end_the_answer(running: Running) -> None:
    whole = await running.provider.complete(request(max_tokens=20), "tiny")
    stop = whole.message.text[5]
    cut = await running.provider.complete(request(max_tokens=20, stop=[stop]), "tiny")
    assert cut.message.text == whole.message.text[: whole.message.text.index(stop)]
    assert cut.finish_reason == "stop"


async def test_a_json_schema_becomes_a_grammar(running: Running) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    text = await running.text(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}, max_tokens=100
    )
    assert json.loads(text)["a"] in ("x", "y")


@pytest.mark.parametrize(
    ("messages", "parameters"),
    [
        ([Message.user("x" * 5000)], {}),
        ([Message({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})], {}),
        ([Message.user("x")], {"stop": [1]}),
    ],
    ids=["longer than the context", "an image", "a wrong parameter"],
)
async def test_a_request_that_cannot_be_answered_is_rejected_and_the_model_stays(
    running: Running, messages: Sequence[Message], parameters: Mapping[str, object]
) -> None:
    await running.text()
    pid = running.pid
    with pytest.raises(ProviderRejectedError):
        await running.provider.complete(request(*messages, **parameters), "tiny")
    assert await running.text()
    assert running.pid == pid


async def test_text_parts_and_empty_contents_are_read(running: Running) -> None:
    parts = Message({"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]})
    whole = await running.provider.complete(request(parts), "tiny")
    assert whole.message.text == await running.text()


async def test_an_unknown_model_is_rejected(running: Running) -> None:
    with pytest.raises(ProviderRejectedError, match="Configured are: tiny"):
        await running.provider.complete(request(), "other")


async def test_leaving_a_stream_stops_the_model_and_keeps_it(running: Running) -> None:
    await running.text()
    pid = running.pid
    async with aclosing(cast("Any", running.stream(max_tokens=400))) as chunks:
        async for _ in chunks:
            break
    started = time.monotonic()
    assert await running.text(max_tokens=2)
    assert time.monotonic() - started < 30
    assert running.pid == pid


async def test_a_cancelled_reader_stops_the_model_within_a_second(running: Running) -> None:
    await running.text()
    pid = running.pid
    began = asyncio.Event()

    async def read() -> None:
        async for _ in running.stream(max_tokens=400):
            began.set()

    reader = asyncio.create_task(read())
    await asyncio.wait_for(began.wait(), 10)
    started = time.monotonic()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert time.monotonic() - started < 30
    assert running.state() is ModelState.READY
    assert running.pid == pid


async def test_a_call_cancelled_at_once_is_stopped_too(running: Running) -> None:
    await running.text()
    pid = running.pid
    for _ in range(5):
        call = asyncio.create_task(running.text(max_tokens=400))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(await running.text(max_tokens=3)) <= 3
    assert running.pid == pid


async def test_a_child_that_does_not_stop_is_killed_and_replaced_without_counting(running: Running) -> None:
    await running.text()
    for _ in range(2):
        pid = running.pid
        stream = running.stream(max_tokens=400)
        await anext(aiter(stream))
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        await cast("Any", stream).aclose()
        assert time.monotonic() - started < 30
        assert await running.text()
        assert running.pid != pid
    assert not running.process.crashes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_crash_while_streaming_is_told_and_the_next_call_has_a_new_child(
    running: Running, number: signal.Signals
) -> None:
    await running.text()
    pid = running.pid
    with pytest.raises(StreamInterruptedError, match=f"killed by {number.name}"):
        await running.read_and_kill(number)
    assert await running.text()
    assert running.pid != pid


async def test_a_crash_before_the_first_piece_may_be_retried(running: Running) -> None:
    await running.text()
    os.kill(running.pid, signal.SIGSTOP)
    call = asyncio.create_task(running.text())
    await asyncio.sleep(0)
    os.kill(running.pid, signal.SIGKILL)
    with pytest.raises(ProviderUnavailableError, match="killed by SIGKILL") as caught:
        await call
    assert caught.value.transient


@pytest.fixture
def crashing(tmp_path: Path, make_running: MakeRunning, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A model whose process dies at once; the budget is the same, and the tests stay short."""
    (tmp_path / "child.py").write_text("import os; os.abort()")
    monkeypatch.setattr(model_process, "_CHILD", tmp_path / "child.py")
    (tmp_path / "model.gguf").write_bytes(b"")
    return make_running(tmp_path / "model.gguf")


async def test_too_many_crashes_in_a_short_time_end_the_restarts(crashing: Running) -> None:
    for _ in range(6):
        with pytest.raises(ProviderUnavailableError, match="killed by SIGABRT"):
            await crashing.text()
        crashing.clock.advance(5)
    assert crashing.state() is ModelState.FAILED
    crashing.clock.advance(3600)
    for attempt in (crashing.text, crashing.provider.check):
        with pytest.raises(ProviderUnavailableError, match="died 6 times within 60 s and is not started again"):
            await attempt()


async def test_crashes_far_apart_do_not_end_the_restarts(crashing: Running) -> None:
    for _ in range(8):
        with pytest.raises(ProviderUnavailableError, match="killed by SIGABRT"):
            await crashing.text()
        crashing.clock.advance(15)
    assert crashing.state() is ModelState.UNLOADED


async def test_one_call_runs_at_a_time_and_the_queue_is_bounded(tiny_model: Path, make_running: MakeRunning) -> None:
    running = make_running(tiny_model, queue=2)
    first = running.stream(max_tokens=400)
    await anext(aiter(first))
    waiting = [asyncio.create_task(running.text(max_tokens=2)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ProviderRateLimitError) as caught:
        await running.text()
    assert caught.value.retry_after
    assert not caught.value.is_provider_fault
    assert not any(task.done() for task in waiting)
    await cast("Any", first).aclose()
    assert all(await asyncio.gather(*waiting))


async def test_an_idle_model_is_unloaded_and_loaded_again(tiny_model: Path, make_running: MakeRunning) -> None:
    running = make_running(tiny_model, idle_seconds=100)
    watcher = asyncio.create_task(running.process.unload_when_idle())
    running.tasks.add(watcher)
    await running.clock.until_sleeping()
    running.clock.advance(60)
    await running.text()
    running.clock.advance(60)
    await running.clock.until_sleeping()
    assert running.state() is ModelState.READY
    running.clock.advance(60)
    await running.clock.until_sleeping()
    assert running.process.pid is None
    assert running.state() is ModelState.UNLOADED
    assert await running.text()


async def test_a_caller_who_leaves_does_not_stop_the_loading(running: Running) -> None:
    call = asyncio.create_task(running.text())
    await running.until(ModelState.LOADING)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert running.state() is ModelState.LOADING
    assert await running.text()


async def test_loading_that_takes_too_long_is_given_up(tiny_model: Path, make_running: MakeRunning) -> None:
    running = make_running(tiny_model, load_seconds=0.001)
    with pytest.raises(ProviderUnavailableError, match=r"longer than 0\.001 s"):
        await running.text()


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"not a model" * 100])
async def test_a_broken_file_is_told(tmp_path: Path, make_running: MakeRunning, content: bytes | None) -> None:
    require_module("llama_cpp", INSTALL)
    if content is not None:
        (tmp_path / "broken.gguf").write_bytes(content)
    running = make_running(tmp_path / "broken.gguf")
    with pytest.raises(ProviderUnavailableError, match="cannot be used: it was not loaded"):
        await running.text()


async def test_closing_ends_the_child_even_while_it_loads(tiny_model: Path, make_running: MakeRunning) -> None:
    running = make_running(tiny_model)
    call = asyncio.create_task(running.text())
    await running.until(ModelState.LOADING)
    await running.provider.aclose()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert running.process.pid is None


async def test_the_child_sees_no_secrets(tiny_model: Path, make_running: MakeRunning) -> None:
    running = make_running(tiny_model, {**os.environ, "ISKRA_TOKEN": "secret-1", "OPENAI_API_KEY": "secret-2"})
    await running.text()
    environment = await asyncio.to_thread(Path(f"/proc/{running.pid}/environ").read_bytes)
    assert b"PATH=" in environment
    assert b"secret-" not in environment


async def test_the_plugin_registers_its_models(tiny_model: Path) -> None:
    closers: list[Callable[[], Any]] = []
    started: list[str] = []
    context = SimpleNamespace(
        settings=LocalSettings(models={"tiny": LocalModel(path=tiny_model)}),
        logger=logging.getLogger("test.local"),
        clock=ManualClock(),
        on_close=closers.append,
        tasks=SimpleNamespace(start=lambda job, *, name: started.append(name)),
    )
    (provider,) = local.register_llm_providers(cast("PluginContext", context))
    assert provider.name == "local"
    assert await provider.models() == ("tiny",)
    assert await provider.check() == "tiny: unloaded"
    assert started == ["idle-tiny"]
    assert (await provider.complete(request(max_tokens=1), "tiny")).usage == Usage(28, 1)
    for close in closers:
        await close()


def test_without_models_nothing_is_registered() -> None:
    context = SimpleNamespace(settings=LocalSettings())
    assert tuple(local.register_llm_providers(cast("PluginContext", context))) == ()


def test_without_the_library_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    context = SimpleNamespace(
        settings=LocalSettings(models={"a": LocalModel(path=Path("a.gguf"))}), logger=logging.getLogger("test.local")
    )
    assert tuple(local.register_llm_providers(cast("PluginContext", context))) == ()
    assert "pip install 'iskra[local]'" in caplog.text
