"""One voice's turn in a collaboration: asked, checked, and mended once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from iskra_sdk.llm import Caller, LLMAnswer, LLMRequest, Usage
from iskra_sdk.message import Message
from iskra_sdk.plugin_context import PluginContext
from iskra_voices.casting import supplements
from iskra_voices.mending import Judged, better, judge, mending_request
from iskra_voices.policy import Policy, Scene
from iskra_voices.settings import VoicesSettings

LONGEST_CONTRIBUTION = 4_000
"""Characters of what another voice said that a voice is shown."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the voices of a collaboration work on.

    Attributes:
        content: In words.
        history: The conversation before it.
        caller: On whose account models are called.
    """

    content: str
    history: Sequence[Message]
    caller: Caller


@dataclass(slots=True)
class Spending:
    """Calls of models and their tokens."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, answer: LLMAnswer) -> None:
        """Count an answer."""
        self.calls += 1
        self.usage = self.usage + (answer.usage or Usage())


class Ensemble:
    """Lets voices speak to a task.

    Args:
        context: The plugin's.
        settings: How voices speak.
        task: What they speak to.
        scene: Of the conversation.
    """

    def __init__(self, context: PluginContext, settings: VoicesSettings, task: Task, scene: Scene) -> None:
        self._context = context
        self._settings = settings
        self._task = task
        self.scene = scene
        self.spending = Spending()

    async def speak(
        self,
        policy: Policy,
        *,
        heard: Mapping[str, str] | None = None,
        conflicts: Sequence[tuple[str, str]] = (),
        wish: str = "",
    ) -> Judged:
        """Return what a voice says.

        Args:
            policy: The voice.
            heard: What others said before it.
            conflicts: Pairs of others who contradict each other.
            wish: What is wanted of it besides its demands.

        Raises:
            LLMError: No model could answer.
        """
        heard = dict(heard or {})
        is_closing = policy.name == "iskra"
        scene = replace(
            self.scene,
            said=[*self.scene.said, *heard.values()],
            contributions=heard if is_closing else {},
            conflicts=conflicts if is_closing else (),
        )
        request = LLMRequest(
            messages=[
                Message.system("\n\n".join([policy.preamble, *supplements(policy, scene)])),
                *self._task.history,
                Message.user(self._put(heard, conflicts, wish)),
            ],
            model=self._settings.collaboration_model,
            parameters=policy.parameters if self._settings.sampler else {},
            caller=self._task.caller,
        )
        first = judge(policy, await self._ask(request), scene)
        if not first.broken or not self._settings.repairs:
            return first
        return better(first, judge(policy, await self._ask(mending_request(request, first)), scene))

    async def _ask(self, request: LLMRequest) -> str:
        answer = await self._context.llm.complete(request)
        self.spending.add(answer)
        return answer.message.text.strip()

    def _put(self, heard: Mapping[str, str], conflicts: Sequence[tuple[str, str]], wish: str) -> str:
        """Return the task with what others said, which is quoted as theirs and is no instruction."""
        parts = [self._task.content]
        if heard:
            parts.append("What the others said:")
            parts += [f"[{voice}]\n{text[:LONGEST_CONTRIBUTION]}\n[/{voice}]" for voice, text in heard.items()]
        if conflicts:
            parts.append("These contradict each other: " + "; ".join(f"{a} and {b}" for a, b in conflicts) + ".")
        if wish:
            parts.append(wish)
        return "\n\n".join(parts)
