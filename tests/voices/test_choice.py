from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_voices.choice import (
    LEAST_TURNS,
    Choice,
    Signals,
    Standing,
    activation_level,
    choose,
    forbidden,
    has_left,
    speaking_score,
)
from iskra_voices.tension import conflicts, said_against, tensions

CALM = Signals()
VOICES = ("kain", "pino", "sam", "anhantha", "hundun", "iskriv", "iskra", "maki")

shares = st.floats(0, 1)
signals = st.builds(
    Signals,
    staleness=shares,
    drift=shares,
    clarity=shares,
    chaos=shares,
    trust=shares,
    pain=shares,
    hurt=shares,
    silence=shares,
    own_contradictions=st.integers(0, 3),
    unsupported_facts=st.integers(0, 2),
    in_crisis=st.booleans(),
    confidence=shares,
    trust_falls=st.booleans(),
)
standings = st.builds(
    Standing,
    voice=st.sampled_from(VOICES),
    turns=st.integers(0, 5),
    since_hundun=st.integers(0, 10),
    requested=st.sampled_from(VOICES),
    requested_turns=st.integers(0, 3),
)


CALM_START = Standing()


def chosen(standing: Standing = CALM_START, /, **changes: float) -> str:
    return choose(standing, replace(CALM, **changes)).voice  # type: ignore[arg-type]


def test_a_calm_conversation_is_iskras() -> None:
    assert choose(Standing(), CALM) == Choice("iskra", "balanced")


@pytest.mark.parametrize(
    ("changes", "voice"),
    [
        ({"pain": 0.70}, "kain"),
        ({"pain": 0.69}, "iskra"),
        ({"own_contradictions": 1}, "kain"),
        ({"staleness": 0.36}, "pino"),
        ({"staleness": 0.36, "pain": 0.30}, "iskra"),
        ({"staleness": 0.36, "hurt": 0.50}, "iskra"),
        ({"staleness": 0.36, "hurt": 0.49}, "pino"),
        ({"staleness": 0.60, "hurt": 0.50}, "iskra"),
        ({"staleness": 0.34}, "iskra"),
        ({"clarity": 0.59}, "sam"),
        ({"clarity": 0.60}, "iskra"),
        ({"trust": 0.59}, "anhantha"),
        ({"trust": 0.61}, "iskra"),
        ({"silence": 0.61}, "anhantha"),
        ({"in_crisis": True}, "anhantha"),
        ({"staleness": 0.56}, "hundun"),
        ({"chaos": 0.61, "clarity": 0.65}, "hundun"),
        ({"chaos": 0.61, "clarity": 0.39}, "sam"),
        ({"drift": 0.31}, "iskriv"),
        ({"drift": 0.30}, "iskra"),
        ({"unsupported_facts": 1}, "iskriv"),
    ],
)
def test_each_voice_enters_at_its_threshold(changes: dict[str, float], voice: str) -> None:
    assert chosen(**changes) == voice


@pytest.mark.parametrize(
    ("voice", "between", "beyond"),
    [
        ("kain", {"pain": 0.65}, {"pain": 0.60}),
        ("pino", {"staleness": 0.25}, {"staleness": 0.20}),
        ("sam", {"clarity": 0.65}, {"clarity": 0.71}),
        ("anhantha", {"trust": 0.65}, {"trust": 0.71}),
        ("iskriv", {"drift": 0.25}, {"drift": 0.19}),
    ],
)
def test_a_voice_stays_between_its_thresholds_and_leaves_below(
    voice: str, between: dict[str, float], beyond: dict[str, float]
) -> None:
    standing = Standing(voice, turns=5)
    assert chosen(standing, **between) == voice
    assert chosen(standing, **beyond) == "iskra"
    assert chosen(Standing("iskra", turns=5), **between) == "iskra"


def test_a_voice_stays_two_turns() -> None:
    assert chosen(Standing("sam", turns=1)) == "sam"
    assert chosen(Standing("sam", turns=LEAST_TURNS), clarity=0.72) == "iskra"


def test_after_hundun_comes_sam_and_hundun_rests() -> None:
    assert chosen(Standing("hundun", turns=1, since_hundun=0), staleness=0.9) == "sam"
    assert chosen(Standing("sam", turns=2, since_hundun=2), staleness=0.9) == "pino"
    assert chosen(Standing("sam", turns=3, since_hundun=4), staleness=0.9) == "hundun"


def test_pino_makes_way_for_hundun_in_a_stuck_conversation_and_jokes_while_hundun_rests() -> None:
    for staleness in (0.55, 0.8, 1.0):
        assert chosen(Standing("pino", turns=2), staleness=staleness) == "hundun"
        assert chosen(Standing("pino", turns=2, since_hundun=2), staleness=staleness) == "pino"


def test_equals_are_decided_for_iskra() -> None:
    # Both are halfway from their threshold to the end of the scale.
    equal = choose(Standing(), replace(CALM, clarity=0.30, drift=0.65))
    assert equal == Choice("iskra", "iskriv and sam are equal")


@pytest.mark.parametrize(
    ("changes", "voice"),
    [
        ({"pain": 0.85, "clarity": 0.1}, "kain"),
        ({"trust": 0.25, "pain": 0.95}, "anhantha"),
        ({"chaos": 0.75, "clarity": 0.55, "drift": 0.9}, "sam"),
        ({"chaos": 0.65, "clarity": 0.55, "drift": 0.35}, "iskriv"),
        ({"chaos": 0.65, "trust": 0.55, "trust_falls": True}, "anhantha"),
    ],
)
def test_in_a_storm_the_order_is_fixed(changes: dict[str, float], voice: str) -> None:
    assert chosen(**changes) == voice


def test_what_somebody_asked_for_comes_before_the_metrics() -> None:
    standing = Standing("sam", turns=1, requested="hundun", requested_turns=2)
    assert choose(standing, CALM) == Choice("hundun", "asked for")
    assert chosen(replace(standing, requested_turns=0)) == "sam"


def test_an_optional_voice_is_chosen_only_where_it_is_offered() -> None:
    stormy = replace(CALM, chaos=0.65, pain=0.55, clarity=0.65)
    assert choose(Standing(), stormy).voice == "maki"
    assert choose(Standing(), stormy, frozenset({"kain", "iskra"})).voice == "iskra"


@given(standings, signals)
def test_nobody_speaks_who_must_not(standing: Standing, state: Signals) -> None:
    choice = choose(standing, state)
    assert not forbidden(choice.voice, state)
    assert choice.reason
    if state.in_crisis:
        assert choice.voice == "anhantha"
    if state.pain >= 0.30:
        assert choice.voice != "pino"


@given(standings, signals)
def test_who_asked_for_nothing_gets_no_hundun_twice_in_a_row(standing: Standing, state: Signals) -> None:
    if standing.voice == "hundun" and not standing.requested_turns:
        assert choose(standing, state).voice in ("sam", "anhantha")


@given(signals, st.sampled_from(VOICES))
def test_levels_and_scores_keep_their_bounds(state: Signals, voice: str) -> None:
    assert 0 <= activation_level(voice, state) <= 1
    assert speaking_score(voice, state) >= 0
    assert speaking_score(voice, state, incumbent=voice) >= speaking_score(voice, state)


@given(st.lists(signals, min_size=2, max_size=30))
def test_no_voice_is_swapped_for_another_within_its_first_two_turns(course: list[Signals]) -> None:
    standing = Standing()
    for state in course:
        choice = choose(standing, state)
        if 0 < standing.turns < LEAST_TURNS and choice.voice != standing.voice:
            assert (
                standing.voice in ("iskra", "hundun") or choice.reason == "crisis" or forbidden(standing.voice, state)
            )
        standing = Standing(
            choice.voice,
            standing.turns + 1 if choice.voice == standing.voice else 1,
            0 if choice.voice == "hundun" else standing.since_hundun + 1,
        )


@given(signals)
def test_who_may_enter_has_not_left(state: Signals) -> None:
    choice = choose(Standing(), state)
    if choice.voice not in ("iskra", "hundun") and choice.reason != "crisis":
        assert not has_left(choice.voice, state) or state.silence >= 0.60


def test_tensions_follow_their_formulas() -> None:
    state = replace(CALM, pain=0.5, clarity=0.8, chaos=0.6, trust=0.2)
    found = {frozenset(tension.voices): tension for tension in tensions(VOICES, state)}
    assert found[frozenset({"kain", "pino"})].tension == pytest.approx(1.0)
    assert found[frozenset({"sam", "hundun"})].tension == pytest.approx(0.6)
    assert found[frozenset({"kain", "anhantha"})].tension == pytest.approx(0.4)
    assert found[frozenset({"kain", "anhantha"})].resolver == "iskriv"
    assert {conflict.voices for conflict in conflicts(VOICES, state)} == {("kain", "pino"), ("sam", "hundun")}
    assert conflicts(("kain", "sam"), state) == []


def test_what_voices_say_against_each_other_is_found() -> None:
    heard = {
        "kain": "The release costs 10 days of work.",
        "sam": "The release costs 3 days of work.",
        "pino": "Imagine a boat.",
    }
    assert [conflict.voices for conflict in said_against(heard)] == [("kain", "sam")]
