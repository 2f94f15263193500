"""Compares the creative operations with plain answers and with nothing but a higher temperature, in pairs.

Run: ``python benchmarks/run.py creative_pairs`` asks a model whose distribution is known (``known_distribution.py``):
it shows that the comparison tells what helps from what does not, and says nothing of any language model.
``python benchmarks/creative_pairs.py --url URL --token TOKEN --model MODEL`` asks a model behind any OpenAI-compatible
``/v1/chat/completions``; its table is the proof, or the refutation, of each operation.

Each arm answers the prompts of ``data/creative_prompts.json`` (30 that admit many answers, 8 with one) with the same
seeds. Answers go through the interceptor of the plugin, with its checks, second draws and branches.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
from rich.console import Console
from rich.table import Table

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations.comparison import Arm, Sample, Verdict, mean_vendi, pareto_front, verdict_of
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.planning import plan
from iskra_chaos.processes.branching import Branching
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_chaos.processes.speaking import Speaking
from iskra_metrics.fact_hash import changed_facts
from iskra_metrics.text import words
from iskra_sdk.ids import MessageId
from iskra_sdk.llm import Caller, LLMChunk, LLMRequest, Usage
from iskra_sdk.message import Message, ToolCall
from known_distribution import KnownDistribution
from table import Row

PROMPTS = Path(__file__).parent / "data" / "creative_prompts.json"
SAMPLES = 8
BASE = 0.7
TEMPERATURES = (0.9, 1.0, 1.2)
INTENSITY = 0.5
IDLE, NUDGE = "idle", "other prompt each time"
OPERATIONS: tuple[OperationType, ...] = get_args(OperationType)

Ask = Callable[[Sequence[Mapping[str, str]], Mapping[str, object]], Awaitable[tuple[str, int]]]
"""Returns the answer to messages under sampling parameters, and its tokens."""
Planned = Callable[[Conversation, int], Perturbation]


@dataclass(frozen=True)
class Prompt:
    """One prompt with the conversation before it, and what its answers must keep."""

    id: str
    language: str
    subject: str
    asked: str
    most_words: int = 0
    mentions: str = ""
    fact: str = ""

    @property
    def conversation(self) -> Conversation:
        """Return what was said before: a conversation that repeats itself, and the fact where there is one."""
        first, again, answer = _BEFORE[self.language]
        said = [Message.user(first.format(self.subject))]
        if self.fact:
            said += [Message.assistant("", [ToolCall("c1", "look", "{}")]), Message.tool("c1", self.fact)]
        said += [
            Message.assistant(answer.format(self.subject)),
            Message.user(again.format(self.subject)),
            Message.assistant(answer.format(self.subject)),
            Message.user(self.asked),
        ]
        return Conversation([message.with_id(f"t{1 + at // 3}.{at}") for at, message in enumerate(said)], turn=3)

    def is_kept(self, answer: str) -> bool:
        """Tell whether an answer keeps every constraint."""
        if self.fact:
            return bool(answer.strip()) and not changed_facts([self.fact], answer)
        return 0 < len(words(answer)) <= self.most_words and self.mentions.lower() in answer.lower()


_BEFORE = {
    "en": (
        "Let us think about {0}.",
        "Go on with {0}.",
        "As I said, it all begins with a plan for {0}. People come for the company. The weather decides the rest.",
    ),
    "ru": (
        "Подумаем вместе: {0}.",
        "Продолжай: {0}.",
        "Как я уже говорил, всё начинается с плана: {0}. Люди приходят ради общения. Остальное решает погода.",
    ),
}


def prompts() -> list[Prompt]:
    """Return all prompts."""
    return [Prompt(**each) for each in json.loads(PROMPTS.read_text(encoding="utf-8"))]


async def arm(name: str, ask: Ask, chosen: Sequence[Prompt], planned: Planned | None, temperature: float = BASE) -> Arm:
    """Return what a way to answer comes to on all prompts."""
    at_once = asyncio.Semaphore(8)

    async def sample(prompt: Prompt, seed: int) -> Sample:
        async with at_once:
            text, tokens = await _answer(ask, prompt, planned, temperature, seed)
        return Sample(text, prompt.is_kept(text), tokens)

    async def samples(prompt: Prompt) -> list[Sample]:
        return list(await asyncio.gather(*(sample(prompt, seed) for seed in range(SAMPLES))))

    given = dict(zip([prompt.id for prompt in chosen], await asyncio.gather(*map(samples, chosen)), strict=True))
    facts = {prompt.id: [prompt.fact] for prompt in chosen if prompt.fact}
    return Arm(
        name,
        {name: found for name, found in given.items() if name not in facts},
        {name: given[name] for name in facts},
        facts,
    )


def operation_plan(operation: OperationType, intensity: float) -> Planned:
    """Return what plans an operation; each sample has a seed of its own, as each start of an operation has."""
    return lambda conversation, seed: plan(operation, conversation, intensity, seed)


async def _answer(ask: Ask, prompt: Prompt, planned: Planned | None, temperature: float, seed: int) -> tuple[str, int]:
    """Return one answer as the plugin gives it, and the tokens of all its calls."""
    spent = 0

    async def stream(request: LLMRequest) -> AsyncIterator[LLMChunk]:
        nonlocal spent
        shown = [{"role": each.role, "content": each.text} for each in request.messages if each.text]
        text, tokens = await ask(shown, request.parameters)
        spent += tokens
        yield LLMChunk(text=text)
        yield LLMChunk(finish_reason="stop", usage=Usage(0, tokens))

    async def proceed(request: LLMRequest) -> AsyncIterator[LLMChunk]:
        return stream(request)

    conversation = prompt.conversation
    caller = Caller("benchmark", session_id="s", turn_id="t4", is_answer=True)
    request = LLMRequest(
        [Message.system("Be useful."), *conversation.messages],
        parameters={"temperature": temperature, "seed": seed},
        caller=caller,
    )
    session = _session(planned(conversation, seed), conversation) if planned is not None else None
    pieces = [chunk.text async for chunk in _speaking(session).around(request, proceed)]
    branches = session.process.intermediate_results if session is not None else []
    chosen = next((each["text"] for each in branches if each.get("chosen")), None)
    # The other ways are shown below the one that was settled on; what is compared is the answer.
    return chosen if chosen is not None else "".join(pieces), spent


def _session(perturbation: Perturbation, conversation: Conversation) -> PerturbedSession:
    process = ChaosProcess(
        id="chaos_bench",
        type="micro_disturbance",
        intensity=INTENSITY,
        status=ProcessStatus.ACTIVE,
        start_time=datetime.now(UTC),
    )
    before = Conversation(conversation.messages[:-1], turn=conversation.turn)
    # The line that tells of a reset is the plugin's and no part of the answer.
    return PerturbedSession(process, perturbation, before, turns_left=perturbation.turns, notice_shown=True)


def _speaking(session: PerturbedSession | None) -> Speaking:
    async def ignored(*_: object) -> None:
        return None

    async def nothing_pinned(_session_id: str) -> frozenset[MessageId]:
        return frozenset()

    return Speaking(
        lambda _session_id: session,
        ignored,
        lambda _session, _error: None,
        ignored,
        pinned=nothing_pinned,
        branching=Branching(has_min_p=False),
        has_min_p=False,
    )


async def compared(
    ask: Ask, chosen: Sequence[Prompt], plans: Mapping[str, Planned], branches: Mapping[str, int]
) -> tuple[list[Arm], list[Verdict]]:
    """Return all arms, the plain ones first, and a verdict for each plan."""
    plain = await arm(f"temperature {BASE}", ask, chosen, None)
    temperatures = [await arm(f"temperature {each}", ask, chosen, None, each) for each in TEMPERATURES]
    arms = [await arm(name, ask, chosen, planned) for name, planned in plans.items()]
    verdicts = [verdict_of(each, plain, temperatures, branches=branches.get(each.name, 1)) for each in arms]
    return [plain, *temperatures, *arms], verdicts


def known(model: KnownDistribution) -> Ask:
    """Return what asks a model whose distribution is known; a token is a word."""

    async def ask(messages: Sequence[Mapping[str, str]], parameters: Mapping[str, object]) -> tuple[str, int]:
        temperature, seed = float(str(parameters.get("temperature", BASE))), int(str(parameters.get("seed", 0)))
        text = model.answer(messages, temperature=temperature, seed=seed)
        return text, len(words(text)) + sum(len(words(message["content"])) for message in messages)

    return ask


def idle_plan(_conversation: Conversation, _seed: int) -> Perturbation:
    """Plan an operation that changes nothing."""
    return Perturbation(turns=1)


def nudging_plan(_conversation: Conversation, seed: int) -> Perturbation:
    """Plan the least operation that a model which listens to prompts can profit from: another hint for each sample."""
    return Perturbation(turns=1, instruction=f"Hint {chr(97 + seed % 26)}.")


async def run(_runs: int) -> list[Row]:
    """Return the rows: whether verdicts follow the distribution. What the operations come to on it is printed only."""
    chosen = prompts()
    planted: dict[str, Planned] = {IDLE: idle_plan, NUDGE: nudging_plan}
    plans = dict(planted)
    plans.update((name, operation_plan(name, INTENSITY)) for name in OPERATIONS)
    branches = {"quantum_flux": 2 + round(4 * INTENSITY)}
    arms, verdicts = await compared(known(KnownDistribution(prompt_effect=1.0)), chosen, plans, branches)
    show(arms, verdicts, "a known distribution that listens to prompts")
    deaf_arms, deaf = await compared(known(KnownDistribution(prompt_effect=0.0)), chosen, plans, branches)
    show(deaf_arms, deaf, "a known distribution that hears the temperature only")
    found = {verdict.name: verdict for verdict in verdicts}
    idle_praised = sum(verdict.passes for verdict in (*verdicts, *deaf) if verdict.name == IDLE)
    deaf_praised = sum(verdict.passes for verdict in deaf)
    seen = float(found[NUDGE].passes)
    return [
        Row("", "idle operation found better, of 2 models", idle_praised, None, "models", 0, 0),
        Row("", "operations found better where only the temperature counts", deaf_praised, None, "operations", 0, 0),
        Row("", "another prompt each time found better where prompts count", seen, None, "yes", 1, 1, "more"),
    ]


def show(arms: Sequence[Arm], verdicts: Sequence[Verdict], model: str) -> None:
    """Print the measures of all arms, and which of them are on the Pareto front of diversity and constraints."""
    table = Table(title=f"Creative operations, {model}", title_justify="left")
    for column in (
        "arm",
        "Vendi/n",
        "distinct-2",
        "self-BLEU",
        "zlib",
        "kept",
        "tokens",
        "changed",
        "entropy",
        "front",
    ):
        table.add_column(column, justify="left" if column in ("arm", "front") else "right")
    table.add_column("verdict")
    front, judged = pareto_front(arms), {verdict.name: verdict for verdict in verdicts}
    for each in arms:
        found = each.diversities
        means = [
            sum(values) / len(found)
            for values in zip(*((one.distinct, one.self_bleu, one.compression) for one in found), strict=True)
        ]
        table.add_row(
            each.name,
            f"{mean_vendi(each):.3f}",
            *(f"{mean:.3f}" for mean in means),
            f"{each.constraint_pass:.1%}",
            f"{each.tokens / arms[0].tokens:.2f}×",
            str(each.changed_facts),
            f"{each.factual_entropy:.3f}",
            "yes" if each.name in front else "",
            _words(judged.get(each.name)),
        )
    Console(width=190).print(table)


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    change = verdict.vendi
    said = f"{change.relative:+.0%} [{change.low:+.3f}, {change.high:+.3f}]"
    if verdict.passes:
        return f"{said} passes"
    why = [*verdict.failed, *(f"not better than {name}" for name in verdict.not_better_than)]
    return f"{said} fails: {', '.join(why)}"


def main() -> int:
    """Compare the operations on a model behind a URL; the exit status is 0 if all of them pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of an OpenAI-compatible server, without /v1")
    parser.add_argument("--token", default=os.environ.get("ISKRA_TOKEN", ""))
    parser.add_argument("--model", required=True)
    parser.add_argument("--operations", nargs="*", default=list(OPERATIONS), choices=OPERATIONS)
    parser.add_argument("--intensity", type=float, default=INTENSITY)
    parser.add_argument("--max-tokens", type=int, default=300)
    given = parser.parse_args()
    return asyncio.run(_on_a_model(given))


async def _on_a_model(given: argparse.Namespace) -> int:
    headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
    async with httpx.AsyncClient(base_url=given.url, headers=headers, timeout=600) as client:

        async def ask(messages: Sequence[Mapping[str, str]], parameters: Mapping[str, object]) -> tuple[str, int]:
            plain = [{**each, "role": "user"} if each["role"] == "tool" else each for each in messages]
            body: dict[str, Any] = {"model": given.model, "max_tokens": given.max_tokens, **parameters}
            response = await client.post("/v1/chat/completions", json={**body, "messages": plain})
            response.raise_for_status()
            answer = response.json()
            text = str(answer["choices"][0]["message"]["content"] or "")
            counted = (answer.get("usage") or {}).get("total_tokens")
            return text, int(counted) if counted else len(words(text))

        plans = {name: operation_plan(name, given.intensity) for name in given.operations}
        branches = {"quantum_flux": 2 + round(4 * given.intensity)}
        arms, verdicts = await compared(ask, prompts(), plans, branches)
    show(arms, verdicts, given.model)
    return 0 if all(verdict.passes for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
