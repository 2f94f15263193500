"""Fingerprints of model calls: enough to tell later, part by part, whether an agent would ask the same again."""

from collections.abc import Mapping, Sequence

from iskra.digest import digest
from iskra_sdk.message import Message


def call_print(
    *,
    prompt: str,
    messages: Sequence[Message] | None,
    tools: Mapping[str, str],
    model: str,
    parameters: Mapping[str, object],
) -> dict[str, object]:
    """Return a fingerprint of what an agent itself decides of a model call.

    What the kernel adds (rules, the voice, the choice of old messages) is not part of it, nor is the conversation where
    the agent takes it as it is: that follows from the steps before.

    Args:
        prompt: The system prompt.
        messages: Messages that the agent chose, ``None`` for the conversation.
        tools: The tools offered, and the digest of each.
        model: Alias.
        parameters: The agent's and the call's own.

    Returns:
        Part → text, a digest where the part can be long; for the tools a digest of each by name.
    """
    return {
        "model": model,
        "system prompt": digest(prompt),
        "tools": tools,
        "parameters": digest(sorted(parameters.items())),
        "messages": "" if messages is None else digest([message.wire for message in messages]),
    }


def changed_parts(before: object, now: Mapping[str, object]) -> list[str]:
    """Return the parts that are not what they were; none where nothing was recorded.

    A tool that was not offered then makes no difference: the recorded answer could not know of it.
    """
    if not isinstance(before, Mapping):
        return []
    return [part for part, value in now.items() if part in before and not _is_same(before[part], value)]


def _is_same(before: object, now: object) -> bool:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(now.get(name) == digest for name, digest in before.items())
    return before == now
