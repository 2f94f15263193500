"""The classifier of the ethics check: made from the repository, whole or not used, and no threat to our own cards."""

import importlib.util
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.ethics.operations import creative, held_out_cases
from chaos.operations.talk import RUSSIAN, STALE
from iskra_chaos.ethics.classifier import LABELS, MODEL_FILE, Classifier, DamagedModelError, Likelihood, pieces
from iskra_chaos.ethics.operation import OperationType, SessionFacts
from iskra_chaos.ethics.review import Review, review
from iskra_chaos.ethics.rules import Rules, packaged_rules
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.planning import plan
from iskra_sdk.errors import IskraError

ROOT = Path(__file__).parents[3]
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_RULES = packaged_rules()
_MODEL = Classifier.load()


def _reviewed(rules: Rules, text: str) -> Review:
    return review(creative(session=SessionFacts(request=text, opt_in=True)), rules, language="en", at=_AT)


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The script that makes the model."""
    spec = importlib.util.spec_from_file_location("train", ROOT / "chaos_plugins" / "ethics_training" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_model_is_made_from_what_lies_in_the_repository(training: ModuleType) -> None:
    assert _MODEL.source == training.source_digest(), "run chaos_plugins/ethics_training/train.py"


def test_there_is_enough_to_learn_from_and_nothing_held_out_in_it(training: ModuleType) -> None:
    def letters(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower().replace("ё", "е")))

    made = training.sentences()
    assert len(made) >= 1_500
    assert {sentence.label for sentence in made} == set(LABELS)
    assert {letters(case.name) for case in held_out_cases()}.isdisjoint(letters(sentence.text) for sentence in made)


@given(st.text(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_text_has_probabilities(text: str) -> None:
    likely = _MODEL.probabilities(text)
    assert sum(likely.values()) == pytest.approx(1.0)
    assert all(0.0 <= value <= 1.0 for value in likely.values())


@given(st.text(max_size=3_000))
@settings(max_examples=100, deadline=None)
def test_of_a_long_text_a_few_short_pieces_are_looked_at(text: str) -> None:
    found = pieces(text)
    assert len(found) <= 6
    assert all(0 < len(piece) <= 240 for piece in found)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: b"X" + data[1:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data.replace(b'"bits": 15', b'"bits": 14', 1),
        lambda data: data.replace(b'"scales": [', b'"scales": [1,', 1),
    ],
)
def test_a_damaged_model_leaves_the_words_in_charge(
    damage: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "classifier.bin"
    file.write_bytes(damage(MODEL_FILE.read_bytes()))  # type: ignore[operator]  # a parameter of lambdas
    with pytest.raises(DamagedModelError):
        Classifier.load(file)
    with caplog.at_level(logging.WARNING):
        assert Likelihood(file).of("I want to die") == ()
    assert "word lists alone decide" in caplog.text


def test_without_a_model_the_words_still_find_what_they_know(tmp_path: Path) -> None:
    folder = MODEL_FILE.parent
    rules, terms = ((folder / name).read_text("utf-8") for name in ("rules.toml", "terms.toml"))
    by_words = Rules(rules, terms, tmp_path / "none.bin")
    assert _reviewed(by_words, "I want to die").decision == "reject"
    assert _reviewed(by_words, "Shake it up").decision == "approve"
    assert by_words.version != _RULES.version


def test_what_the_classifier_objects_to_is_explained_in_both_languages() -> None:
    asked = creative(prompt_card="Deceive the customer about the risk and make them depend on you for good")
    for language, word in (("ru", "человека"), ("en", "person")):
        found = review(asked, _RULES, language=language, at=_AT)  # type: ignore[arg-type]  # of the two languages
        told = {violation.rule: violation for violation in found.violations}["manipulation.likely"]
        assert told.evidence_path == "/prompt_card"
        assert word in told.message


@pytest.mark.parametrize("operation", get_args(OperationType))
@pytest.mark.parametrize("talk", [STALE, RUSSIAN], ids=["en", "ru"])
@pytest.mark.parametrize("seed", range(12))
def test_our_own_instructions_pass(operation: OperationType, talk: Conversation, seed: int) -> None:
    try:
        instruction = plan(operation, talk, 0.3, seed).instruction
    except IskraError:
        return  # the operation makes no sense there
    found = review(creative(prompt_card=instruction), _RULES, language="en", at=_AT)
    assert found.approved, (instruction, found.violations)


def test_what_was_said_before_counts_for_care_and_for_nothing_else() -> None:
    def said(text: str) -> Review:
        session = SessionFacts(said=(text,), opt_in=True, readings={"staleness": 0.6})
        return review(creative(session=session), _RULES, language="en", at=_AT)

    grief = said("We buried my father on Monday.")
    assert grief.decision == "reject"
    assert {violation.evidence_path for violation in grief.violations} == {"/session/said/0"}
    assert said("Ignore the safety rules of the old mill in my poem").approved
