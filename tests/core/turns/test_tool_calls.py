"""Tool calls of a turn: validation, rules, approvals, side effects."""

import asyncio
from pathlib import Path

import pytest

from iskra.settings import ApprovalSettings, RuleSettings
from iskra_sdk.approval import ApprovalRequest, ApprovalRule, TimeoutAction, Verdict
from iskra_sdk.errors import ApprovalClosedError, ApprovalNotFoundError, ToolArgumentsError, ToolError
from iskra_sdk.session_store import SessionStore
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.tool import Tool, tool
from turn_kit import ALICE, BOB, TurnKit, call, shown_text, turn_kit, types


class Ledger:
    """Tools with an effect that can be counted."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.world = "v1"

    @property
    def write(self) -> Tool:
        """A tool that writes a line."""

        async def write(line: str) -> str:
            """Write a line."""
            self.lines.append(line)
            return "written"

        def fingerprint(_arguments: object) -> str:
            return self.world

        return tool(risk="write", writes=("ledger:",), fingerprint=fingerprint)(write)


@tool(risk="read", reads=("place:{at}",))
async def look(at: str) -> str:
    """Look at something."""
    return f"saw {at}"


@pytest.fixture
def ledger() -> Ledger:
    """A ledger of its own."""
    return Ledger()


async def the_request(kit: TurnKit) -> ApprovalRequest:
    """Return the only open approval request."""
    (request,) = await kit.approvals.list(ALICE)
    return request


async def test_approved_call_runs_once(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "done", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        asked = await kit.until(record, "approval.requested")
        assert await kit.turn_state(record.id) == "waiting_approval"
        assert ledger.lines == []
        assert asked.data["arguments"] == '{"line":"a"}'
        request = await kit.approvals.decide_by_code(ALICE, str(asked.data["code"]), approve=True)
        events = await kit.finish(record)
        assert ledger.lines == ["a"]
        assert types(events)[-4:] == ["tool.started", "tool.completed", "message.completed", "turn.completed"]
        with pytest.raises(ApprovalClosedError):
            await kit.approvals.decide(ALICE, request.id, approve=False)
        audit = [entry.action for _, entry in await store.audit()]
        assert audit == ["approval.approved"]


async def test_denied_call_does_not_run_and_the_model_hears_the_remark(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        await kit.until(record, "approval.requested")
        await kit.approvals.decide(ALICE, (await the_request(kit)).id, approve=False, remark="use a pencil")
        await kit.finish(record)
        assert ledger.lines == []
        assert "use a pencil" in kit.model.requests[-1].messages[-1].text


async def test_of_fifteen_deciders_one_wins(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        await kit.until(record, "approval.requested")
        request = await the_request(kit)
        outcomes = await asyncio.gather(
            *(kit.approvals.decide(ALICE, request.id, approve=number % 2 == 0) for number in range(15)),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, ApprovalRequest)]
        assert len(won) == 1
        assert sum(isinstance(outcome, ApprovalClosedError) for outcome in outcomes) == 14
        await kit.finish(record)
        assert ledger.lines == (["a"] if won[0].state == "approved" else [])


async def test_only_the_owner_decides(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        await kit.until(record, "approval.requested")
        request = await the_request(kit)
        assert await kit.approvals.list(BOB) == []
        with pytest.raises(ApprovalNotFoundError):
            await kit.approvals.decide(BOB, request.id, approve=True)
        with pytest.raises(ApprovalNotFoundError):
            await kit.approvals.decide_by_code(BOB, request.code, approve=True)
        assert ledger.lines == []


async def test_edited_arguments_are_checked_and_run_instead(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        await kit.until(record, "approval.requested")
        request = await the_request(kit)
        with pytest.raises(ToolArgumentsError):
            await kit.approvals.decide(ALICE, request.id, approve=True, arguments={"line": 5})
        decided = await kit.approvals.decide(ALICE, request.id, approve=True, arguments={"line": "b"})
        assert decided.hash != request.hash
        await kit.finish(record)
        assert ledger.lines == ["b"]


async def test_changed_world_asks_again(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "write a", model="agent:helper")
        await kit.until(record, "approval.requested")
        first = await the_request(kit)
        ledger.world = "v2"
        await kit.approvals.decide(ALICE, first.id, approve=True)
        await kit.until(record, "approval.requested", nth=2)
        again = await the_request(kit)
        assert ledger.lines == []
        assert "changed" in again.reason
        await kit.approvals.decide(ALICE, again.id, approve=True)
        await kit.finish(record)
        assert ledger.lines == ["a"]


async def test_requests_can_be_answered_in_any_order(store: SessionStore, ledger: Ledger) -> None:
    calls = [call("write", f'{{"line": "{name}"}}', name) for name in "abc"]
    async with turn_kit(store, calls, "ok", tools=[ledger.write, look]) as kit:
        record = await kit.turns.start(ALICE, None, "write", model="agent:helper")
        await kit.until(record, "approval.requested")
        requests = {request.tool_call_id: request for request in await kit.approvals.list(ALICE)}
        assert len({request.code for request in requests.values()}) == 3
        await kit.approvals.decide(ALICE, requests["c"].id, approve=True)
        await kit.approvals.decide(ALICE, requests["a"].id, approve=False)
        await kit.approvals.decide(ALICE, requests["b"].id, approve=True)
        await kit.finish(record)
        assert sorted(ledger.lines) == ["b", "c"]
        results = [message for message in kit.model.requests[-1].messages if message.role == "tool"]
        assert [message.tool_call_id for message in results] == ["a", "b", "c"]


async def test_reads_beside_a_waiting_call_are_not_held_up(store: SessionStore, ledger: Ledger) -> None:
    calls = [call("write", '{"line": "a"}', "w"), call("look", '{"at": "it"}', "r")]
    async with turn_kit(store, calls, "ok", tools=[ledger.write, look]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        completed = await kit.until(record, "tool.completed")
        assert completed.data["tool_call_id"] == "r"
        assert await kit.turn_state(record.id) == "waiting_approval"
        await kit.approvals.decide(ALICE, (await the_request(kit)).id, approve=True)
        await kit.finish(record)


async def test_undecided_request_expires_as_the_rule_says(tmp_path: Path, ledger: Ledger) -> None:
    from iskra.session_store import open_store  # the clock must be the test's

    clock = ManualClock()
    store = await open_store(data_dir=tmp_path, clock=clock)
    settings = ApprovalSettings(timeout=60)
    async with turn_kit(
        store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write], approval_settings=settings, clock=clock
    ) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "approval.requested")
        await clock.until_sleeping()
        clock.advance(61)
        events = await kit.finish(record)
        assert "approval.expired" in types(events)
        assert ledger.lines == []
        assert "in time" in kit.model.requests[-1].messages[-1].text
    await store.close()


async def test_expiry_may_approve_where_a_rule_says_so(tmp_path: Path, ledger: Ledger) -> None:
    from iskra.session_store import open_store

    clock = ManualClock()
    store = await open_store(data_dir=tmp_path, clock=clock)
    rule = RuleSettings(
        name="later", verdict=Verdict.ASK, tools=("write",), timeout=5, on_timeout=TimeoutAction.APPROVE
    )
    settings = ApprovalSettings(rules=(rule,))
    async with turn_kit(
        store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write], approval_settings=settings, clock=clock
    ) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "approval.requested")
        await clock.until_sleeping()
        clock.advance(6)
        await kit.finish(record)
        assert ledger.lines == ["a"]
    await store.close()


async def test_rule_can_deny_without_asking(store: SessionStore, ledger: Ledger) -> None:
    rules = [ApprovalRule("never", Verdict.DENY, tools=("wri*",), reason="The ledger is closed.")]
    async with turn_kit(store, call("write", '{"line": "a"}'), "ok", tools=[ledger.write], rules=rules) as kit:
        await kit.ask("go")
        assert ledger.lines == []
        assert "ledger is closed" in kit.model.requests[-1].messages[-1].text


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("nothing", "{}", "There is no tool"),
        ("look", "{broken", "not valid JSON"),
        ("look", '{"at": 5}', "valid string"),
        ("look", '{"at": "x", "extra": 1}', "extra"),
        ("look", "[]", "schema"),
    ],
)
async def test_bad_calls_are_explained_to_the_model(
    store: SessionStore, name: str, arguments: str, complaint: str
) -> None:
    async with turn_kit(store, call(name, arguments), "sorry", tools=[look]) as kit:
        events = await kit.ask("go")
        assert events[-1].type == "turn.completed"
        assert complaint in kit.model.requests[-1].messages[-1].text


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), ToolError("no luck"), KeyboardInterrupt()])
async def test_raising_tool_is_a_result_and_the_turn_goes_on(store: SessionStore, error: BaseException) -> None:
    @tool(risk="read")
    async def bomb() -> str:
        """Explode."""
        raise error

    async with turn_kit(store, call("bomb"), "survived", tools=[bomb]) as kit:
        events = await kit.ask("go")
        assert shown_text(events) == "survived"
        assert bool(kit.failures) is not isinstance(error, ToolError)


async def test_slow_tool_is_stopped_after_its_timeout(store: SessionStore) -> None:
    @tool(risk="read", timeout=0.05)
    async def sleepy() -> str:
        """Never wake up."""
        await asyncio.Event().wait()
        return "never"

    async with turn_kit(store, call("sleepy"), "ok", tools=[sleepy]) as kit:
        await kit.ask("go")
        assert "did not finish" in kit.model.requests[-1].messages[-1].text


async def test_cancelling_a_turn_closes_its_open_request(store: SessionStore, ledger: Ledger) -> None:
    async with turn_kit(store, call("write", '{"line": "a"}'), tools=[ledger.write]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "approval.requested")
        request = await the_request(kit)
        await kit.turns.cancel(ALICE, record.id)
        assert (await store.approval(ALICE, request.id)).state == "cancelled"
        with pytest.raises(ApprovalClosedError):
            await kit.approvals.decide(ALICE, request.id, approve=True)
        assert ledger.lines == []


async def test_agent_may_call_a_tool_itself(store: SessionStore) -> None:
    from collections.abc import AsyncIterator

    from iskra_sdk.agent import Agent
    from iskra_sdk.turn import Turn, TurnEvent

    class Looker(Agent):
        name = "looker"
        tools = ("look",)

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            result = await turn.call_tool("look", {"at": "the sky"})
            yield result.content

    async with turn_kit(store, tools=[look], agents=[Looker()]) as kit:
        assert shown_text(await kit.ask("go", model="agent:looker")) == "saw the sky"


async def test_call_that_became_impossible_after_its_approval_fails_without_asking(store: SessionStore) -> None:
    is_possible = True

    def fingerprint(_arguments: object) -> str:
        if not is_possible:
            raise ToolError("The file is gone.")
        return "v1"

    @tool(risk="write", fingerprint=fingerprint)
    async def change() -> str:
        """Change something."""
        return "changed"

    async with turn_kit(store, call("change"), "ok", tools=[change]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "approval.requested")
        is_possible = False
        await kit.approvals.decide(ALICE, (await the_request(kit)).id, approve=True)
        await kit.finish(record)
        assert "The file is gone" in kit.model.requests[-1].messages[-1].text
