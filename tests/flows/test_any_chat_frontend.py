"""Somebody chats through an OpenAI client that knows nothing of Iskra."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI, OpenAIError

from cutting_proxy import cutting_proxy
from fake_upstream import Call, Request, fake_upstream
from running_iskra import RunningServer, running_iskra


class Conversation:
    """A chat frontend: keeps the conversation and sends all of it each time."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self._client = OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0)
        self._model = model
        self._messages: list[Any] = []

    def say(self, text: str) -> str:
        """Send a message and return the streamed answer."""
        self._messages.append({"role": "user", "content": text})
        chunks = self._client.chat.completions.create(model=self._model, messages=self._messages, stream=True)
        answer = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self._messages.append({"role": "assistant", "content": answer})
        return answer

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def code_after(word: str, answer: str) -> str:
    """Return the code that the answer asks to be sent after ``word``."""
    found = re.search(rf"{word} ([A-Z0-9]{{4}})", answer)
    assert found is not None, answer
    return found[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server as after the first start: no model is connected."""
    with running_iskra(tmp_path_factory.mktemp("frontend")) as running:
        yield running


@pytest.mark.parametrize(
    ("request_text", "file", "yes", "no"),
    [
        ('write "three ships" to log.txt', "log.txt", "approve", "deny"),
        ("запиши «три корабля» в файл журнал.txt", "журнал.txt", "да", "нет"),
    ],
)
def test_a_write_is_asked_for_and_decided_in_the_chat(
    server: RunningServer, request_text: str, file: str, yes: str, no: str
) -> None:
    chat = Conversation(server, "iskra")
    target = server.workspace / file
    try:
        asked = chat.say(request_text)
        assert not target.exists()
        refused = chat.say(f"{no} {code_after(no, asked)}")
        assert not target.exists(), refused
        asked = chat.say(request_text)
        code = code_after(yes, asked)
        chat.say(f"{yes} {code}")
        assert target.read_text().strip() in ("three ships", "три корабля")
        target.unlink()
        again = chat.say(f"{yes} {code}")
        assert code in again
        assert not target.exists()
    finally:
        chat.close()


def test_a_response_is_resumed_where_the_network_cut_it(tmp_path: Path) -> None:
    def counts(_request: Request) -> Iterator[str | Call]:
        for number in range(300):
            yield f"{number} "

    with (
        fake_upstream(counts) as upstream,
        running_iskra(tmp_path, settings={"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}) as running,
        cutting_proxy(running.url) as proxy,
    ):
        client = OpenAI(base_url=f"{proxy.url}/v1", api_key=running.token, max_retries=0)
        proxy.cut_after(5_000, 9_000, 20_000)
        pieces: list[str] = []
        response_id, last = "", -1
        stream: Any = client.responses.create(model="agent:ask", input="count", stream=True)
        while True:
            try:
                for event in stream:
                    last = event.sequence_number
                    if event.type == "response.created":
                        response_id = event.response.id
                    if event.type == "response.output_text.delta":
                        pieces.append(event.delta)
                    if event.type == "response.completed":
                        break
                else:
                    raise ConnectionError("the stream ended early")
                break
            except (OpenAIError, httpx.HTTPError, ConnectionError):
                stream = client.responses.retrieve(response_id, stream=True, starting_after=last)
        client.close()
        assert proxy.cuts == 3
        assert "".join(pieces) == "".join(f"{number} " for number in range(300))
        assert len(upstream.requests) == 1
