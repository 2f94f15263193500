"""A model that goes in circles is told so, and then stopped."""

from collections.abc import Sequence

from iskra_sdk.llm import LLMRequest
from iskra_sdk.session_store import SessionStore
from iskra_sdk.tool import ToolContext, tool
from turn_kit import ALICE, TurnKit, call, turn_kit


@tool(risk="read")
async def look(at: str) -> str:
    """Look at something."""
    return f"saw {at}"


class Clock:
    """A tool whose result changes."""

    def __init__(self) -> None:
        self.seconds = 0

    async def poll(self) -> str:
        """Ask how far it is."""
        self.seconds += 1
        return f"{self.seconds} s"


def at(place: str, *, spaces: str = "") -> object:
    return call("look", f'{{"at":{spaces} "{place}"}}')


def advised(requests: Sequence[LLMRequest]) -> list[bool]:
    """Return for each model call whether the model was told that it repeats itself."""
    return ["several times" in request.messages[0].text for request in requests]


async def last_event(kit: TurnKit) -> str:
    record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
    return (await kit.finish(record))[-1].type


async def test_three_equal_calls_are_told_to_the_model_which_may_do_better(store: SessionStore) -> None:
    steps = [at("a"), at("a", spaces=" "), at("a"), at("b"), "done"]
    async with turn_kit(store, *steps, tools=[look]) as kit:
        assert await last_event(kit) == "turn.completed"
        assert advised(kit.model.requests) == [False, False, False, True, False]


async def test_a_model_that_goes_on_is_stopped_with_an_explanation(store: SessionStore) -> None:
    async with turn_kit(store, *[at("a")] * 10, tools=[look]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        failed = (await kit.finish(record))[-1]
        assert (failed.type, failed.data["code"]) == ("turn.failed", "repeated_calls")
        assert "look" in str(failed.data["message"])
        assert len(kit.model.requests) == 4


async def test_two_calls_that_alternate_are_a_loop(store: SessionStore) -> None:
    async with turn_kit(store, *[at("a"), at("b")] * 5, tools=[look]) as kit:
        assert await last_event(kit) == "turn.failed"
        assert advised(kit.model.requests) == [False, False, False, False, True]


async def test_polling_is_no_loop(store: SessionStore) -> None:
    poll = tool(risk="read")(Clock().poll)
    async with turn_kit(store, *[call("poll")] * 8, "done", tools=[poll]) as kit:
        assert await last_event(kit) == "turn.completed"
        assert not any(advised(kit.model.requests))


async def test_a_call_that_only_takes_another_time_is_a_loop(store: SessionStore) -> None:
    @tool(risk="read")
    async def check() -> str:
        took.append(len(took))
        return f"Exit status 1 after 0.{took[-1]} s.\n1 failed in 0.{took[-1]}3s"

    took: list[int] = []
    async with turn_kit(store, *[call("check")] * 8, "done", tools=[check]) as kit:
        assert await last_event(kit) == "turn.failed"
        assert advised(kit.model.requests) == [False, False, False, True]


async def test_a_result_that_names_its_own_call_is_no_news(store: SessionStore) -> None:
    @tool(risk="read")
    async def show(context: ToolContext) -> str:
        return f'A long text … read_artifact("{str(context.effect_id).replace(".", "-")}") has the rest'

    async with turn_kit(store, *[call("show")] * 8, "done", tools=[show]) as kit:
        assert await last_event(kit) == "turn.failed"


async def test_what_came_before_the_loop_may_be_done_again(store: SessionStore) -> None:
    steps = [at("b"), at("a"), at("a"), at("a"), at("b"), "done"]
    async with turn_kit(store, *steps, tools=[look]) as kit:
        assert await last_event(kit) == "turn.completed"
        assert advised(kit.model.requests) == [False, False, False, False, True, False]


async def test_calls_of_one_answer_count_as_one_step(store: SessionStore) -> None:
    async with turn_kit(store, [at("a"), at("a"), at("a")], [at("a"), at("a")], "done", tools=[look]) as kit:
        assert await last_event(kit) == "turn.completed"
        assert not any(advised(kit.model.requests))


async def test_calls_that_fail_alike_are_a_loop_as_well(store: SessionStore) -> None:
    async with turn_kit(store, *[call("look", "{broken")] * 6, tools=[look]) as kit:
        assert await last_event(kit) == "turn.failed"
