"""Whom faults reach: fixed by the session, bounded by the environment, and never somebody in distress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults.fault_kit import FaultKit, counters
from iskra_chaos.faults.scope import BlastRadius, Environment, Scope, SessionTraits, is_in_share, largest_share
from iskra_sdk.interceptor import Point

SEEDS = st.integers(0, 2**63 - 1)


@given(st.sampled_from(Environment), st.floats(0.1, 1.0))
def test_the_share_is_bounded_by_environment_and_intensity(environment: Environment, intensity: float) -> None:
    share = largest_share(environment, intensity)
    assert share <= largest_share(environment)
    assert share <= 0.01 + 0.09 * intensity + 1e-12


def test_the_bounds_of_environments() -> None:
    assert [largest_share(environment) for environment in Environment] == [0.01, 0.25, 1.0]
    assert largest_share(Environment.TEST, 1.0) == pytest.approx(0.1)


@given(SEEDS, st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_session_stays_in_a_share_that_grows(seed: int, session: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_in_share(seed, session, low) <= is_in_share(seed, session, high)
    assert is_in_share(seed, session, 1.0)
    assert not is_in_share(seed, session, 0.0)


def test_a_share_is_as_large_as_it_says() -> None:
    reached = sum(is_in_share(3, f"session {number}", 0.25) for number in range(8000))
    assert abs(reached - 2000) < 5 * (8000 * 0.25 * 0.75) ** 0.5


@given(SEEDS, st.text(min_size=1, max_size=20), st.integers(0, 100), st.booleans())
def test_sensitive_sessions_are_never_reached(seed: int, session: str, passing: int, is_named: bool) -> None:
    scope = Scope(frozenset({session}) if is_named else frozenset())
    traits = SessionTraits(is_sensitive=lambda _session: True, is_sandbox=lambda _session: True)
    assert not BlastRadius(scope, traits, seed, 1.0).reaches(session, passing)


def failing(_session: str) -> bool:
    raise LookupError("the state is gone")


def test_a_question_that_cannot_be_answered_spares_the_session(caplog: pytest.LogCaptureFixture) -> None:
    assert not BlastRadius(Scope(), SessionTraits(is_sensitive=failing), 0, 1.0).reaches("s", 0)
    assert not BlastRadius(Scope(), SessionTraits(is_sandbox=failing), 0, 1.0, needs_sandbox=True).reaches("s", 0)
    labelled = SessionTraits(labels=lambda session: [str(failing(session))])
    assert not BlastRadius(Scope(label="x"), labelled, 0, 1.0).reaches("s", 0)
    assert len(caplog.records) == 3


def test_a_named_sandbox_is_reached_whatever_the_share() -> None:
    names = frozenset(f"session {number}" for number in range(200))
    traits = SessionTraits(is_sandbox=lambda session: session == "session 7")
    radius = BlastRadius(Scope(names), traits, 1, 0.0)
    assert [name for name in sorted(names) if radius.reaches(name, 0)] == ["session 7"]
    assert not BlastRadius(Scope(), traits, 1, 0.0).reaches("session 7", 0)


def test_calls_of_no_session_are_shared_out_one_by_one() -> None:
    radius = BlastRadius(Scope(), SessionTraits(), 1, 0.3)
    reached = [radius.reaches("", passing) for passing in range(2000)]
    assert abs(sum(reached) - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5
    assert reached == [radius.reaches("", passing) for passing in range(2000)]
    assert not BlastRadius(Scope(frozenset({"s"})), SessionTraits(), 1, 1.0).reaches("", 0)


async def test_only_sessions_in_scope_are_counted(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "empty", scope={"sessions": ["mine", "mine too"]})
    kit.parts.sensitive.add("mine too")
    for session in ("mine", "theirs", "mine too", "mine"):
        answer = await kit.complete("text", session=session)
        assert (answer.message.text == "") is (session == "mine")
    assert counters(fault) == (2, 2, 2)


async def test_a_session_that_becomes_sensitive_is_spared_from_then_on(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "empty")
    assert (await kit.complete("text", session="s")).message.text == ""
    kit.parts.sensitive.add("s")
    assert (await kit.complete("text", session="s")).message.text == "text"
    assert counters(fault) == (1, 1, 1)


async def test_a_label_opts_in(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "empty", scope={"label": "opted in"})
    assert (await kit.complete("text", session="out")).message.text == "text"
    assert (await kit.complete("text", session="one that opted")).message.text == ""
    assert counters(fault) == (1, 1, 1)
