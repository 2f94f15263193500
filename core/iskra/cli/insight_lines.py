"""Contexts and journals as lines for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from iskra_sdk.client import ContextInfo, StepInfo, TurnInfo
from iskra_sdk.untrusted import unmark

_WIDTH = 100  # characters of a text that are shown in one line


def context_lines(found: ContextInfo) -> Iterator[str]:
    """Return a context as lines for people."""
    yield f"agent     {found.agent or '(none yet)'}"
    yield f"tools     {', '.join(found.tools) or '(none)'}"
    for name, entry in sorted(found.contexts.items()):
        version, value = (entry["version"], entry["value"]) if isinstance(entry, Mapping) else (0, entry)
        yield f"context   {name}, version {version}"
        for field, held in value.items():
            if held not in (None, [], {}, ""):
                yield f"          {field}: {_shown(held)}"
    tokens = sum(int(message["tokens"]) for message in found.messages)
    left_out = f", {found.left_out} older ones left out" if found.left_out else ""
    yield f"messages  {len(found.messages)} of about {tokens} tokens{left_out}; room for {found.budget_tokens}"
    for message in found.messages:
        calls = ", ".join(f"{call['name']} {_line(call['arguments'], 60)}" for call in message["tool_calls"])
        text = _line(unmark(str(message["text"])))
        yield f"  {message['role']:<9} {message['tokens']:>6}  {text}{f' → {calls}' if calls else ''}".rstrip()


def trace_lines(turn: TurnInfo, steps: Sequence[StepInfo]) -> Iterator[str]:
    """Return a turn's journal as lines for people; what an agent did that was handed the turn stands further in."""
    seconds = _seconds(turn.created_at, turn.ended_at)
    usage = turn.usage or {}
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    yield f"{turn.id}  {turn.agent or turn.model}  {turn.state}  {seconds}  {prompt}+{completion} tokens"
    yield f"  user: {_line(_text(turn.input))}"
    before = turn.created_at
    depth = 0
    for step in steps:
        at = step.ended_at or step.started_at
        ran = step.data.get("seconds")
        took = f"{ran:.2f} s" if isinstance(ran, int | float) else _seconds(before, at)
        yield f"  {step.index:>3}  {took:>8}  {'  ' * depth}{_step_line(step)}"
        depth += step.kind == "handoff"
        before = at
    if turn.error:
        yield f"  failed: {turn.error.get('message', '')}"


def _step_line(step: StepInfo) -> str:
    data = step.data
    match step.kind:
        case "model":
            message = data.get("message") or {}
            usage = data.get("usage") or {}
            calls = ", ".join(call["function"]["name"] for call in message.get("tool_calls") or ())
            tokens = f"{usage.get('prompt_tokens', 0)}+{usage.get('completion_tokens', 0)} tokens"
            said = [_line(str(message.get("content") or "")), f"asks for {calls}" if calls else ""]
            return "  ".join([f"model    {data.get('target', '')}", tokens, *filter(None, said)])
        case "tool":
            result = data.get("result") or {}
            how = str(result.get("error_code") or "done") if result else step.state
            decided = _decided(data)
            arguments = data.get("arguments") or (data.get("call") or {}).get("function", {}).get("arguments")
            shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            came_to = _line(unmark(str(result.get("content", ""))), 60)
            return f"tool     {step.name} {_line(shown)}  {how}{decided}  {came_to}".rstrip()
        case "handoff":
            return f"handoff  {data.get('from')} → {data.get('to')}{_because(data)}"
        case "question":
            answer = f"  answer: {_line(str(data['answer']))}" if "answer" in data else "  (no answer yet)"
            return f"question {_line(str(data.get('question')))}{answer}"
    return f"{step.kind:<8} {_line(str(data.get('text', '')))}"


def _decided(data: Mapping[str, Any]) -> str:
    """Return who let a tool call run or not, and by which rule somebody was asked or was not."""
    decision = data.get("decision") or {}
    match decision.get("state"):
        case None:
            return "  asked" if data.get("approval_id") else ""
        case "automatic":
            return f"  allowed by {decision.get('rule')}"
        case "expired":
            return "  asked, nobody decided"
        case state:
            remark = f": {_line(str(decision['remark']), 60)}" if decision.get("remark") else ""
            by = str(decision.get("by") or "").strip("()")
            return f"  asked by {decision.get('rule')}, {state} by {by}{remark}"


def _because(data: Mapping[str, Any]) -> str:
    return f"  because {data['reason']}" if data.get("reason") else ""


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _line(text: str, width: int = _WIDTH) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_shown(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def _seconds(begin: datetime | None, end: datetime | None) -> str:
    if begin is None or end is None:
        return ""
    return f"{max(0.0, (end - begin).total_seconds()):.2f} s"  # calls that ran side by side end in any order
