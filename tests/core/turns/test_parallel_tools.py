"""Several tool calls in one answer of the model."""

import asyncio
from collections.abc import Sequence

import pytest

from iskra.http.turn_view import TurnView
from iskra.settings import LimitSettings
from iskra_sdk.approval import ApprovalRule, Verdict
from iskra_sdk.event import Event
from iskra_sdk.ids import ApprovalId
from iskra_sdk.session_store import SessionStore
from iskra_sdk.tool import Tool, tool
from iskra_sdk.untrusted import unmark
from turn_kit import ALICE, TurnKit, call, turn_kit, types

ALLOW = ApprovalRule("all", Verdict.ALLOW)


class Stage:
    """A tool whose calls wait for their cue, so that a test sees which of them are on stage together."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.on_stage: set[str] = set()
        self.most_on_stage = 0
        self.cues: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    def play(self, *, risk: str = "write", max_parallel: int | None = None) -> Tool:
        """Return the tool; ``name`` is who enters, ``key`` the resource that is written."""

        async def play(name: str, key: str) -> str:
            """Enter the stage."""
            async with self._changed:
                self.entered.append(name)
                self.on_stage.add(name)
                self.most_on_stage = max(self.most_on_stage, len(self.on_stage))
                self._changed.notify_all()
            if name in self.cues:
                await self.cues[name].wait()
            self.on_stage.discard(name)
            if name == "fails":
                raise RuntimeError("forgot the text")
            return f"{name} left"

        keys = ("key:{key}",)
        read = risk == "read"
        return tool(risk=risk, reads=keys if read else (), writes=() if read else keys, max_parallel=max_parallel)(play)

    async def until(self, *names: str) -> None:
        """Wait until all these are on stage."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: set(names) <= set(self.entered))


def enter(name: str, key: str) -> object:
    return call("play", f'{{"name": "{name}", "key": "{key}"}}', name)


def results(kit: TurnKit) -> list[tuple[str | None, str]]:
    """Return the tool messages the model got last, in their order."""
    messages = kit.model.requests[-1].messages
    return [(message.tool_call_id, unmark(message.text)) for message in messages if message.role == "tool"]


async def start(kit: TurnKit) -> "asyncio.Task[Sequence[Event]]":
    record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
    return asyncio.create_task(kit.finish(record))


async def test_calls_on_different_resources_run_together_and_answers_keep_their_order(store: SessionStore) -> None:
    stage = Stage()
    stage.cues = {"ann": asyncio.Event(), "bob": asyncio.Event()}
    calls = [enter("ann", "x"), enter("bob", "y"), enter("cid", "x")]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ALLOW]) as kit:
        turn = await start(kit)
        await stage.until("ann", "bob")
        stage.cues["bob"].set()
        assert "cid" not in stage.entered  # it writes what ann writes
        stage.cues["ann"].set()
        await turn
        assert stage.entered[-1] == "cid"
        assert results(kit) == [("ann", "ann left"), ("bob", "bob left"), ("cid", "cid left")]


async def test_a_failure_spoils_no_other_call(store: SessionStore) -> None:
    stage = Stage()
    calls = [enter("fails", "x"), enter("ann", "x"), enter("bob", "y")]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ALLOW]) as kit:
        await (await start(kit))
        assert [text for _, text in results(kit)][1:] == ["ann left", "bob left"]
        assert "forgot the text" in results(kit)[0][1]


@pytest.mark.parametrize(("limit", "of_tool", "most"), [(3, None, 3), (8, 2, 2)])
async def test_caps_hold(store: SessionStore, limit: int, of_tool: int | None, most: int) -> None:
    stage = Stage()
    calls = [enter(f"actor {number}", str(number)) for number in range(10)]
    tools = [stage.play(max_parallel=of_tool)]
    limits = LimitSettings(parallel_tools=limit)
    async with turn_kit(store, calls, "done", tools=tools, rules=[ALLOW], limits=limits) as kit:
        await (await start(kit))
        assert len(results(kit)) == 10
        assert stage.most_on_stage <= most


async def test_a_call_that_waits_for_a_person_holds_up_only_what_depends_on_it(store: SessionStore) -> None:
    stage = Stage()
    ask = ApprovalRule("ann asks", Verdict.ASK, arguments={"name": "ann"})
    calls = [enter("ann", "x"), enter("bob", "y"), enter("cid", "x")]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ask, ALLOW]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        completed = await kit.until(record, "tool.completed")
        assert completed.data["tool_call_id"] == "bob"
        assert await kit.turn_state(record.id) == "waiting_approval"
        assert stage.entered == ["bob"]
        (request,) = await kit.approvals.list(ALICE)
        await kit.approvals.decide(ALICE, request.id, approve=True)
        await kit.finish(record)
        assert stage.entered == ["bob", "ann", "cid"]


async def test_who_reads_a_turn_knows_that_it_waits_though_calls_stand_behind_the_one_that_asks(
    store: SessionStore,
) -> None:
    stage = Stage()
    ask = ApprovalRule("ann asks", Verdict.ASK, arguments={"name": "ann"})
    calls = [enter("ann", "x"), enter("bob", "y"), enter("cid", "x"), enter("dan", "x")]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ask, ALLOW]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        asked = await kit.until(record, "approval.requested")
        view = TurnView(record.id)
        blocked: list[tuple[str, object]] = []
        async with asyncio.timeout(10):
            async for event in kit.turns.follow(ALICE, record.session_id, after=record.first_seq):
                view.take(event)
                if view.is_blocked:
                    blocked.append((str(event.type), event.data.get("tool_call_id")))
                    await kit.approvals.decide(ALICE, ApprovalId(str(asked.data["approval_id"])), approve=True)
                if view.ended is not None:
                    break
        assert blocked == [("tool.completed", "bob")]  # nothing goes on but what a person lets go on
        assert stage.entered == ["bob", "ann", "cid", "dan"]


async def test_approvals_come_in_any_order_and_a_refusal_lets_dependents_go_on(store: SessionStore) -> None:
    stage = Stage()
    calls = [enter("ann", "x"), enter("bob", "y"), enter("cid", "x")]
    async with turn_kit(store, calls, "done", tools=[stage.play()]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "approval.requested", nth=3)
        open_requests = {request.tool_call_id: request.id for request in await kit.approvals.list(ALICE)}
        await kit.approvals.decide(ALICE, open_requests["cid"], approve=True)
        await kit.approvals.decide(ALICE, open_requests["bob"], approve=True)
        await stage.until("bob")
        assert stage.entered == ["bob"]
        await kit.approvals.decide(ALICE, open_requests["ann"], approve=False, remark="Not ann.")
        await kit.finish(record)
        assert stage.entered == ["bob", "cid"]
        assert [name for name, _ in results(kit)] == ["ann", "bob", "cid"]
        assert "Not ann." in results(kit)[0][1]


async def test_edited_arguments_are_planned_anew(store: SessionStore) -> None:
    stage = Stage()
    stage.cues = {"bob": asyncio.Event()}
    ask = ApprovalRule("ann asks", Verdict.ASK, arguments={"name": "ann"})
    async with turn_kit(
        store, [enter("ann", "x"), enter("bob", "y")], "done", tools=[stage.play()], rules=[ask, ALLOW]
    ) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await stage.until("bob")
        (request,) = await kit.approvals.list(ALICE)
        await kit.approvals.decide(ALICE, request.id, approve=True, arguments={"name": "ann", "key": "y"})
        await kit.until(record, "approval.decided")
        assert stage.on_stage == {"bob"}
        stage.cues["bob"].set()
        await kit.finish(record)
        assert stage.most_on_stage == 1


async def test_of_too_many_calls_the_first_are_run_and_the_model_is_told(store: SessionStore) -> None:
    stage = Stage()
    calls = [enter(f"actor {number}", str(number)) for number in range(200)]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ALLOW]) as kit:
        events = await (await start(kit))
        assert types(events)[-1] == "turn.completed"
        assert len(stage.entered) == 64
        assert len(results(kit)) == 200
        assert "the first 64 were run" in results(kit)[64][1]


async def test_calls_with_one_id_are_told_apart(store: SessionStore) -> None:
    stage = Stage()
    calls = [
        call("play", '{"name": "ann", "key": "x"}', "same"),
        call("play", '{"name": "bob", "key": "y"}', "same"),
        call("play", '{"name": "cid", "key": "z"}', ""),
    ]
    async with turn_kit(store, calls, "done", tools=[stage.play()], rules=[ALLOW]) as kit:
        await (await start(kit))
        assert results(kit) == [("same", "ann left"), ("same_2", "bob left"), ("call_2", "cid left")]
        asked = next(message for message in kit.model.requests[-1].messages if message.tool_calls)
        assert [wanted.id for wanted in asked.tool_calls] == ["same", "same_2", "call_2"]


async def test_a_tool_that_ignores_its_cancellation_is_left_to_itself(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iskra.turns.tool_execution.CANCEL_GRACE", 0.05)
    may_end = asyncio.Event()

    @tool(risk="read", timeout=0.05)
    async def stubborn() -> str:
        """Never give up."""
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    async with turn_kit(store, call("stubborn"), "done", tools=[stubborn]) as kit:
        events = await (await start(kit))
        assert types(events)[-1] == "turn.completed"
        assert "may still be running" in results(kit)[0][1]
        assert [plugin for plugin, _ in kit.failures] == ["tests"]
        may_end.set()
