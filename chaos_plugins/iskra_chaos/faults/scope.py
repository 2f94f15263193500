"""Whom a fault may reach: never more people than its environment allows, and some people never."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from iskra_chaos.faults.firing import uniform

logger = logging.getLogger(__name__)


class Environment(StrEnum):
    """What kind of server this is; decides how many sessions a fault may reach."""

    PRODUCTION = "production"
    STAGING = "staging"
    TEST = "test"


_LARGEST_SHARE = {Environment.PRODUCTION: 0.01, Environment.STAGING: 0.25, Environment.TEST: 1.0}


def largest_share(environment: Environment, intensity: float | None = None) -> float:
    """Return the largest share of sessions that a fault may reach.

    Args:
        environment: Sets the upper bound.
        intensity: Of the operation that the fault belongs to, in [0.1, 1]; bounds the share by ``.01 + .09 i`` as
            well. ``None`` for a fault that somebody asked for by itself.
    """
    cap = _LARGEST_SHARE[environment]
    return cap if intensity is None else min(cap, 0.01 + 0.09 * intensity)


def is_in_share(seed: int, session: str, share: float) -> bool:
    """Return whether a session belongs to a share of all sessions: the same answer each time, for one seed."""
    return share >= 1.0 or (share > 0.0 and uniform(seed, "share", session) < share)


@dataclass(frozen=True, slots=True)
class SessionTraits:
    """What a fault asks about a session before it touches it. Asked at each call, so a session may change.

    The session ``""`` stands for calls that belong to none, or to one that cannot be told: reads of the store outside
    a turn, for example. Each question is answered at once, without waiting; one that fails counts as answered in the
    session's favour.

    Attributes:
        is_sensitive: The session is never touched: distress, a crisis, a sensitive topic.
        is_sandbox: Nobody relies on what is said there, so a tool may lie.
        labels: The labels that people gave it, to take part in experiments.
    """

    is_sensitive: Callable[[str], bool] = lambda _session: False
    is_sandbox: Callable[[str], bool] = lambda _session: False
    labels: Callable[[str], Collection[str]] = lambda _session: ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The sessions a fault is meant for.

    Attributes:
        sessions: Only these; all if empty.
        share: The share of them that is reached, chosen by a hash of the session, in (0, 1].
        label: Only sessions, or single requests, with this label; any if empty.
    """

    sessions: frozenset[str] = frozenset()
    share: float = 1.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """The sessions a fault does reach: its scope, cut to what the environment allows.

    A sandbox session that the scope names is reached whatever the share: the share protects people.

    Attributes:
        share: What is left of the share that was asked for.
        needs_sandbox: Sandbox sessions only.
    """

    scope: Scope
    traits: SessionTraits
    seed: int
    share: float
    needs_sandbox: bool = False

    def reaches(self, session: str, passing: int, labels: Collection[str] = ()) -> bool:
        """Return whether a call may be touched.

        Args:
            session: Whose call it is.
            passing: Number of the call among those of no session; only they are told apart by it.
            labels: Of its request; they count beside those of the session.
        """
        scope = self.scope
        if (scope.sessions and session not in scope.sessions) or _asked(self.traits.is_sensitive, session, True):
            return False
        if scope.label and scope.label not in labels and not _is_labelled(self.traits, session, scope.label):
            return False
        if self.needs_sandbox and not _asked(self.traits.is_sandbox, session, False):
            return False
        if self.share >= 1.0:
            return True
        if not session:
            return uniform(self.seed, "share of calls", passing) < self.share
        if is_in_share(self.seed, session, self.share):
            return True
        return session in scope.sessions and _asked(self.traits.is_sandbox, session, False)


def _asked(question: Callable[[str], bool], session: str, if_it_fails: bool) -> bool:
    try:
        return bool(question(session))
    except Exception:
        logger.exception("asking about a session failed", extra={"session_id": session})
        return if_it_fails


def _is_labelled(traits: SessionTraits, session: str, label: str) -> bool:
    try:
        return label in traits.labels(session)
    except Exception:
        logger.exception("asking for the labels of a session failed", extra={"session_id": session})
        return False
