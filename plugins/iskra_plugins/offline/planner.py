"""Decides what to answer: a pure function of the conversation and the tools on offer."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iskra_plugins.offline.commands import Clause, Kind, language_of, read_request
from iskra_plugins.offline.intents import INTENTS
from iskra_plugins.offline.phrases import LANGUAGES, Phrases
from iskra_plugins.offline.report import Outcome, describe_all, shortened
from iskra_plugins.offline.side_calls import answer_side_call
from iskra_plugins.offline.tool_choice import (
    OfferedTool,
    choose_tool,
    encode_arguments,
    has_tool,
    offered_tools,
    read_arguments,
)
from iskra_sdk import Message, ToolCall, ToolSpec
from iskra_sdk.untrusted import unmark

MOST_CALLS = 20
"""Tool calls one message may ask for."""
_SAID_LENGTH = 120
_TOOLS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to answer with.

    Attributes:
        text: What to say.
        calls: Tool calls to make; they run side by side.
        question: Look this up in the docs, and say what is found after :attr:`text`.
        language: ``en`` or ``ru``.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    question: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class _Order:
    """One call that was asked for, and the tool that does it."""

    clause: Clause
    slots: Mapping[str, str]
    tool: OfferedTool
    arguments: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a message asks for: steps of calls, remarks about what is left out, or a reply instead of both."""

    steps: Sequence[Sequence[_Order]] = ()
    remarks: Sequence[str] = ()
    reply: Plan | None = None


def plan(messages: Sequence[Message], tools: Iterable[ToolSpec | Mapping[str, object]] = ()) -> Plan:
    """Plan the next answer. The same arguments give the same plan; nothing is remembered between calls.

    Only the last message of the user is read as a request. What tools returned is quoted, never obeyed.

    Args:
        messages: The conversation.
        tools: The tools on offer, in the shapes of :attr:`iskra_sdk.LLMRequest.tools`.
    """
    last = max((number for number, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        return Plan(text=LANGUAGES["en"]["nothing_said"])
    request = messages[last].text
    users = [message.text for message in messages[: last + 1] if message.role == "user"]
    language = next(filter(None, map(language_of, reversed(users[-5:]))), "en")
    side_answer = answer_side_call(request, first_message=users[0])
    if side_answer is not None:
        return Plan(text=side_answer, language=language)

    offered = offered_tools(tools)
    phrases = LANGUAGES[language]
    reading = _read(request, offered, phrases, language)
    done = messages[last + 1 :]
    rounds = [message for message in done if message.role == "assistant" and message.tool_calls]
    if reading.reply is not None and not rounds:
        return reading.reply
    results = {message.tool_call_id or "": unmark(message.text) for message in done if message.role == "tool"}
    outcomes = _outcomes(reading.steps, rounds, results)
    failed = any(outcome.has_failed for outcome in outcomes)
    if len(rounds) < len(reading.steps) and not failed:
        step = reading.steps[len(rounds)]
        seed = _seed(messages)
        calls = tuple(
            ToolCall(f"call_{seed}_{number}", order.tool.name, order.arguments) for number, order in enumerate(step)
        )
        return Plan(calls=calls, language=language)
    parts = describe_all(outcomes, phrases)
    left = [order.clause.said for step in reading.steps[len(rounds) :] for order in step]
    if failed and left:
        parts.append(phrases["stopped"].format(said=_listing(left)))
    return Plan(text="\n\n".join([*parts, *reading.remarks]) or phrases["nothing_said"], language=language)


def _read(request: str, tools: Sequence[OfferedTool], phrases: Phrases, language: str) -> _Reading:
    """Read a request to the end before anything is done, so that a doubt about its end stops its beginning."""

    def say(*parts: str) -> _Reading:
        return _Reading(reply=Plan(text="\n\n".join(filter(None, parts)), language=language))

    if not request.strip():
        return say(phrases["nothing_said"])
    clauses = read_request(request)
    orders = [clause for clause in clauses if clause.kind is Kind.ORDER]
    others = [clause for clause in clauses if clause.kind is Kind.OTHER]
    if orders and len(others) > len(orders):
        orders = []  # a text that happens to hold an order, not a request
    if not orders:
        return _reply_without_orders(request, clauses, tools, phrases, language)
    doubtful = _doubtful(clauses)
    if doubtful is not None:
        return say(phrases["ambiguous"].format(said=_said(doubtful)))

    steps: list[list[_Order]] = []
    joins = False
    for clause in orders:
        intent = clause.intent
        if intent is None:
            continue
        resolved = _resolve(clause, tools, phrases)
        if isinstance(resolved, str):
            return say(resolved)
        if joins and not clause.follows and not intent.changes and steps:
            steps[-1].extend(resolved)
        else:
            steps.append(list(resolved))
        joins = not intent.changes
    if sum(map(len, steps)) > MOST_CALLS:
        return say(phrases["too_many"].format(limit=MOST_CALLS))
    return _Reading(steps=steps, remarks=_remarks(clauses, phrases))


def _doubtful(clauses: Sequence[Clause]) -> Clause | None:
    """Return a clause that was not understood and may belong to an order that changes something."""
    for number, clause in enumerate(clauses):
        if clause.kind is not Kind.ORDER or clause.intent is None or not clause.intent.changes:
            continue
        after = clauses[number + 1] if number + 1 < len(clauses) else None
        if after is not None and after.kind is Kind.OTHER and not after.follows:
            return after
        if not clause.follows and number and clauses[number - 1].kind is Kind.OTHER:
            return clauses[number - 1]
    return None


def _reply_without_orders(
    request: str, clauses: Sequence[Clause], tools: Sequence[OfferedTool], phrases: Phrases, language: str
) -> _Reading:
    def say(*parts: str, question: str = "") -> _Reading:
        text = "\n\n".join(filter(None, parts))
        return _Reading(reply=Plan(text=text, question=question, language=language))

    kinds = {clause.kind for clause in clauses}
    for clause in clauses:
        if clause.kind is Kind.UNFINISHED and clause.intent is not None:
            return say(phrases[f"unfinished_{clause.intent.name}"])
    if Kind.FORBIDDEN in kinds and Kind.OTHER not in kinds:
        return say(phrases["forbidden"])
    if kinds and kinds <= {Kind.GREETING, Kind.ABOUT_ITSELF}:
        greeting = phrases["hello"] if Kind.GREETING in kinds else ""
        return say(greeting, phrases["who"], capabilities(tools, phrases), phrases["connect"])
    if Kind.NEEDS_A_MODEL in kinds and Kind.OTHER not in kinds:
        needing = [clause for clause in clauses if clause.kind is Kind.NEEDS_A_MODEL]
        return say(
            phrases["needs_a_model"].format(said=_said(needing[0])), capabilities(tools, phrases), phrases["connect"]
        )
    # Also "explain approvals": what needs a model in general may stand in the docs.
    return say(question=request)


def _resolve(clause: Clause, tools: Sequence[OfferedTool], phrases: Phrases) -> Sequence[_Order] | str:
    """Return the calls of an order, or what to say when there is no tool for it."""
    intent = clause.intent
    if intent is None:
        raise ValueError("only orders can be resolved")
    names = ", ".join(f"`{tool.name}`" for tool in tools[:_TOOLS_NAMED])
    if intent.name == "call":
        return _resolve_call(clause, tools, names, phrases)
    orders: list[_Order] = []
    slot_lists = {slot: values for slot, values in clause.slots.items() if values}
    # Only a list of paths has several values, and each gets a call of its own.
    for path in slot_lists.get("path", ("",)):
        slots = {slot: values[0] for slot, values in slot_lists.items()} | ({"path": path} if path else {})
        chosen = choose_tool(intent, slots, tools)
        if chosen is None:
            key = "missing_tool" if tools else "missing_any_tool"
            remark = phrases["no_tools"] if not tools or not any(has_tool(other, tools) for other in INTENTS) else ""
            return f"{phrases[key].format(said=_said(clause), tools=names)} {remark}".strip()
        tool, arguments = chosen
        orders.append(_Order(clause, slots, tool, encode_arguments(arguments)))
    return orders


def _resolve_call(clause: Clause, tools: Sequence[OfferedTool], names: str, phrases: Phrases) -> Sequence[_Order] | str:
    name = clause.slots["tool"][0]
    tool = next((tool for tool in tools if tool.name.lower() == name.lower()), None)
    if tool is None:
        if not tools:
            return f"{phrases['missing_any_tool'].format(said=_said(clause))} {phrases['no_tools']}"
        return phrases["unknown_tool"].format(tool=shortened(name, 64), tools=names)
    arguments = read_arguments(tool, " ".join(clause.slots.get("rest", ())))
    if arguments is None:
        parameters = ", ".join(f"`{parameter}`" for parameter in tool.properties) or phrases["empty"]
        return phrases["bad_arguments"].format(tool=tool.name, parameters=parameters)
    return [_Order(clause, {}, tool, encode_arguments(arguments))]


def _outcomes(
    steps: Sequence[Sequence[_Order]], rounds: Sequence[Message], results: Mapping[str, str]
) -> Sequence[Outcome]:
    outcomes: list[Outcome] = []
    for number, message in enumerate(rounds):
        orders = steps[number] if number < len(steps) else ()
        for position, call in enumerate(message.tool_calls):
            order = orders[position] if position < len(orders) else None
            # Calls of another model, which answered before this one took over, are reported under their own names.
            ours = order is not None and order.tool.name == call.name and order.clause.intent is not None
            intent = order.clause.intent.name if ours and order and order.clause.intent else "call"
            outcomes.append(Outcome(call.name, intent, order.slots if ours and order else {}, results.get(call.id, "")))
    return outcomes


def _remarks(clauses: Sequence[Clause], phrases: Phrases) -> Sequence[str]:
    """Say which parts of the request were left out."""
    remarks: list[str] = []
    forbidden = [clause.said for clause in clauses if clause.kind is Kind.FORBIDDEN]
    if forbidden:
        remarks.append(phrases["forbidden_too"].format(said=_listing(forbidden)))
    for clause in clauses:
        match clause.kind:
            case Kind.NEEDS_A_MODEL | Kind.EXPLAIN:
                remarks.append(phrases["needs_a_model"].format(said=_said(clause)))
            case Kind.OTHER:
                remarks.append(phrases["not_understood"].format(said=_said(clause)))
            case Kind.UNFINISHED if clause.intent is not None:
                remarks.append(phrases[f"unfinished_{clause.intent.name}"])
    return remarks


def capabilities(tools: Sequence[OfferedTool], phrases: Phrases) -> str:
    """List what can be asked for with these tools."""
    lines = [phrases["can_docs"]]
    lines += [phrases[f"can_{intent.name}"] for intent in INTENTS if intent.tool_words and has_tool(intent, tools)]
    others = [tool for tool in tools if not any(has_tool(intent, [tool]) for intent in INTENTS)]
    if others:
        lines.append(phrases["can_call"].format(tool=others[0].name))
    if len(lines) > 2:
        lines.append(phrases["can_steps"])
    listing = "\n".join(f"- {line}" for line in lines)
    return f"{phrases['can']}\n\n{listing}" + ("" if tools else f"\n\n{phrases['no_tools']}")


def _said(clause: Clause) -> str:
    return shortened(clause.said, _SAID_LENGTH)


def _listing(parts: Iterable[str]) -> str:
    return "; ".join(f"“{shortened(part, _SAID_LENGTH)}”" for part in dict.fromkeys(parts))


def _seed(messages: Sequence[Message]) -> str:
    """Return a digest of the conversation so far: equal for a repeated call, different at every later position."""
    digest = hashlib.blake2s(digest_size=6)
    for message in messages:
        digest.update(message.encoded)
    return digest.hexdigest()
