"""Operations in an experiment file: the faults that follow from their intensity."""

from typing import get_args

import pytest
from pydantic import ValidationError

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.experiments.files.extension import DeclaredOperation, IskraExtension
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.resilience_form import combinations_of


@pytest.mark.parametrize("intensity", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("operation", get_args(OperationType))
def test_every_operation_has_faults_that_the_server_knows(operation: OperationType, intensity: float) -> None:
    faults = DeclaredOperation(type=operation, intensity=intensity).faults()
    assert faults
    for fault in faults:
        sent = {"point": fault.point, "kind": fault.kind, "parameters": fault.parameters, "strategy": fault.strategy}
        assert FaultSpec.model_validate(sent).kind == fault.kind
        assert fault.operation == operation
        assert fault.scope.experiment_arm is (fault.point != "clock")
    assert len({fault.title for fault in faults}) == len(faults)


def test_combinations_are_numbered_and_begin_anew() -> None:
    count = len(combinations_of(0.3))
    first, second, again = (
        DeclaredOperation(type="emergent_stimulation", combination=number).faults() for number in (0, 1, count)
    )
    assert first == again
    assert first != second


def test_faults_and_operations_stand_side_by_side() -> None:
    own = IskraExtension.model_validate(
        {
            "faults": [{"point": "llm.request", "kind": "rate_limited"}],
            "operations": [{"type": "paradox_generation", "intensity": 0.4}],
        }
    )
    assert [fault.point for fault in own.all_faults] == ["llm.request", "tool.result"]


@pytest.mark.parametrize(
    "wrong", [{"type": "melt"}, {"type": "pattern_break", "point": "clock"}, {"type": "fire_reset", "intensity": 1.1}]
)
def test_what_is_no_operation_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DeclaredOperation.model_validate(wrong)
