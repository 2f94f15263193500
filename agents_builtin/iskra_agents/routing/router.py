"""Puts the layers together that need nobody else: context, classifier, words; and remembers what they said."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from iskra_agents.routing.classifier import MODEL_FILE, DamagedModelError, LocalClassifier
from iskra_agents.routing.context import RoutingContext, follows_up, is_about_a_failure, is_bare
from iskra_agents.routing.keyword_table import DEFAULT_AGENT
from iskra_agents.routing.keywords import card_evidence, example_of, mentioned, route
from iskra_agents.routing.levels import Level, level_of
from iskra_sdk.clock import Clock
from iskra_sdk.turn import AgentCard

logger = logging.getLogger(__name__)

BUILT_IN = ("ask", "architect", "debug", "coder")
"""The agents that the classifier knows."""

_CACHED = 2048
_CACHE_SECONDS = 3600.0
_OPTIONS = 4
_GOES_ON = 4.0
"""How many times likelier a message that leans on the last one is for the agent that answered that."""
_LEAST_PLUGIN_EVIDENCE = 0.2
_STANDS_ALONE = 0.58
"""From this probability a plugin's agent is chosen although the words do not confirm it."""
_OTHERS_HAVE_LITTLE = 0.7
"""From this probability of all built-in agents together the others do not make the choice among them less sure."""
_WORDS_DECIDE = 0.3
"""From this confidence the words alone decide, where there is no classifier."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who should answer.

    Attributes:
        agent: Name of the agent.
        level: How sure that is.
        probability: From 0 to 1.
        why: For people who ask why; never contains the message.
        options: The likeliest agents, best first; of a low level, what to ask the user.
        is_confirmed: Nothing is left to check: one layer is sure, or two agree.
        is_task: The message itself, and not what came before, speaks for the agent.
    """

    agent: str
    level: Level
    probability: float
    why: str
    options: tuple[str, ...] = ()
    is_confirmed: bool = True
    is_task: bool = True


class Router:
    """Chooses an agent for a message.

    Choices are remembered for an hour, 2048 of them: by text and agents alone where the session has no history, else
    also by user and context.

    Args:
        clock: Tells when a remembered choice is too old.
        model_file: The classifier's; without a whole one the words alone decide.
    """

    def __init__(self, clock: Clock, model_file: Path = MODEL_FILE) -> None:
        self._clock = clock
        self._model_file = model_file
        self._known: OrderedDict[tuple[object, ...], tuple[float, Choice]] = OrderedDict()

    @cached_property
    def _classifier(self) -> LocalClassifier | None:
        try:
            return LocalClassifier.load(self._model_file)
        except (OSError, DamagedModelError) as exc:
            logger.warning(
                "the local classifier cannot be used, so words alone choose the agent; reinstalling Iskra mends it",
                extra={"file": str(self._model_file), "cause": str(exc)},
            )
            return None

    def choose(self, text: str, agents: Sequence[AgentCard], context: RoutingContext, *, user: str = "") -> Choice:
        """Choose one of ``agents`` for a message.

        Raises:
            ValueError: There are no agents.
        """
        if not agents:
            raise ValueError("there are no agents to choose from")
        own = () if context.is_empty else (user, context.fingerprint)
        cards = tuple((agent.name, agent.description, tuple(agent.examples)) for agent in agents)
        key = (" ".join(text.split()), cards, own)
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < _CACHE_SECONDS:
            self._known.move_to_end(key)
            return known[1]
        choice = self._choose(text, agents, context)
        self._known[key] = now, choice
        self._known.move_to_end(key)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return choice

    def _choose(self, text: str, agents: Sequence[AgentCard], context: RoutingContext) -> Choice:
        names = [agent.name for agent in agents]
        if (called := mentioned(text, agents)) is not None:
            return Choice(called, Level.HIGH, 1.0, f"the message calls @{called}")
        if len(names) == 1:
            return Choice(names[0], Level.HIGH, 1.0, "there is no other agent")
        if (named := example_of(text, agents)) is not None:
            return Choice(named, Level.HIGH, 0.99, "it is one of its examples")
        leans_on_the_last = follows_up(text)
        if context.last_error and leans_on_the_last and is_about_a_failure(text) and "debug" in names:
            return Choice(
                "debug", Level.HIGH, 0.9, "something has just failed, and the message speaks of it", is_task=False
            )
        before = next((agent for agent in reversed(context.last_agents) if agent in names), None)
        if is_bare(text):
            if before is not None:
                return Choice(before, Level.HIGH, 0.9, f"goes on with what {before} did", is_task=False)
            default = DEFAULT_AGENT if DEFAULT_AGENT in names else names[0]
            return Choice(default, Level.HIGH, 0.5, "nothing in the message speaks for an agent", is_task=False)
        return self._judged(text, agents, before if leans_on_the_last else None)

    def _judged(self, text: str, agents: Sequence[AgentCard], before: str | None) -> Choice:
        chances = self._chances(text, agents)
        if chances is None:
            words = route(text, agents)
            level = Level.MEDIUM if words.confidence >= _WORDS_DECIDE else Level.LOW
            options = tuple(agent.name for agent in agents)[:_OPTIONS]
            return Choice(words.agent, level, words.confidence, words.why, options, is_confirmed=False)
        if before is not None:
            chances = _with_prior(chances, before)
        ranked = sorted(chances, key=lambda name: (-chances[name], name))
        best, options = ranked[0], tuple(ranked[:_OPTIONS])
        level = level_of(_sureness(chances, best))
        why = "the local classifier" + (f", as {before} answered before" if before is not None else "")
        if level is Level.HIGH:
            return Choice(best, level, chances[best], why, options)
        is_built_in = best in BUILT_IN
        words = route(text, agents)
        if words.agent == best and words.confidence > 0 and (level is Level.MEDIUM or not is_built_in):
            return Choice(best, Level.MEDIUM, chances[best], f"{why} and the words agree", options)
        stands = not is_built_in and chances[best] >= _STANDS_ALONE
        return Choice(best, Level.MEDIUM if stands else Level.LOW, chances[best], why, options, is_confirmed=False)

    def _chances(self, text: str, agents: Sequence[AgentCard]) -> dict[str, float] | None:
        """Return how likely each agent is: built-in ones by the classifier, others by their own words."""
        if self._classifier is None:
            return None
        names = {agent.name for agent in agents}
        chances = {name: share for name, share in self._classifier.probabilities(text).items() if name in names}
        evidence = card_evidence(text, [agent for agent in agents if agent.name not in chances])
        evidence = {name: share for name, share in evidence.items() if share >= _LEAST_PLUGIN_EVIDENCE}
        rest = 1.0
        for share in evidence.values():
            rest *= 1 - share
        total = sum(chances.values()) or 1.0
        found = {name: rest * share / total for name, share in chances.items()}
        weight = sum(evidence.values())
        found.update({name: (1 - rest if chances else 1.0) * share / weight for name, share in evidence.items()})
        return {name: found.get(name, 0.0) for name in names}


def _sureness(chances: Mapping[str, float], best: str) -> float:
    """Return how likely the best agent is, for a built-in one among its like where no other has much to say for it."""
    built_in = sum(chances.get(name, 0.0) for name in BUILT_IN)
    return chances[best] / built_in if best in BUILT_IN and built_in >= _OTHERS_HAVE_LITTLE else chances[best]


def _with_prior(chances: Mapping[str, float], before: str) -> dict[str, float]:
    weighted = {name: share * (_GOES_ON if name == before else 1.0) for name, share in chances.items()}
    total = sum(weighted.values()) or 1.0
    return {name: share / total for name, share in weighted.items()}
