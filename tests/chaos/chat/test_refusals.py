"""What a person is told when an operation cannot begin."""

import re

import pytest

from chaos.operations.talk import conversation
from iskra_chaos.chat.refusals import ethics_refusal, refusal
from iskra_chaos.ethics import EthicsRefusedError
from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations.planning import plan
from iskra_sdk.errors import IskraError

QUIET: tuple[OperationType, ...] = ("pattern_break", "fire_reset", "paradox_generation", "emergent_stimulation")


@pytest.mark.parametrize("operation", QUIET)
def test_a_conversation_too_young_for_an_operation_is_told_so_in_both_languages(operation: OperationType) -> None:
    with pytest.raises(IskraError) as refused:
        plan(operation, conversation(("Hi", "Hello!")), 0.5, 1)
    assert refused.value.message in refusal(refused.value, "en")
    assert refused.value.mend in refusal(refused.value, "en")
    assert not re.search("[A-Za-z]", refusal(refused.value, "ru"))


def test_a_reason_without_a_translation_is_told_as_it_is() -> None:
    error = IskraError("What happened.", mend="How to mend it.", facts={"why": "new"})
    assert refusal(error, "ru") == "What happened. How to mend it."


def test_what_the_ethics_check_said_is_told_in_the_language_of_the_person_with_where_help_is() -> None:
    error = EthicsRefusedError(
        "The operation was not cleared: Тема тяжёлая.",
        facts={"violations": [{"message": "Тема тяжёлая."}], "help": ["Позвоните 112."]},
    )
    assert ethics_refusal(error, "ru") == "Возмущение не разрешено: Тема тяжёлая.\nПозвоните 112."
    assert ethics_refusal(error, "en") == "The operation was not cleared: Тема тяжёлая.\nПозвоните 112."
