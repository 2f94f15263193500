"""The probes that the shipped experiments brought along, against answers that are wrong on purpose."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from iskra_chaos.experiments import probes
from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.fault_leases import Lease
from iskra_chaos.experiments.files.extension import DeclaredFault, Load
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.run_context import RunContext
from iskra_sdk.client import AsyncIskraClient

SENT = {"one": ["a", "b", "c"], "two": ["x", "y"]}


class Server:
    """Answers every route with one document, which may change."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    def answer(self, _request: httpx.Request) -> httpx.Response:
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        return httpx.Response(200, json=document)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def context(server: Server) -> AsyncIterator[RunContext]:
    transport = httpx.MockTransport(server.answer)
    async with AsyncIskraClient("http://127.0.0.1:1", "t", transport=transport) as client:

        async def is_within(_tolerance: object, _value: object) -> bool:
            return True

        load = LoadRun(Load(requests=5), None, client, Variables(), is_within)
        load.acknowledged = {session: list(messages) for session, messages in SENT.items()}
        yield RunContext(client, load)


@pytest.mark.parametrize(
    ("effects", "lost", "doubled", "misplaced"),
    [
        ("a x b y c", 0, 0, 0),
        ("x a y b c", 0, 0, 0),
        ("a x y c", 1, 0, 0),
        ("a x b a y c c", 0, 2, 0),
        ("b x a y c", 0, 0, 1),
        ("c y b x a", 0, 0, 3),
    ],
)
async def test_effects_are_held_against_what_was_sent(
    server: Server, context: RunContext, effects: str, lost: int, doubled: int, misplaced: int
) -> None:
    server.documents = [{"effects": effects.split()}]
    where = {"path": "/effects", "at": "$.effects[*]"}
    assert (await probes.lost_messages(context, **where))["status"] == lost
    assert await probes.duplicated_messages(context, **where) == doubled
    assert await probes.misplaced_messages(context, **where) == misplaced


async def test_a_state_is_waited_for(server: Server, context: RunContext) -> None:
    server.documents = [{"primary/fake": "closed"}, {"primary/fake": "closed"}, {"primary/fake": "open"}]
    waited = await probes.seconds_until(context, "/breakers", "$['primary/fake']", ["open"], within=30, every=0.0)
    assert waited < 30
    assert len(server.documents) == 1


async def test_a_state_that_does_not_come_is_told(server: Server, context: RunContext) -> None:
    server.documents = [{"status": "not ready"}]
    with pytest.raises(ActivityError, match="'not ready'"):
        await probes.seconds_until(context, path="/ready", at="$.status", is_one_of=["ready"], within=0.02, every=0.0)


async def test_faults_that_stay_are_told(server: Server, context: RunContext) -> None:
    server.documents = [{"faults": [{"state": "expired"}, {"state": "active"}]}]
    with pytest.raises(ActivityError, match="still has faults"):
        await probes.seconds_until_no_fault(context, within=0.02, every=0.0)
    server.documents = [{"faults": [{"state": "active"}]}, {"faults": [{"state": "expired"}]}]
    assert await probes.seconds_until_no_fault(context, within=30, every=0.0) < 30


@pytest.mark.parametrize(
    ("turns", "rate"), [([["t1"], ["t2"]], 0.5), ([["t1"], ["t1"]], 0.0), ([["t2", "t4"], []], 1.0)]
)
async def test_requests_that_were_hit_are_judged_alone(turns: list[list[str]], rate: float) -> None:
    """Of four requests the second and the fourth got a wrong answer; a side call's turn belongs to none of them."""
    answers = {f"/api/v1/chaos/faults/f{number}/turns": turns[number] for number in (0, 1)}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path in answers:
            return httpx.Response(200, json={"turns": answers[request.url.path], "is_complete": True})
        if request.url.params.get("after", "0") != "0":
            return httpx.Response(200, json={"data": []})
        sent = [(f"t{number}", f"Read it. {load.name_of(number)}") for number in range(1, 5)]
        said = [{"turn_id": turn, "message": {"role": "user", "content": text}} for turn, text in sent]
        heard = [{"turn_id": "t1", "message": {"role": "tool", "content": f"no, {load.name_of(2)}"}}]
        return httpx.Response(
            200, json={"data": [{"id": "m", "position": place, **each} for place, each in enumerate(said + heard, 1)]}
        )

    async def is_within(_tolerance: object, _value: object) -> bool:
        return True

    async with AsyncIskraClient("http://127.0.0.1:1", "t", transport=httpx.MockTransport(answer)) as client:
        load = LoadRun(Load(requests=5), None, client, Variables(), is_within)
        load.sessions = ["one"]
        load.acknowledged = {"one": [load.name_of(1), load.name_of(3)]}
        faults = {
            f"lie {number}": Lease(DeclaredFault(point="tool.result", kind="swapped_fields"), f"f{number}")
            for number in (0, 1)
        }
        context = RunContext(client, load, faults)
        assert await probes.error_rate_of_hit_requests(context) == rate


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"turns": [], "is_complete": True}, "No request"), ({"turns": ["t1"], "is_complete": False}, "not know all")],
)
async def test_a_rate_of_nothing_or_of_a_part_is_none(
    server: Server, context: RunContext, answer: dict[str, Any], words: str
) -> None:
    assert context.load is not None
    context.load.sessions = []
    context.faults["lie"] = Lease(DeclaredFault(point="tool.result", kind="swapped_fields"), "f")
    server.documents = [answer]
    with pytest.raises(ActivityError, match=words):
        await probes.error_rate_of_hit_requests(context)


async def test_a_server_that_is_younger_than_the_load_was_started_anew(server: Server, context: RunContext) -> None:
    server.documents = [{"uptime": 0.0}]
    assert not await probes.server_started_during_load(context), "the load has not begun"
    assert context.load is not None
    context.load.stop()
    context.load.sessions = ["one"] * 4
    await context.load.run()
    assert await probes.server_started_during_load(context)
    server.documents = [{"uptime": 86_400.0}]
    assert not await probes.server_started_during_load(context)


async def test_failures_are_told_apart(context: RunContext) -> None:
    assert context.load is not None
    for failure in ("", "stream_interrupted", "unexpected answer", "unexpected answer"):
        context.load.arms["experiment"].add(0.1, failure)
    assert probes.failures_besides(context)["status"] == 3
    assert probes.failures_besides(context, ["stream_interrupted"])["status"] == 2
    assert probes.longest_latency(context) == pytest.approx(0.1)


def test_a_database_that_is_damaged_is_found(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        database.execute("CREATE TABLE child (parent REFERENCES parent (id))")
    assert probes.database_is_intact(str(file))
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO child VALUES (7)")
    database.close()
    assert not probes.database_is_intact(str(file))
    with pytest.raises(ActivityError):
        probes.database_is_intact(str(tmp_path / "missing.db"))
