"""All metrics of a conversation at once, and what is remembered of it between turns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from iskra_metrics.chaos import chaos
from iskra_metrics.clarity import clarity
from iskra_metrics.contradiction import contradiction
from iskra_metrics.drift import drift
from iskra_metrics.entropy import entropy
from iskra_metrics.pain import pain
from iskra_metrics.reading import Reading, clamp
from iskra_metrics.silence import silence
from iskra_metrics.stability import stability
from iskra_metrics.staleness import staleness
from iskra_metrics.trust import START as TRUST_START
from iskra_metrics.trust import trust
from iskra_metrics.utterance import Utterance

LONGEST_BASELINE = 64
FIRST_DISTANCES = 8
"""Distances of drift that the baseline takes whatever they are; later ones only while the session is on course."""

ON_COURSE = 0.30

_CLARITY_SHARE = 0.35
_CHAOS_SHARE = 0.30
_DRIFT_SHARE = 0.30
_VOLATILITY_SHARE = 0.30
_TRUST_FALL, _TRUST_RISE = 0.5, 0.15
_PAIN_LEFT, _SILENCE_LEFT = 0.95, 0.8
_LIVELY = 0.25  # mean change of the metrics in a turn that counts as full volatility


@dataclass(frozen=True, slots=True)
class Readings:
    """One reading of every metric."""

    staleness: Reading
    drift: Reading
    clarity: Reading
    chaos: Reading
    stability: Reading
    contradiction: Reading
    trust: Reading
    pain: Reading
    silence: Reading
    entropy: Reading

    @property
    def values(self) -> dict[str, float]:
        """The value of each metric by its name."""
        return {each.name: getattr(self, each.name).value for each in fields(self)}


@dataclass(slots=True)
class ConversationState:
    """What the metrics remember from turn to turn. Call :meth:`update` once per turn.

    Chaos and drift (.30) and clarity (.35) are exponential averages. Trust falls fast (.5) and rises slowly (.15). Pain
    keeps 95 %, silence 80 % of what it was a turn ago, where that is more than what is read now. Staleness,
    contradiction and entropy are those of the moment.

    Attributes:
        trust: The average so far, as are the others of a metric's name.
        volatility: Average of how much the metrics changed per turn, in [0, 1].
        turns: Updates so far.
        distances: The session's baseline of drift distances, oldest first.
        last: The values of the last update.
    """

    trust: float = TRUST_START
    clarity: float = 0.70
    pain: float = 0.0
    drift: float = 0.10
    chaos: float = 0.20
    silence: float = 0.10
    volatility: float = 0.0
    turns: int = 0
    distances: list[float] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)

    def update(
        self,
        conversation: Sequence[Utterance],
        *,
        goal: str = "",
        error_rate: float = 0.0,
        health: float = 1.0,
    ) -> Readings:
        """Read the conversation after a turn and return the readings, averages taken.

        Args:
            conversation: The whole conversation, or its beginning and its latest turns, oldest first.
            goal: What the session is for, where it was said.
            error_rate: Share of calls to models and tools that failed lately, in [0, 1].
            health: Of the service, in [0, 1].
        """
        stale = staleness(conversation)
        drifted = drift(conversation, goal, self.distances)
        self._learn(drifted)
        against = contradiction(conversation)
        trusted = trust(conversation)
        pained = pain(conversation)
        silent = silence(conversation)
        clear = clarity(conversation)

        self.drift += _DRIFT_SHARE * (drifted.value - self.drift)
        self.clarity += _CLARITY_SHARE * (clear.value - self.clarity)
        self.trust += (_TRUST_FALL if trusted.value < self.trust else _TRUST_RISE) * (trusted.value - self.trust)
        self.pain = max(pained.value, _PAIN_LEFT * self.pain)
        self.silence = max(silent.value, _SILENCE_LEFT * self.silence)
        drifted = replace(drifted, value=self.drift)
        turbulent = chaos(
            conversation,
            staleness=stale,
            drift=drifted,
            contradiction=against,
            volatility=max(self.volatility, clamp(error_rate)),
        )
        self.chaos += _CHAOS_SHARE * (turbulent.value - self.chaos)
        readings = Readings(
            staleness=stale,
            drift=drifted,
            clarity=replace(clear, value=self.clarity),
            chaos=replace(turbulent, value=self.chaos),
            stability=stability(
                conversation,
                drift=drifted,
                contradiction=against,
                grounding=trusted.parts["grounded"],
                health=health,
            ),
            contradiction=against,
            trust=replace(trusted, value=self.trust),
            pain=replace(pained, value=self.pain),
            silence=replace(silent, value=self.silence),
            entropy=entropy(conversation),
        )
        self._remember(readings.values)
        return readings

    def _learn(self, drifted: Reading) -> None:
        distance = drifted.parts["distance"]
        if distance and (len(self.distances) < FIRST_DISTANCES or drifted.value <= ON_COURSE):
            self.distances = [*self.distances, distance][-LONGEST_BASELINE:]

    def _remember(self, values: dict[str, float]) -> None:
        if self.last:
            change = sum(abs(value - self.last.get(name, value)) for name, value in values.items()) / len(values)
            self.volatility += _VOLATILITY_SHARE * (clamp(change / _LIVELY) - self.volatility)
        self.last = values
        self.turns += 1

    def to_json(self) -> dict[str, object]:
        """Return the state as values that JSON can hold."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {
            "distances": list(self.distances),
            "last": dict(self.last),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "ConversationState":
        """Return the state that :meth:`to_json` gave; what is missing or unusable begins anew."""
        state = cls()
        for name in ("trust", "clarity", "pain", "drift", "chaos", "silence", "volatility"):
            value = _share(data.get(name))
            if value is not None:
                setattr(state, name, value)
        turns, distances, last = data.get("turns"), data.get("distances"), data.get("last")
        if isinstance(turns, int) and turns > 0:
            state.turns = turns
        if isinstance(distances, list):
            state.distances = [share for each in distances if (share := _share(each)) is not None][-LONGEST_BASELINE:]
        if isinstance(last, Mapping):
            state.last = {str(name): share for name, each in last.items() if (share := _share(each)) is not None}
        return state


def _share(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return clamp(float(value))
    return None
