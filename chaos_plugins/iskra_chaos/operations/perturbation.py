"""What an operation changes in the model calls of one session, as data that can be shown, kept and taken back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iskra_chaos.operations.conversation import turn_of
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message

_WARMEST = 1.2
_WARMEST_WITHOUT_MIN_P = 1.0
_MIN_P = 0.05  # Nguyen et al., "Turning up the heat: min-p sampling" (2407.01082): keeps hot sampling coherent
_USUAL_TEMPERATURE = 0.7
"""What is assumed of a call that names no temperature."""


def temperature_of(parameters: Mapping[str, object]) -> float:
    """Return the temperature that a call asks for, or the usual one where it asks for none."""
    given = parameters.get("temperature")
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else _USUAL_TEMPERATURE


@dataclass(frozen=True, slots=True)
class SamplerShift:
    """A change of how the model draws its next word.

    Attributes:
        warmer: Added to the temperature.
        top_p: In its place.
        frequency_penalty: In its place.
    """

    warmer: float = 0.0
    top_p: float | None = None
    frequency_penalty: float | None = None

    def applied(self, parameters: Mapping[str, object], *, has_min_p: bool) -> dict[str, object]:
        """Return sampling parameters with the shift.

        Args:
            parameters: Those of the request.
            has_min_p: The upstream knows ``min_p``; without it the temperature stays at 1 or below.
        """
        base = temperature_of(parameters)
        limit = max(base, _WARMEST if has_min_p else _WARMEST_WITHOUT_MIN_P)
        shifted: dict[str, object] = {**parameters, "temperature": round(min(limit, base + self.warmer), 3)}
        if self.top_p is not None:
            shifted["top_p"] = round(min(1.0, self.top_p), 3)
        if self.frequency_penalty is not None:
            shifted["frequency_penalty"] = round(self.frequency_penalty, 3)
        if has_min_p and base + self.warmer > 1.0:
            own = parameters.get("min_p")
            shifted["min_p"] = max(_MIN_P, own) if isinstance(own, int | float) else _MIN_P
        return shifted


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several ways to answer that are tried side by side; the base branch has neither hint nor shift."""

    name: str
    instruction: str = ""
    sampler: SamplerShift | None = None


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What an operation changes while it lasts. Nothing stored is ever edited.

    Attributes:
        turns: Answers it lasts.
        instruction: Added to the system prompt.
        sampler: Change of the sampler; left out of calls that offer tools, so that arguments stay exact, and of those
            that ask for facts, numbers, code or data.
        replaced: Message id → what the model sees in its place; an empty text leaves the message out.
        branches: Ways to answer that are tried side by side, the base branch first.
        in_one_call: Said to the model in place of the branches where they cannot be tried one by one.
        blocked_calls: How many more calls of a tool that goes in circles are refused.
        avoided: Phrases that answers should not contain.
        inputs: Texts whose ideas answers should connect.
        is_checked: Each answer is held back, checked, and drawn once more without the operation if it falls short.
        notice: Shown to the user before the next answer.
        changes: What is changed, in words, for the person who asks.
    """

    turns: int
    instruction: str = ""
    sampler: SamplerShift | None = None
    replaced: Mapping[str, str] = field(default_factory=dict)
    branches: tuple[Branch, ...] = ()
    in_one_call: str = ""
    blocked_calls: int = 0
    avoided: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    is_checked: bool = False
    notice: str = ""
    changes: tuple[str, ...] = ()

    def sparing(self, pinned: Collection[str]) -> "Perturbation":
        """Return the same without touching the turns of pinned messages: a turn stays or goes whole."""
        spared = {turn_of(message_id) for message_id in pinned}
        if not any(turn_of(message_id) in spared for message_id in self.replaced):
            return self
        replaced = {each: text for each, text in self.replaced.items() if turn_of(each) not in spared}
        return replace(self, replaced=replaced)

    def shown(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages that the model gets to see."""
        seen = []
        for message in messages:
            instead = self.replaced.get(message.id) if message.id else None
            if instead is None:
                seen.append(message)
            elif instead:
                seen.append(_texted(message, instead))
        return seen

    def applied(self, request: LLMRequest, *, has_min_p: bool, branch: Branch | None = None) -> LLMRequest:
        """Return a model call with the changes.

        A call for JSON is left as it is: facts, code and data are always drawn by the base sampler.
        """
        if "response_format" in request.parameters:
            return request
        messages = self.shown(request.messages)
        instruction = "\n".join(text for text in (self.instruction, branch.instruction if branch else "") if text)
        if instruction:
            messages = instructed(messages, instruction)
        parameters = request.parameters
        sampler = branch.sampler if branch is not None else self.sampler
        if sampler is not None and may_be_warmer(request):
            parameters = sampler.applied(parameters, has_min_p=has_min_p)
        return replace(request, messages=messages, parameters=parameters)


def may_be_warmer(request: LLMRequest) -> bool:
    """Tell whether the sampler of a call may be changed: not for tools' arguments, JSON, facts, numbers and code."""
    from iskra_chaos.operations.exactness import asks_for_exactness  # heavy patterns; not before something acts

    return (
        not request.tools and "response_format" not in request.parameters and not asks_for_exactness(request.messages)
    )


def instructed(messages: Sequence[Message], instruction: str) -> list[Message]:
    """Return messages whose system message ends with an instruction."""
    if messages and messages[0].role == "system":
        return [Message.system(f"{messages[0].text}\n\n{instruction}"), *messages[1:]]
    return [Message.system(instruction), *messages]


def _texted(message: Message, text: str) -> Message:
    wire: dict[str, Any] = {**message.wire, "content": text}
    return Message(wire, id=message.id)
