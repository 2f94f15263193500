"""A person has a conversation perturbed in plain words, sees what was changed, and takes it back: on a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from running_iskra import RunningServer, running_iskra

ANSWER = "As I said before, the best thing is to write a plan first. As I said before, plans help everybody."


def model(request: Request) -> Iterator[str | Call]:
    yield ANSWER


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[RunningServer]:
    with running_iskra(tmp_path, settings={"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}) as running:
        yield running


class Chat:
    """A chat client that speaks OpenAI's protocol and knows nothing of operations."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self._client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token)
        self._model = model
        self.messages: list[Any] = []

    def say(self, text: str) -> str:
        self.messages.append({"role": "user", "content": text})
        answer = self._client.chat.completions.create(model=self._model, messages=self.messages)
        shown = answer.choices[0].message.content or ""
        self.messages.append({"role": "assistant", "content": shown})
        return shown


def system_prompt(request: Request) -> str:
    return str(next((m["content"] for m in request["messages"] if m["role"] == "system"), ""))


@pytest.mark.parametrize(
    ("ask", "show", "undo", "again"),
    [
        (
            "We are going in circles, break the pattern slightly",
            "What was changed in this conversation?",
            "Put the conversation back as it was",
            "acts no more",
        ),
        (
            "Мы ходим по кругу, слегка сломай шаблон",
            "Что изменено в этом разговоре?",
            "Верни разговор как было",
            "больше не действует",
        ),
    ],
)
def test_a_pattern_is_broken_shown_and_put_back(
    server: RunningServer, upstream: Upstream, ask: str, show: str, undo: str, again: str
) -> None:
    chat = Chat(server, "iskra")
    for question in ("@ask How do I organise a fair?", "@ask And the volunteers?", "@ask And the stage?"):
        assert ANSWER in chat.say(question)
    before = system_prompt(upstream.requests[-1])
    assert "pattern_break" in chat.say(ask)
    chat.say("@ask And the food?")
    perturbed = system_prompt(upstream.requests[-1])
    assert "as i said" in perturbed
    assert perturbed.startswith(before[:200])
    shown = chat.say(show)
    assert "pattern_break" in shown
    assert "as i said" in shown
    assert again in chat.say(undo)
    chat.say("@ask And the music?")
    assert "as i said" not in system_prompt(upstream.requests[-1])


def test_a_person_in_a_crisis_is_not_perturbed(server: RunningServer, upstream: Upstream) -> None:
    chat = Chat(server, "iskra")
    chat.say("@ask I want to kill myself")
    refused = chat.say("@perturbation Shake this conversation up strongly")
    assert "not cleared" in refused
    assert "112" in refused
    chat.say("@ask What now?")
    assert "For this answer only" not in json.dumps(upstream.requests[-1])


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ("We are going in circles, break the pattern", "Nothing repeats in this conversation"),
        ("Мы ходим по кругу, сломай шаблон", "ничего не повторяется, разрывать нечего"),
    ],
)
def test_what_cannot_be_done_is_told_in_the_language_of_the_request(server: RunningServer, ask: str, told: str) -> None:
    assert told in Chat(server, "agent:perturbation").say(ask)
