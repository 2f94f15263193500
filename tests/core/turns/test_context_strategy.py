"""The kernel's context strategy keeps conversations valid."""

from hypothesis import given
from hypothesis import strategies as st

from iskra.turns.context_strategy import RecentMessages, with_missing_results
from iskra_sdk.context_strategy import ContextBudget, estimated_tokens
from iskra_sdk.message import Message, ToolCall


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Make a conversation with whole tool exchanges."""
    messages: list[Message] = []
    for turn in range(draw(st.integers(1, 6))):
        messages.append(Message.user(draw(st.text(max_size=60))))
        for step in range(draw(st.integers(0, 3))):
            calls = [ToolCall(f"{turn}-{step}-{n}", "look") for n in range(draw(st.integers(1, 3)))]
            messages.append(Message.assistant("", calls))
            messages.extend(Message.tool(call.id, draw(st.text(max_size=80))) for call in calls)
        messages.append(Message.assistant(draw(st.text(max_size=60))))
    return messages


def is_valid(messages: list[Message]) -> bool:
    """Return whether every result has its call right before it, and every call its result."""
    waiting: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                return False
            waiting.discard(message.tool_call_id or "")
        elif waiting:
            return False
        waiting |= {call.id for call in message.tool_calls}
    return not waiting


@given(conversations(), st.integers(1, 400))
async def test_what_is_kept_is_a_valid_end_of_the_conversation(messages: list[Message], tokens: int) -> None:
    kept = list(await RecentMessages().fit(messages, ContextBudget(tokens)))
    assert kept == messages[len(messages) - len(kept) :]
    assert is_valid(kept)
    last_user = max(place for place, message in enumerate(messages) if message.role == "user")
    assert len(kept) >= len(messages) - last_user
    if sum(map(estimated_tokens, messages)) <= tokens:
        assert len(kept) == len(messages)


async def test_what_fits_is_returned_as_it_is() -> None:
    messages = [Message.user("hi")]
    assert await RecentMessages().fit(messages, ContextBudget(1000)) is messages


@given(conversations(), st.data())
def test_lost_results_are_replaced_and_stray_ones_dropped(messages: list[Message], data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(0, len(messages) - 1)))
    damaged = [message for place, message in enumerate(messages) if place not in lost]
    mended = with_missing_results(damaged, "(lost)")
    assert is_valid(mended)
    assert [message for message in mended if message.role != "tool"] == [
        message for message in damaged if message.role != "tool"
    ]


@given(conversations())
def test_whole_conversation_is_left_alone(messages: list[Message]) -> None:
    assert with_missing_results(messages, "(lost)") == messages
