import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import pytest

from iskra.interceptors import Points
from iskra.llm import CircuitState, LLMRouter
from iskra.llm.circuit_breaker import CircuitStatus
from iskra.plugin_host.catalog import Owned
from iskra.settings import AliasSettings, LLMSettings
from iskra_sdk.errors import (
    AllTargetsFailedError,
    CircuitOpenError,
    LLMError,
    ProviderProtocolError,
    ProviderRateLimitError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamInterruptedError,
    UnknownModelError,
)
from iskra_sdk.interceptor import Interceptor, Point, Position, Proceed
from iskra_sdk.llm import Caller, LLMAnswer, LLMChunk, LLMProvider, LLMRequest, Usage
from iskra_sdk.message import Message
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.memory_bus import MemoryEventBus
from iskra_sdk.testing.scripted_model import Pause, Reply, ScriptedModel

REQUEST = LLMRequest((Message.user("hi"),), caller=Caller("me", "agent"))
DOWN = ProviderUnavailableError("The upstream is down.")


def only(provider: LLMProvider) -> Mapping[str, Owned[LLMProvider]]:
    return {"first": Owned(provider, "p", 1)}


class Bench:
    """A router over scripted providers ``first`` and ``second``."""

    def __init__(
        self,
        *first: Reply,
        second: Sequence[Reply] | None = None,
        repeat: bool = False,
        models: Sequence[str] = ("m",),
        target: str = "first/m",
        pass_through: bool = False,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock()
        self.bus = MemoryEventBus()
        self.points = Points()
        self.usage: list[tuple[Caller, str, Usage]] = []
        self.first = ScriptedModel(*first, name="first", repeat=repeat, models=models, clock=self.clock)
        self.second = ScriptedModel(*(second or ()), name="second", clock=self.clock)
        targets = (target,) if second is None else (target, "second/m")
        self.router = LLMRouter(
            LLMSettings(**settings),
            {"default": AliasSettings(targets=targets, pass_through=pass_through)},
            clock=self.clock,
            bus=self.bus,
            points=self.points,
            record_usage=lambda caller, target, usage: self.usage.append((caller, target, usage)),
        )
        self.targets: list[str] = []

    @property
    def providers(self) -> Mapping[str, Owned[LLMProvider]]:
        return {model.name: Owned(cast("LLMProvider", model), "p", 1) for model in (self.first, self.second)}

    def stream(self, request: LLMRequest = REQUEST) -> AsyncIterator[LLMChunk]:
        return self.router.stream(request, self.providers, on_target=self.targets.append)

    async def text(self, request: LLMRequest = REQUEST) -> str:
        return "".join([chunk.text async for chunk in self.stream(request)])

    async def complete(self, request: LLMRequest = REQUEST) -> LLMAnswer:
        return await self.router.complete(request, self.providers)

    async def running(self, call: Any) -> Any:
        """Run a call and let the clock go on whenever somebody waits for it."""
        task = asyncio.ensure_future(call)
        async with asyncio.timeout(10):
            while not task.done():
                if self.clock.sleepers:
                    self.clock.advance(8)  # the longest backoff
                await asyncio.sleep(0)
        return await task

    @property
    def events(self) -> list[str]:
        return [event.type for event in self.bus.published]


async def test_a_stream_passes_chunk_by_chunk_and_usage_is_recorded_at_the_end() -> None:
    bench = Bench("It is sunny.")
    chunks = [chunk async for chunk in bench.stream()]
    assert "".join(chunk.text for chunk in chunks) == "It is sunny."
    assert [chunk.text for chunk in chunks if chunk.text] == ["It ", "is ", "sunny."]
    assert bench.targets == ["first/m"]
    assert bench.usage == [(REQUEST.caller, "first/m", Usage(1, 3))]


async def test_a_whole_answer_tells_its_target() -> None:
    bench = Bench("sunny")
    answer = await bench.complete()
    assert (answer.message.text, answer.target) == ("sunny", "first/m")
    assert not bench.usage, "the answer goes first"
    await asyncio.sleep(0)
    assert bench.usage == [(REQUEST.caller, "first/m", Usage(1, 1))]


async def test_a_recorder_that_fails_does_not_spoil_the_answer() -> None:
    bench = Bench("sunny")

    def fail(caller: Caller, target: str, usage: Usage) -> None:
        raise LookupError

    bench.router._record_usage = fail
    assert await bench.text() == "sunny"


@pytest.mark.parametrize("way", ["text", "complete"])
async def test_transient_errors_are_retried_with_backoff(way: str) -> None:
    bench = Bench(DOWN, DOWN, "third time lucky")
    task = asyncio.ensure_future(getattr(bench, way)())
    await bench.clock.until_sleeping()
    bench.clock.advance(0.5)
    await bench.running(task)
    assert len(bench.first.requests) == 3


async def test_no_more_than_three_attempts_are_made() -> None:
    bench = Bench(DOWN, repeat=True)
    with pytest.raises(ProviderUnavailableError, match="down"):
        await bench.running(bench.text())
    assert len(bench.first.requests) == 3


async def test_lasting_trouble_costs_less_than_two_and_a_half_requests_a_call() -> None:
    bench = Bench(ProviderRateLimitError("slow down"), repeat=True)
    calls = 30
    for _ in range(calls):
        with pytest.raises(ProviderRateLimitError):
            await bench.running(bench.text())
    assert len(bench.first.requests) / calls < 2.5


@pytest.mark.parametrize(
    "error",
    [ProviderRejectedError("bad request", upstream_status=400), LLMError("too long")],
    ids=["rejected", "other"],
)
async def test_lasting_errors_are_not_repeated(error: LLMError) -> None:
    bench = Bench(error, "never")
    with pytest.raises(type(error)):
        await bench.text()
    assert len(bench.first.requests) == 1


async def test_nothing_is_retried_after_the_first_token() -> None:
    bench = Bench(["It ", DOWN], "again", second=["fallback"])
    stream = bench.stream()
    assert (await anext(stream)).text == "It "
    with pytest.raises(StreamInterruptedError, match="broke off: The upstream is down"):
        await anext(stream)
    assert len(bench.first.requests) == 1
    assert not bench.second.requests


async def test_a_failure_before_the_first_token_is_retried_even_after_an_empty_chunk() -> None:
    bench = Bench([LLMChunk(wire={"role": "assistant"}), DOWN], "sunny")
    assert await bench.running(bench.text()) == "sunny"


async def test_empty_chunks_are_passed_on_with_the_first_token() -> None:
    empty, text, end = LLMChunk(wire={"n": 1}), LLMChunk("a", wire={"n": 2}), LLMChunk(finish_reason="stop")
    bench = Bench([empty, text, end])
    assert [chunk async for chunk in bench.stream()] == [empty, text, end]


async def test_retry_after_is_honoured() -> None:
    bench = Bench(ProviderRateLimitError("slow down", retry_after=7.0), "sunny")
    task = asyncio.create_task(bench.text())
    await bench.clock.until_sleeping()
    bench.clock.advance(6.9)
    await asyncio.sleep(0)
    assert bench.clock.sleepers == 1
    bench.clock.advance(0.2)
    assert await task == "sunny"


async def test_a_long_retry_after_is_not_waited_for() -> None:
    bench = Bench(ProviderRateLimitError("slow down", retry_after=3600.0), second=["sunny"])
    assert await bench.text() == "sunny"
    assert len(bench.first.requests) == 1
    alone = Bench(ProviderRateLimitError("slow down", retry_after=3600.0))
    with pytest.raises(ProviderRateLimitError) as caught:
        await alone.text()
    assert caught.value.retry_after == 3600.0


@pytest.mark.parametrize("way", ["text", "complete"])
async def test_the_next_target_answers_when_one_cannot(way: str) -> None:
    bench = Bench(ProviderRejectedError("no such model", upstream_status=404), second=["sunny", "sunny"])
    await getattr(bench, way)()
    assert len(bench.second.requests) == 1
    if way == "text":
        assert bench.targets == ["second/m"]


async def test_all_failures_are_told_together() -> None:
    bench = Bench(
        ProviderRateLimitError("slow down", retry_after=40.0),
        second=[ProviderRejectedError("no such model", upstream_status=404)],
    )
    with pytest.raises(AllTargetsFailedError) as caught:
        await bench.text()
    assert list(caught.value.causes) == ["first/m", "second/m"]
    assert caught.value.retry_after == 40.0


async def test_a_request_that_every_target_refuses_is_the_requests_fault() -> None:
    refused = ProviderRejectedError("too many tokens", upstream_status=400)
    with pytest.raises(ProviderRejectedError):
        await Bench(refused, second=[refused]).text()


async def test_a_provider_that_is_not_loaded_is_passed_over() -> None:
    bench = Bench("never", target="gone/m", second=["sunny"])
    assert await bench.text() == "sunny"
    alone = Bench(target="gone/m")
    with pytest.raises(LLMError, match="No provider named 'gone'"):
        await alone.text()


async def test_five_failures_open_the_circuit_and_three_probes_close_it() -> None:
    bench = Bench(*[DOWN] * 5, "one", "two", "three", retries=0)
    for _ in range(5):
        with pytest.raises(ProviderUnavailableError):
            await bench.text()
    with pytest.raises(CircuitOpenError) as caught:
        await bench.text()
    assert caught.value.retry_after == 60.0
    assert bench.router.breakers() == {"first/m": CircuitStatus(CircuitState.OPEN, 0, 5)}
    bench.clock.advance(60)
    assert [await bench.text(), (await bench.complete()).message.text, await bench.text()] == ["one", "two", "three"]
    assert bench.events == ["breaker.opened", "breaker.half_opened", "breaker.closed"]
    assert bench.bus.published[0].data == {"target": "first/m", "rest": 60.0}
    assert len(bench.first.requests) == 8


async def test_an_open_circuit_sends_calls_to_the_fallback() -> None:
    bench = Bench(*[DOWN] * 5, second=["a", "b", "c", "d", "e", "f"], retries=0)
    for _ in range(6):
        await bench.text()
    assert len(bench.first.requests) == 5
    assert len(bench.second.requests) == 6


async def test_retries_stop_when_the_circuit_opens() -> None:
    bench = Bench(DOWN, repeat=True, breaker_failures=1)
    with pytest.raises(ProviderUnavailableError):
        await bench.running(bench.text())
    assert len(bench.first.requests) == 1


@pytest.mark.parametrize(
    ("reply", "is_fault"),
    [
        (["It ", DOWN], True),
        ([LLMChunk("cut")], True),
        (ValueError("a bug"), True),
        (ProviderRateLimitError("slow"), False),
        (ProviderRejectedError("no", upstream_status=400), False),
    ],
    ids=["broken", "cut", "bug", "rate limit", "rejected"],
)
async def test_only_the_providers_own_faults_count(reply: Reply, is_fault: bool) -> None:
    bench = Bench(reply, repeat=True, retries=0, breaker_failures=1)
    with pytest.raises(LLMError):
        await bench.text()
    assert (bench.router.breakers()["first/m"].state is CircuitState.OPEN) is is_fault


async def test_a_very_long_answer_does_not_count_against_the_target() -> None:
    bench = Bench(["It ", Pause()], retries=0, breaker_failures=1, total_timeout=0.05)
    with pytest.raises(StreamInterruptedError, match="not complete after"):
        await bench.text()
    assert bench.router.breakers()["first/m"].state is CircuitState.CLOSED


async def test_a_probe_that_is_cancelled_makes_room_for_the_next() -> None:
    bench = Bench(DOWN, ["It ", Pause()], "sunny", retries=0, breaker_failures=1, breaker_successes=1)
    with pytest.raises(ProviderUnavailableError):
        await bench.text()
    bench.clock.advance(60)
    async with aclosing(cast("Any", bench.stream())) as stream:
        await anext(stream)
        with pytest.raises(CircuitOpenError):
            await bench.text()
    assert await bench.text() == "sunny"
    assert bench.router.breakers()["first/m"].state is CircuitState.CLOSED


async def test_an_answer_that_does_not_begin_times_out() -> None:
    bench = Bench(Pause(), second=["sunny"], retries=0, first_token_timeout=0.02)
    assert await bench.text() == "sunny"
    assert bench.first.abandoned == 1
    alone = Bench([LLMChunk(), Pause()], retries=0, first_token_timeout=0.02)
    with pytest.raises(ProviderTimeoutError) as caught:
        await alone.text()
    assert caught.value.phase == "first_token"


async def test_empty_chunks_do_not_move_the_deadline_of_the_first_token() -> None:
    class Dripping(LLMProvider):
        name = "first"

        async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            for _ in range(2):
                await asyncio.sleep(0.03)
                yield LLMChunk()
            await asyncio.get_running_loop().create_future()

    bench = Bench(retries=0, first_token_timeout=0.05)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ProviderTimeoutError):
        async for _ in bench.router.stream(REQUEST, only(Dripping())):
            pass
    assert asyncio.get_running_loop().time() - began < 0.08


async def test_a_gap_that_is_too_long_breaks_the_stream_off() -> None:
    bench = Bench(["It ", Pause()], retries=0, gap_timeout=0.02, breaker_failures=1)
    with pytest.raises(StreamInterruptedError, match=r"nothing came for 0\.02 s"):
        await bench.text()
    assert bench.first.abandoned == 1
    assert bench.router.breakers()["first/m"].state is CircuitState.OPEN


async def test_each_chunk_gets_the_whole_gap() -> None:
    class Steady(LLMProvider):
        name = "first"

        async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            for number in range(6):
                yield LLMChunk(str(number))
                await asyncio.sleep(0.02)
            yield LLMChunk(finish_reason="stop")

    bench = Bench(gap_timeout=0.05)
    chunks = bench.router.stream(REQUEST, only(Steady()))
    assert "".join([chunk.text async for chunk in chunks]) == "012345"


async def test_a_slow_consumer_is_no_gap() -> None:
    bench = Bench("It is sunny.", gap_timeout=0.02)
    seen: list[str] = []
    async for chunk in bench.stream():
        seen.append(chunk.text)
        await asyncio.sleep(0.03)
    assert "".join(seen) == "It is sunny."


async def test_the_whole_call_is_limited_even_if_tokens_keep_coming() -> None:
    class Endless(LLMProvider):
        name = "first"

        async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            while True:
                yield LLMChunk("x")
                await asyncio.sleep(0.005)

    bench = Bench(gap_timeout=1, total_timeout=0.05)
    with pytest.raises(StreamInterruptedError) as caught:
        async for _ in bench.router.stream(REQUEST, only(Endless())):
            pass
    assert caught.value.facts["phase"] == "total"


async def test_a_whole_answer_that_does_not_come_times_out() -> None:
    bench = Bench(Pause(), retries=0, first_token_timeout=0.01, breaker_failures=1)
    with pytest.raises(ProviderTimeoutError):
        await bench.complete()
    assert bench.first.abandoned == 1
    assert bench.router.breakers()["first/m"].state is CircuitState.OPEN


async def test_waiting_for_the_token_count_does_not_spoil_a_finished_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra.llm.pump._AFTER_FINISH", 0.02)
    bench = Bench(
        [LLMChunk("done"), LLMChunk(finish_reason="stop"), Pause()], [LLMChunk("x", finish_reason="stop"), DOWN]
    )
    assert await bench.text() == "done"
    assert await bench.text() == "x"
    assert bench.router.breakers()["first/m"].state is CircuitState.CLOSED


async def test_a_cut_stream_is_never_done() -> None:
    with pytest.raises(StreamInterruptedError, match="without a finish reason"):
        await Bench([LLMChunk("half an ans")]).text()
    with pytest.raises(ProviderProtocolError, match="before it began"):
        await Bench([LLMChunk()], retries=0).text()


async def test_an_empty_answer_is_an_answer() -> None:
    assert await Bench([LLMChunk(finish_reason="stop")]).text() == ""


@pytest.mark.parametrize("way", ["text", "complete"])
async def test_what_a_provider_raises_besides_is_an_llm_error(way: str) -> None:
    bench = Bench(SystemExit(1), retries=0)
    with pytest.raises(ProviderProtocolError, match="SystemExit"):
        await getattr(bench, way)()


async def test_cancelling_the_consumer_stops_the_provider() -> None:
    bench = Bench(["It ", Pause()], Pause())
    for _ in range(2):
        task = asyncio.create_task(bench.text())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert bench.first.abandoned == 2


async def test_closing_the_stream_stops_the_provider() -> None:
    bench = Bench(["It ", Pause()])
    async with aclosing(cast("Any", bench.stream())) as stream:
        await anext(stream)
    assert bench.first.abandoned == 1


async def test_closing_waits_for_the_provider_even_when_cancelled_meanwhile() -> None:
    class Tidy(LLMProvider):
        name = "first"
        closing = asyncio.Event()
        closed = False

        async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            try:
                yield LLMChunk("x")
                yield LLMChunk("y")
            finally:
                self.closing.set()
                await asyncio.sleep(0.01)
                self.closed = True

    tidy = Tidy()
    bench = Bench()

    async def leave() -> None:
        async with aclosing(cast("Any", bench.router.stream(REQUEST, only(tidy)))) as s:
            await anext(s)

    task = asyncio.create_task(leave())
    await tidy.closing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert tidy.closed


async def test_a_provider_that_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra.llm.pump.CLOSING_TIMEOUT", 0.01)

    class Stubborn(LLMProvider):
        name = "first"

        async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            try:
                yield LLMChunk("x")
            finally:
                await asyncio.get_running_loop().create_future()

    bench = Bench()
    async with asyncio.timeout(5):
        async with aclosing(cast("Any", bench.router.stream(REQUEST, only(Stubborn())))) as stream:
            await anext(stream)


async def test_any_model_means_the_first_that_is_listed() -> None:
    bench = Bench("a", "b", target="first/*", models=("llama", "qwen"))
    await bench.text()
    answer = await bench.complete()
    assert bench.first.models_asked == ["llama", "llama"]
    assert bench.targets == ["first/llama"]
    assert answer.target == "first/llama"


async def test_any_model_of_a_provider_without_models_is_a_clear_error() -> None:
    with pytest.raises(ProviderRejectedError, match="lists no models"):
        await Bench("a", target="first/*", models=()).text()


async def test_names_pass_through_where_the_alias_allows() -> None:
    bench = Bench("a", pass_through=True, models=("x", "org/y"))
    await bench.text(LLMRequest(REQUEST.messages, model="default/org/y"))
    assert bench.first.models_asked == ["org/y"]
    assert await bench.router.models(bench.providers) == {"default": ("x", "org/y")}
    closed = Bench("a")
    assert await closed.router.models(closed.providers) == {}
    for model in ("default/y", "nobody", "nobody/y", "default/"):
        with pytest.raises(UnknownModelError):
            await closed.text(LLMRequest(REQUEST.messages, model=model))
    assert closed.router.alias_names() == ("default",)


async def test_models_that_cannot_be_listed_are_none() -> None:
    class Mute(LLMProvider):
        name = "first"
        asked = 0

        def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
            raise NotImplementedError

        async def models(self) -> Sequence[str]:
            self.asked += 1
            raise OSError("no")

    mute = Mute()
    bench = Bench(pass_through=True)
    providers: Mapping[str, Owned[LLMProvider]] = only(mute)
    for _ in range(2):
        assert await bench.router.models(providers) == {"default": ()}
    assert mute.asked == 1


async def test_names_that_callers_make_up_do_not_fill_the_memory() -> None:
    bench = Bench("a", repeat=True, pass_through=True)
    for number in range(1100):
        await bench.text(LLMRequest(REQUEST.messages, model=f"default/{number}"))
    assert len(bench.router.breakers()) <= 1024


async def test_interceptors_wrap_both_kinds_of_call() -> None:
    bench = Bench("one two", "three")
    log: list[str] = []

    async def request(payload: LLMRequest, proceed: Proceed) -> Any:
        log.append("request")
        return await proceed(LLMRequest((*payload.messages, Message.user("and")), caller=payload.caller))

    async def stream(payload: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        log.append("stream")
        async for chunk in await proceed(payload):
            yield chunk._replace(text=chunk.text.upper())

    bench.points.rebuild(
        [
            Owned(Interceptor(Point.LLM_REQUEST, request), "p", 1),
            Owned(Interceptor(Point.LLM_STREAM, cast("Any", stream), Position.INNERMOST), "p", 1),
        ]
    )
    assert await bench.text() == "ONE TWO"
    assert (await bench.complete()).message.text == "three"
    assert log == ["stream", "request"]
    assert len(bench.first.requests[1].messages) == 2


async def test_closing_an_intercepted_stream_stops_the_provider() -> None:
    bench = Bench(["It ", Pause()])

    async def stream(payload: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        async for chunk in await proceed(payload):
            yield chunk

    bench.points.rebuild([Owned(Interceptor(Point.LLM_STREAM, cast("Any", stream)), "p", 1)])
    async with aclosing(cast("Any", bench.stream())) as opened:
        await anext(opened)
    assert bench.first.abandoned == 1


async def test_the_provider_is_told_how_long_connecting_may_take() -> None:
    bench = Bench("a", connect_timeout=1.5)
    await bench.text()
    assert bench.first.requests[0].connect_timeout == 1.5


async def test_innermost_interceptors_wrap_every_attempt_and_the_router_sees_what_they_raise() -> None:
    bench = Bench("a", repeat=True, retries=2, breaker_failures=3)
    attempts: list[str] = []
    whole: list[str] = []

    async def down_at_first(payload: LLMRequest, proceed: Proceed) -> Any:
        attempts.append("stream")
        if len(attempts) < 3:
            raise DOWN
        return await proceed(payload)

    async def outer(payload: LLMRequest, proceed: Proceed) -> Any:
        whole.append("stream")
        return await proceed(payload)

    bench.points.rebuild(
        [
            Owned(Interceptor(Point.LLM_STREAM, down_at_first, Position.INNERMOST), "p", 1),
            Owned(Interceptor(Point.LLM_STREAM, outer), "p", 1),
        ]
    )
    assert await bench.running(bench.text()) == "a"
    assert (attempts, whole) == (["stream"] * 3, ["stream"])
    assert len(bench.first.requests) == 1


async def test_an_innermost_interceptor_that_keeps_failing_opens_the_breaker_and_the_next_target_answers() -> None:
    bench = Bench("first", second=["second"] * 3, retries=0, breaker_failures=2)
    fails = iter([True, False, True, False, False])  # the third call does not try the first target any more

    async def down(payload: LLMRequest, proceed: Proceed) -> Any:
        if next(fails):
            raise DOWN
        return await proceed(payload)

    bench.points.rebuild([Owned(Interceptor(Point.LLM_REQUEST, down, Position.INNERMOST), "p", 1)])
    for _ in range(3):
        assert (await bench.complete()).message.text == "second"
    assert bench.router.breakers()["first/m"].state is CircuitState.OPEN
    assert (list(fails), bench.first.requests) == ([], [])
