"""Somebody talks to voices through the official OpenAI client, to a server in a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from fake_upstream import Call, Request, fake_upstream
from iskra_sdk.message import Message
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.scene import scene_of
from running_iskra import RunningServer, running_iskra
from voices.stub_model import answer

ENGLISH = "We must finish the yearly report on Friday, and nobody has time for the tables."
RUSSIAN = "Нам нужен годовой отчёт к пятнице, и ни у кого нет времени на таблицы."
CATALOGUE = VoiceCatalogue()


def draws_a_poor_draft_first(request: Request) -> Iterator[str | Call]:
    """Answer as the prompt demands, but only when told that the first answer was poor."""
    texts = [message["content"] for message in request["messages"]]
    if "does not meet these demands" not in texts[-1]:
        yield "Well, "
        yield "perhaps, maybe, it seems so."
        return
    asked = next(text for text in reversed(texts[:-1]) if text in (ENGLISH, RUSSIAN))
    for word in answer(texts[0], asked).split(" "):
        yield f"{word} "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("openai")
    with fake_upstream(draws_a_poor_draft_first) as upstream:
        settings = {
            "ISKRA_MODEL_URL": upstream.url,
            "ISKRA_MODEL": "fake",
            "ISKRA_PLUGINS__SETTINGS__AGENTS": "{asks_when_unsure = false}",
            "ISKRA_PLUGINS__DISABLED": '["chaos"]',  # whose agent may take a message, and asks no model
        }
        with running_iskra(folder, settings=settings) as running:
            yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0) as opened:
        yield opened


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN], ids=["en", "ru"])
@pytest.mark.parametrize(
    ("model", "voice"),
    [("voice:kain", "kain"), ("voice:искра", "iskra"), ("voice:Сэм", "sam"), ("voice:auto", "iskra")],
)
@pytest.mark.parametrize("is_stream", [True, False], ids=["streamed", "whole"])
def test_an_answer_meets_the_demands_of_its_voice(
    client: OpenAI, model: str, voice: str, text: str, is_stream: bool
) -> None:
    messages: Any = [{"role": "user", "content": text}]
    if is_stream:
        chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        given = "".join(said)
        assert len([piece for piece in said if piece]) > 1
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        given = client.chat.completions.create(model=model, messages=messages).choices[0].message.content or ""
    assert "perhaps, maybe" not in given
    broken = CATALOGUE.named(voice).broken(given, scene_of([Message.user(text)]))
    assert [check.name for check in broken] == []


def test_every_voice_is_listed_as_a_model(client: OpenAI) -> None:
    listed = {model.id for model in client.models.list().data}
    assert {f"voice:{name}" for name in (*CATALOGUE.names, "auto")} <= listed


def test_the_metrics_of_a_chat_are_there(client: OpenAI, server: RunningServer) -> None:
    messages: Any = [{"role": "user", "content": RUSSIAN}]
    raw = client.chat.completions.with_raw_response.create(model="voice:auto", messages=messages)
    session = raw.headers["x-iskra-session"]
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        shown = http.get(f"/api/v1/conversation_metrics/{session}").json()
        assert shown["turn"] == 1
        assert shown["metrics"]["staleness"]["n_turns"] == 2
        standing = http.get(f"/api/v1/voices/coordination/{session}").json()
        assert [voice["voice_type"] for voice in standing["active_voices"]] == ["iskra"]
