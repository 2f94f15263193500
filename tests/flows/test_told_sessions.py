"""A plugin tells sessions of the tide: clients go on as before, and the log keeps it through a reload and a kill."""

from pathlib import Path
from typing import Any

from iskra_sdk.client import IskraClient
from running_iskra import running_iskra

TIDES = """
# /// iskra-plugin
# name = "tides"
# version = "{version}"
# permissions = ["sessions"]
# ///
from iskra_sdk import Agent, EventHandler, hookimpl

VERSION = "{version}"
contexts = []


class Lighthouse(Agent):
    name = "lighthouse"

    async def run(self, turn):
        for word in ("The ", "tide ", "turns."):
            yield word
            await contexts[-1].tell_session(turn.session_id, "tides.seen", {{"after": word}}, turn_id=turn.id)


@hookimpl
def register_agents(context):
    contexts.append(context)
    return [Lighthouse()]


@hookimpl
def register_event_handlers(context):
    async def over(event):
        if event.session_id is not None:
            await context.tell_session(event.session_id, "tides.over", {{"version": VERSION}})

    return [EventHandler("turn.completed", over)]
"""


def log_until_over(client: IskraClient, session: str, times: int) -> list[Any]:
    """Follow a session until it was told for the n-th time that a turn is over."""
    log: list[Any] = []
    for event in client.events(session):
        log.append(event)
        if sum(each.type == "tides.over" for each in log) == times:
            return log
    raise AssertionError("the log ended")


def test_every_client_goes_on_as_before_and_the_log_keeps_what_was_told(tmp_path: Path) -> None:
    plugin = tmp_path / "data" / "plugins" / "tides.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(TIDES.format(version="1"))
    with running_iskra(tmp_path) as server:
        with IskraClient(server.url, server.token) as client:
            session = client.sessions.create("harbour", agent="agent:lighthouse").id
            assert client.ask("How is the tide?", session) == "The tide turns."
            first = log_until_over(client, session, 1)
            asked = {"model": "agent:lighthouse", "messages": [{"role": "user", "content": "And now?"}]}
            chat: Any = client.request("POST", "/v1/chat/completions", asked)
            assert chat["choices"][0]["message"]["content"] == "The tide turns."
            response: Any = client.request("POST", "/v1/responses", {"model": "agent:lighthouse", "input": "And now?"})
            assert response["output"][-1]["content"][0]["text"] == "The tide turns."
            assert server.iskra("chat", "-m", "agent:lighthouse", "--once", "So?").stdout == "The tide turns.\n"
            plugin.write_text(TIDES.format(version="2"))
            client.request("POST", "/api/v1/admin/plugins/tides/reload")
            assert client.ask("And after the reload?", session) == "The tide turns."
            second = log_until_over(client, session, 2)
        server.kill()
    numbers = [event.seq for event in second]
    assert numbers == sorted(set(numbers))
    told = [(event.type, dict(event.data)) for event in second if event.source == "tides"]
    seen = [("tides.seen", {"after": word}) for word in ("The ", "tide ", "turns.")]
    assert told == [*seen, ("tides.over", {"version": "1"}), *seen, ("tides.over", {"version": "2"})]
    assert [event.seq for event in first if event.source == "tides"] == [
        event.seq for event in second if event.source == "tides"
    ][:4]
    with running_iskra(tmp_path) as server, IskraClient(server.url, server.token) as client:
        again = log_until_over(client, session, 2)
        assert [(event.seq, event.type) for event in again if event.source == "tides"] == [
            (event.seq, event.type) for event in second if event.source == "tides"
        ]
