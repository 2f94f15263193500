"""Voices are more than names: by the answers alone it can be told who gave them."""

import json
from pathlib import Path

import pytest

from iskra_sdk.message import Message
from iskra_voices.casting import supplements
from iskra_voices.catalogue import SEVEN
from iskra_voices.policy import Policy
from iskra_voices.scene import scene_of
from iskra_voices.voice_classifier import GOAL_ACCURACY, GOAL_PASSING, VoiceClassifier, prove
from voices.stub_model import answer

MESSAGES: list[str] = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "data" / "voice_messages.json").read_text(encoding="utf-8")
)


def prompt_of(policy: Policy, asked: str) -> str:
    return "\n".join([policy.preamble, *supplements(policy, scene_of([Message.user(asked)]))])


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    return {policy.name: [answer(prompt_of(policy, asked), asked) for asked in MESSAGES] for policy in SEVEN}


def test_a_classifier_names_the_voice(answers: dict[str, list[str]]) -> None:
    proof = prove(answers)
    assert len(MESSAGES) >= 40
    assert proof.samples == len(MESSAGES) // 2 * 7
    assert proof.accuracy >= GOAL_ACCURACY, proof
    assert min(proof.by_voice.values()) >= 0.5, proof


def test_without_their_prompts_nobody_can_tell_the_voices_apart() -> None:
    plain = {policy.name: [answer("Answer.", asked) for asked in MESSAGES] for policy in SEVEN}
    assert prove(plain).accuracy <= 0.2


@pytest.mark.parametrize("policy", SEVEN, ids=lambda policy: policy.name)
def test_answers_that_follow_the_prompt_meet_the_demands(policy: Policy, answers: dict[str, list[str]]) -> None:
    broken = {
        asked: [check.name for check in policy.broken(given, scene_of([Message.user(asked)]))]
        for asked, given in zip(MESSAGES, answers[policy.name], strict=True)
    }
    passing = sum(not names for names in broken.values()) / len(broken)
    assert passing >= GOAL_PASSING, {asked: names for asked, names in broken.items() if names}


@pytest.mark.parametrize("policy", SEVEN, ids=lambda policy: policy.name)
def test_no_answer_names_its_voice(policy: Policy, answers: dict[str, list[str]]) -> None:
    names = {policy.name, policy.russian.lower(), *policy.aliases}
    for given in answers[policy.name]:
        assert not names & set(given.lower().replace("→", " ").split()), given


@pytest.mark.parametrize("policy", SEVEN, ids=lambda policy: policy.name)
def test_a_demand_that_leaves_the_prompt_leaves_the_answers(policy: Policy) -> None:
    """The stand-in has no knowledge of its own: what it does, the prompt made it do."""
    asked = MESSAGES[0]
    scene = scene_of([Message.user(asked)])
    for check in policy.checks:
        prompt = prompt_of(policy, asked).replace(f"- {check.demand}\n", "")
        whole = {each.name for each in policy.broken(answer(prompt_of(policy, asked), asked), scene)}
        less = {each.name for each in policy.broken(answer(prompt, asked), scene)}
        assert whole <= less or check.name in whole
        if answer(prompt, asked) != answer(prompt_of(policy, asked), asked):
            assert check.name in less


def test_a_classifier_that_learned_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="empty"):
        VoiceClassifier().classify("anything")
