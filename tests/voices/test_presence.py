from hypothesis import given
from hypothesis import strategies as st

from iskra_sdk.message import Message, ToolCall
from iskra_voices.presence import attended_messages

SESSION = "ses_1"


def conversation(turns: int) -> list[Message]:
    messages = [Message.system("Be kind."), Message.user("brought along").with_id(f"{SESSION}.1")]
    for turn in range(turns):
        messages += [
            Message.user(f"question {turn}").with_id(f"trn_{turn}.0"),
            Message.assistant("", [ToolCall(f"c{turn}", "look")]).with_id(f"trn_{turn}.1"),
            Message.tool(f"c{turn}", "found").with_id(f"trn_{turn}.2"),
            Message.assistant(f"answer {turn}").with_id(f"trn_{turn}.3"),
        ]
    return messages


def test_a_voice_sees_what_it_attended_and_the_present_turn() -> None:
    messages = [*conversation(3), Message.user("now").with_id("trn_3.0")]
    seen = attended_messages(messages, attended=["trn_1"], turn_id="trn_3", session_id=SESSION)
    assert [message.id for message in seen] == [
        "",
        f"{SESSION}.1",
        "trn_1.0",
        "trn_1.1",
        "trn_1.2",
        "trn_1.3",
        "trn_3.0",
    ]


def test_a_summary_of_what_others_heard_is_not_seen() -> None:
    summary = Message.user("Record of 4 earlier messages")
    now = Message.user("now").with_id("trn_3.0")
    added = Message.user("a note of the agent's own")
    seen = attended_messages([summary, now, added], attended=[], turn_id="trn_3", session_id=SESSION)
    assert seen == [now, added]


@given(st.integers(0, 6), st.sets(st.integers(0, 6)))
def test_no_call_is_torn_from_its_result(turns: int, attended: set[int]) -> None:
    messages = [*conversation(turns), Message.user("now").with_id("trn_now.0")]
    ids = [f"trn_{turn}" for turn in attended]
    seen = attended_messages(messages, attended=ids, turn_id="trn_now", session_id=SESSION)
    calls = {call.id for message in seen for call in message.tool_calls}
    assert calls == {message.tool_call_id for message in seen if message.role == "tool"}
    assert {message.id.split(".")[0] for message in seen if message.id} <= {*ids, SESSION, "trn_now"}
    assert seen[-1].text == "now"
