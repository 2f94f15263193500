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
    """Return a turn's journal as lines for people."""
    seconds = _seconds(turn.created_at, turn.ended_at)
    usage = turn.usage or {}
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    yield f"{turn.id}  {turn.agent or turn.model}  {turn.state}  {seconds}  {prompt}+{completion} tokens"
    yield f"  user: {_line(_text(turn.input))}"
    before = turn.created_at
    for step in steps:
        at = step.ended_at or step.started_at
        yield f"  {step.index:>3}  {_seconds(before, at):>8}  {_step_line(step)}"
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
            said = f"asks for {calls}" if calls else _line(str(message.get("content") or ""))
            return f"model    {data.get('target', '')}  {tokens}  {said}"
        case "tool":
            result = data.get("result") or {}
            how = str(result.get("error_code") or "done") if result else step.state
            asked = "  asked" if data.get("approval_id") else ""
            arguments = data.get("arguments") or (data.get("call") or {}).get("function", {}).get("arguments")
            shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            came_to = _line(unmark(str(result.get("content", ""))), 60)
            return f"tool     {step.name} {_line(shown)}  {how}{asked}  {came_to}".rstrip()
        case "handoff":
            return f"handoff  {data.get('from')} → {data.get('to')}{_because(data)}"
        case "question":
            answer = f"  answer: {_line(str(data['answer']))}" if "answer" in data else "  (no answer yet)"
            return f"question {_line(str(data.get('question')))}{answer}"
    return f"{step.kind:<8} {_line(str(data.get('text', '')))}"


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
    return "" if begin is None or end is None else f"{(end - begin).total_seconds():.2f} s"
