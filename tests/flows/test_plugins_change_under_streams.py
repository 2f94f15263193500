"""A plugin author drops, edits, breaks and disables a plugin while people talk to it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iskra_sdk.client import IskraClient, TurnStream
from iskra_sdk.errors import IskraError, UnknownModelError
from running_iskra import RunningServer, running_iskra

SPEAKER = '''
"""Says its version again and again, until told to stop."""
import asyncio
from pathlib import Path
from iskra_sdk import Agent, hookimpl

STOP = Path("{stop}")

class Speaker(Agent):
    name = "speaker"
    description = "Says its version."

    async def run(self, turn):
        yield "{word} "
        while turn.input.text == "talk" and not STOP.exists():
            yield "{word} "
            await asyncio.sleep(0.005)

@hookimpl
def register_agents():
    return [Speaker()]
'''


class Author:
    """Edits one plugin file and asks the plugin."""

    def __init__(self, server: RunningServer, client: IskraClient) -> None:
        self.file = server.data_dir / "plugins" / "speaker.py"
        self.stop = server.workspace / "stop"
        self.client = client

    def save(self, word: str) -> None:
        """Save a version that says ``word``."""
        self.file.write_text(SPEAKER.format(word=word, stop=self.stop))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Look again and again until a condition holds."""
        pause = threading.Event()
        for _ in range(1_000):
            if condition():
                return
            pause.wait(0.02)
        raise AssertionError("it did not happen")

    def says(self, word: str) -> bool:
        """Return whether a new turn is answered with ``word``."""
        try:
            return self.client.ask("once", model="agent:speaker") == f"{word} "
        except UnknownModelError:
            return False

    def talk(self) -> tuple[TurnStream, Iterator[str]]:
        """Begin a stream that goes on until :attr:`stop` exists."""
        stream = self.client.stream("talk", model="agent:speaker")
        pieces = iter(stream.texts())
        next(pieces)
        return stream, pieces


@pytest.fixture
def author(tmp_path: Path) -> Iterator[Author]:
    """An author at a running server."""
    with running_iskra(tmp_path) as server, IskraClient(server.url, server.token) as client:
        yield Author(server, client)


def test_a_running_stream_keeps_its_version_through_everything(author: Author) -> None:
    admin = author.client
    author.save("first")
    author.wait_for(lambda: author.says("first"))
    stream, pieces = author.talk()

    author.save("second")
    author.wait_for(lambda: author.says("second"))
    author.file.write_text("def broken(:\n")
    author.wait_for(lambda: bool(admin.plugins.get("speaker").error))
    error = str(admin.plugins.get("speaker").error)
    assert "SyntaxError" in error or "invalid syntax" in error
    assert author.says("second")
    author.save("third")
    author.wait_for(lambda: author.says("third"))
    assert admin.plugins.reload("speaker").verdict in ("clean", "draining")
    admin.plugins.disable("speaker")
    with pytest.raises(IskraError, match="speaker"):
        admin.ask("once", model="agent:speaker")

    author.stop.touch()
    for _ in pieces:
        pass
    assert stream.error is None
    assert set(stream.text.split()) == {"first"}
    admin.plugins.enable("speaker")
    assert author.says("third")
