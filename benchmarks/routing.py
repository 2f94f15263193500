"""Measures how well and how fast the orchestrator chooses an agent, beside choosing by words alone.

Run: ``python benchmarks/run.py routing``. The messages in ``data/routing_messages.tsv`` and
``data/routing_messages_second.tsv`` (label, what happened before, text) are kept apart from the training data; a test
compares them. Whoever trains the classifier does not read the second set, so that nothing is fitted to it. No language
model is asked.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from iskra_agents import Architect, Ask, Coder, Debug
from iskra_agents.routing.classifier import LocalClassifier
from iskra_agents.routing.context import RoutingContext
from iskra_agents.routing.keywords import route
from iskra_agents.routing.levels import Level
from iskra_agents.routing.router import Choice, Router
from iskra_sdk.clock import SystemClock
from table import Row

DATA = Path(__file__).parent / "data"
FIRST = DATA / "routing_messages.tsv"
SECOND = DATA / "routing_messages_second.tsv"
AGENTS = (Ask(), Architect(), Debug(), Coder())
ASKED = "asks"


class Labelled(NamedTuple):
    """A message, the agent it is for, and what happened before."""

    agent: str
    context: RoutingContext
    text: str


def read_messages(file: Path) -> list[Labelled]:
    """Return the held-out messages of one set."""
    rows = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
    return [Labelled(agent, _context(before), text) for agent, before, text in rows]


def _context(before: str) -> RoutingContext:
    if before == "failed":
        return RoutingContext(last_agents=["coder"], last_error={"what": "pytest -q", "how": "exit status 1"})
    return RoutingContext(last_agents=[before.removeprefix("after:")] if before else [])


def run(runs: int) -> list[Row]:
    """Measure, print the confusion matrix of each set, and return the rows."""
    first = read_messages(FIRST)
    return [
        *_quality("first set", first),
        *_quality("second set", read_messages(SECOND)),
        Row(
            "",
            "loading the classifier",
            min(_seconds(LocalClassifier.load) for _ in range(runs)) * 1e3,
            None,
            "ms",
            100,
            5,
        ),
        Row("", "one message", min(_choosing(first) for _ in range(runs)) * 1e3, None, "ms", 2.0, 0.5),
    ]


def _quality(name: str, messages: Sequence[Labelled]) -> list[Row]:
    """Print the confusion matrix of one set, and return how often its messages go right."""
    router = Router(SystemClock())
    choices = [router.choose(message.text, AGENTS, message.context) for message in messages]
    show_matrix(name, messages, choices)
    sent = [choice for choice in choices if choice.level is not Level.LOW]
    right = sum(choice.agent == message.agent for message, choice in zip(messages, choices, strict=True))
    right_sent = sum(
        choice.agent == message.agent and choice.level is not Level.LOW
        for message, choice in zip(messages, choices, strict=True)
    )
    by_words = sum(route(message.text, AGENTS).agent == message.agent for message in messages)
    share = 100 / len(messages)
    return [
        Row("", f"{name}: right agent, likeliest one", right * share, by_words * share, "%", 1.0, 97 / 47, "more"),
        Row(
            "",
            f"{name}: right agent, of those sent on without asking",
            100 * right_sent / len(sent),
            None,
            "%",
            97,
            99,
            "more",
        ),
        Row("", f"{name}: asked of the user", 100 - len(sent) * share, None, "%", 15, 5),
    ]


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _choosing(messages: Sequence[Labelled]) -> float:
    router = Router(SystemClock())  # with nothing remembered
    router.choose("warm up", AGENTS, RoutingContext())
    begin = time.perf_counter()
    for message in messages:
        router.choose(message.text, AGENTS, message.context)
    return (time.perf_counter() - begin) / len(messages)


def show_matrix(name: str, messages: Sequence[Labelled], choices: Sequence[Choice]) -> None:
    """Print which agents the messages of one set were sent to."""
    names = [agent.name for agent in AGENTS]
    counts = Counter(
        (message.agent, ASKED if choice.level is Level.LOW else choice.agent)
        for message, choice in zip(messages, choices, strict=True)
    )
    table = Table(title=f"Where {len(messages)} held-out messages go, {name}", title_justify="left")
    table.add_column("meant for")
    for agent in (*names, ASKED):
        table.add_column(agent, justify="right")
    for agent in names:
        table.add_row(agent, *(str(counts[agent, other] or "·") for other in (*names, ASKED)))
    Console().print(table)
