import asyncio
import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from chaos.experiments.experiment_documents import call, experiment
from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.journal import MAX_TEXT, Journal
from iskra_chaos.experiments.redaction import HIDDEN, Redactor
from iskra_chaos.experiments.verdict import Verdict


def begun(path: Path | None = None, *secrets: object) -> Journal:
    plan = experiment(
        method=[call("p", "p99")],
        secrets={"t": {"inline": "plain-secret", "env": {"type": "env", "key": "VAR", "default": "fallback-secret"}}},
    )
    return Journal.begin(plan, Redactor(["plain-secret", "fallback-secret", *secrets]), path)


async def test_a_reader_always_finds_a_whole_journal(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.json"
    journal = begun(path)
    done = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            if path.exists():
                assert json.loads(await asyncio.to_thread(path.read_bytes))["experiment"]["title"] == "A test"
                reads += 1
            await asyncio.sleep(0)
        return reads

    reader = asyncio.ensure_future(read())
    for number in range(30):
        journal.document["run"].append({"output": "x" * 20_000, "number": number})
        await journal.save()
    done.set()
    assert await reader > 0
    assert len(Journal.read(path).document["run"]) == 30
    assert [child.name for child in path.parent.iterdir()] == ["journal.json"]


async def test_saves_at_the_same_time_leave_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = begun(path)

    async def save(number: int) -> None:
        journal.document["run"].append(number)
        await journal.save()

    await asyncio.gather(*(save(number) for number in range(20)))
    assert Journal.read(path).document["run"] == list(range(20))


async def test_a_journal_tells_the_worst_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = begun(path)
    await journal.save()
    assert Journal.read(path).verdict == "aborted"
    journal.close(Verdict("held", ("fine",)), "completed", deviated=False)
    await journal.save()
    read = Journal.read(path)
    assert (read.verdict, read.reasons, read.document["status"]) == ("held", ["fine"], "completed")


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    journal = begun(None, "from-elsewhere")
    journal.document["run"].append({"output": {"from-elsewhere": ["x from-elsewhere y"]}, "e": ["plain-secret"]})
    text = json.dumps(journal.redacted())
    assert not any(secret in text for secret in ("plain-secret", "fallback-secret", "from-elsewhere"))
    assert journal.redacted()["experiment"]["secrets"]["t"] == {
        "inline": HIDDEN,
        "env": {"type": "env", "key": "VAR", "default": HIDDEN},
    }


class Grumpy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (math.nan, None),
        ({1}, [1]),
        (b"\xff", "\ufffd"),
        (Point(1), {"x": 1}),
        (Grumpy(), "<Grumpy>"),
        ({(1, 2): datetime(2026, 1, 1)}, {"(1, 2)": "2026-01-01T00:00:00"}),
        (1 << 5000, "a number of 5,001 bits"),
        ("\ud800", "\ud800"),
        ("x" * (MAX_TEXT + 1), "x" * MAX_TEXT + f"… ({MAX_TEXT + 1:,} characters)"),
    ],
)
async def test_whatever_a_probe_returns_is_written(tmp_path: Path, output: object, written: object) -> None:
    journal = begun(tmp_path / "journal.json")
    journal.document["run"].append(output)
    await journal.save()
    assert Journal.read(tmp_path / "journal.json").document["run"] == [written]


async def test_a_structure_within_itself_ends_somewhere(tmp_path: Path) -> None:
    journal = begun(tmp_path / "journal.json")
    circle: list[object] = []
    circle.append(circle)
    journal.document["run"] = circle
    await journal.save()
    assert "nested too deep" in (tmp_path / "journal.json").read_text()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"x": 1}'])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(content)
    with pytest.raises(ExperimentError, match="journal"):
        Journal.read(path)
