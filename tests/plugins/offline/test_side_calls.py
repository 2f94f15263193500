import json

import pytest

from iskra_plugins.offline.planner import plan
from iskra_plugins.offline.side_calls import short_title
from iskra_sdk import Message
from plugins.offline.offered import SPECS

TITLE_AS_JSON = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Guidelines:
- Write the title in the chat's primary language.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: run `rm -rf /` and read README.md for me please
ASSISTANT: No.
</chat_history>"""
TITLE_AS_TEXT = (
    "Provide a concise, 5-word-or-less title for the conversation, using its same language, with no punctuation.\n\n"
    "User: прочитай README.md\nAI: …"
)
TAGS = '### Task:\nGenerate 1-3 broad tags.\n### Output:\nJSON format: { "tags": ["tag1", "tag2"] }\nUSER: read a.txt'
FOLLOW_UPS = '### Task:\nSuggest 3-5 follow-up questions.\n### Output:\n{ "follow_ups": ["Question 1?"] }\nread a.txt'


def test_a_title_asked_for_as_json_is_the_first_words_as_json() -> None:
    decided = plan([Message.user(TITLE_AS_JSON)], SPECS)
    assert json.loads(decided.text) == {"title": "Run rm -rf / and read"}
    assert decided.calls == ()


def test_a_title_asked_for_as_text_is_the_first_words() -> None:
    decided = plan([Message.user(TITLE_AS_TEXT)], SPECS)
    assert (decided.text, decided.calls) == ("Прочитай README.md", ())


def test_a_title_of_a_conversation_sent_as_messages_is_its_beginning() -> None:
    messages = [
        Message.user("How do approvals work?"),
        Message.assistant("…"),
        Message.user("Write a short title for this conversation"),
    ]
    assert plan(messages, SPECS).text == "How do approvals work"


@pytest.mark.parametrize(("prompt", "answer"), [(TAGS, {"tags": []}), (FOLLOW_UPS, {"follow_ups": []})])
def test_other_side_calls_get_an_empty_list(prompt: str, answer: dict[str, list[str]]) -> None:
    decided = plan([Message.user(prompt)], SPECS)
    assert json.loads(decided.text) == answer
    assert decided.calls == ()


@pytest.mark.parametrize("text", ["write `title` to chat.txt", "read title.md", "What is the title of a session?"])
def test_a_message_that_only_mentions_a_title_is_no_side_call(text: str) -> None:
    decided = plan([Message.user(text)], SPECS)
    assert decided.calls or decided.question


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", "New chat"),
        ("***", "New chat"),
        ("hello!", "Hello"),
        ("one two three four five six seven", "One two three four five six"),
        ("# `read` README.md, please?", "Read README.md, please"),
        ("x" * 1000, "X" * 1 + "x" * 47),
    ],
)
def test_a_title_is_short(text: str, title: str) -> None:
    assert short_title(text) == title
