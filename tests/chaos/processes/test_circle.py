"""Circling tool calls: which are refused, and which never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.processes.stage import Stage, stage
from iskra_chaos.processes.circle import Circle
from iskra_metrics.loops import fingerprint
from iskra_sdk.errors import ToolError
from iskra_sdk.tool import Tool, tool


def played(lease: int, calls: list[tuple[str, str]]) -> list[int]:
    """Return which calls, counted from 1, of arguments and results are refused."""
    circle, refused = Circle(lease), []
    for number, (arguments, result) in enumerate(calls, 1):
        asked = fingerprint("look", arguments, "")
        if circle.refuses(asked):
            refused.append(number)
        else:
            circle.note(asked, fingerprint("look", arguments, result))
    return refused


@pytest.mark.parametrize("lease", [1, 2, 4])
def test_one_call_repeated_63_times_is_refused_from_call_4_on(lease: int) -> None:
    refused = played(lease, [("x", "same")] * 63)
    assert refused[0] == 4
    assert len(refused) >= 63 - 3 - 6  # three calls make the circle; now and then one looks whether the world changed


def test_two_calls_in_turn_are_a_circle_too() -> None:
    assert played(4, [("a", "1"), ("b", "2")] * 4)[0] == 5


def test_a_world_that_changed_is_seen_again() -> None:
    circle = [("x", "pending")] * 6  # three calls, two refusals, one look
    assert played(2, [*circle, ("x", "done"), ("x", "more"), ("x", "still more")])[:3] == [4, 5, 7]
    assert played(2, [("x", "pending")] * 5 + [("x", "done"), ("x", "done")]) == [4, 5]


@given(st.integers(1, 4), st.lists(st.text(max_size=3), max_size=40))
def test_polling_with_changing_results_is_never_refused(lease: int, results: list[str]) -> None:
    assert not played(lease, [("x", f"{number} {result}") for number, result in enumerate(results)])


@given(st.integers(1, 4), st.lists(st.text(max_size=5), max_size=40, unique=True))
def test_distinct_arguments_are_never_refused(lease: int, arguments: list[str]) -> None:
    assert not played(lease, [(f"{number} {each}", "same") for number, each in enumerate(arguments)])


def test_a_lease_refuses_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Circle(0)


class World:
    """What tools of a test look at."""

    def __init__(self) -> None:
        self.looked = 0

    @property
    def look(self) -> Tool:
        @tool(risk="read")
        async def look(where: str) -> str:
            """Look.

            Args:
                where: Where.
            """
            self.looked += 1
            if where == "broken":
                raise ToolError("It is broken.")
            return f"step {self.looked}" if where == "a job" else "nothing new"

        return look


async def perturbed(given: Stage) -> str:
    session_id = await given.session()
    await given.start(session_id, "pattern_break", 0.5)
    return session_id


async def test_an_agent_that_goes_in_circles_is_stopped_at_its_fourth_call() -> None:
    world = World()
    async with stage() as given:
        session_id = await perturbed(given)
        results = [await given.call(session_id, world.look, where="x") for _ in range(63)]
        refused = [number for number, result in enumerate(results, 1) if result.is_error]
        assert refused[0] == 4
        assert "same result 3 times" in results[3].content
        assert world.looked == 63 - len(refused) <= 9
        (process,) = given.parts.journal.of_session(session_id)
        assert (process.requested, process.applied) == (63, len(refused))


async def test_polling_other_arguments_other_turns_and_other_sessions_are_left_alone() -> None:
    world = World()
    async with stage() as given:
        session_id = await perturbed(given)
        other = await given.session("other")
        for number in range(40):
            assert not (await given.call(session_id, world.look, "polling", where="a job")).is_error
            assert not (await given.call(session_id, world.look, "distinct", where=f"place {number}")).is_error
            assert not (await given.call(session_id, world.look, f"turn {number}", where="x")).is_error
            assert not (await given.call(other, world.look, where="x")).is_error
        (process,) = given.parts.journal.of_session(session_id)
        assert process.applied == 0


async def test_what_a_tool_raises_is_raised_and_nothing_is_refused_without_an_operation() -> None:
    world = World()
    async with stage() as given:
        session_id = await perturbed(given)
        for _ in range(6):
            with pytest.raises(ToolError):
                await given.call(session_id, world.look, where="broken")
        (process,) = given.parts.journal.of_session(session_id)
        await given.parts.engine.roll_back(process, "enough")
        for _ in range(6):
            assert not (await given.call(session_id, world.look, where="x")).is_error
