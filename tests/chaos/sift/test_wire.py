"""What SIFT says over HTTP: the names that are agreed on, and that each member is explained."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from iskra_chaos.sift.analysis import ChaosAnalysisResult, Depth, Operation
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.injections.result import SIFTChaosInjectionResult
from iskra_chaos.sift.trace import InjectionType

MODELS: list[type[BaseModel]] = [SIFTBlock, ChaosAnalysisResult, SIFTChaosInjectionResult]


def test_a_block_has_the_agreed_members() -> None:
    schema = SIFTBlock.model_json_schema()
    assert schema["required"] == ["id", "source", "inference", "fact", "trace"]
    members = {name: list(part["properties"]) for name, part in schema["$defs"].items() if "properties" in part}
    assert members["Source"] == ["origin", "reliability", "context", "chaos_sensitivity"]
    assert members["Inference"] == ["logic_chain", "confidence_level", "paradoxical_elements", "chaos_potential"]
    assert members["Fact"] == ["verified_data", "uncertainty_zones", "emergence_triggers", "stability_level"]
    assert members["Trace"] == ["processing_history", "chaos_interventions", "phase_transitions"]


def test_the_agreed_words_are_the_only_ones() -> None:
    assert get_args(Depth) == ("surface", "deep", "comprehensive")
    assert get_args(InjectionType) == (
        "paradox_seeds",
        "perspective_shifts",
        "contradiction_points",
        "uncertainty_zones",
        "emergence_triggers",
    )
    assert get_args(Operation) == (
        "micro_disturbance",
        "pattern_break",
        "paradox_generation",
        "fire_reset",
        "quantum_flux",
        "emergent_stimulation",
    )


def _unexplained(schema: dict[str, Any]) -> Iterator[str]:
    for name, part in {**schema.get("$defs", {}), "top": schema}.items():
        if name != "JsonValue" and "description" not in part:
            yield name
        for member, field in part.get("properties", {}).items():
            if "description" not in field:
                yield f"{name}.{member}"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_each_member_is_explained(model: type[BaseModel], mode: Any) -> None:
    assert list(_unexplained(model.model_json_schema(mode=mode))) == []


def test_the_models_are_named_without_what_fills_them() -> None:
    program = (
        "import sys, iskra_chaos.sift.analysis, iskra_chaos.sift.injections.result\n"
        "loaded = [name for name in sys.modules if name.startswith(('iskra_metrics', 'jsonpatch'))]\n"
        "print(loaded, 'iskra_chaos.sift.depths.deep' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[] False"
