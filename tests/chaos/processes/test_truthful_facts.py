"""What the ethics rules ask for is what the server knows: subjects, claims, tools that write, inserted words."""

import pytest

from chaos.operations.talk import conversation
from chaos.processes.stage import stage
from chaos.sift.sift_blocks import english_block
from iskra_chaos.ethics import EthicsRefusedError
from iskra_chaos.ethics.operation import InjectionType
from iskra_chaos.faults.models import FaultRequest
from iskra_chaos.processes.admission import topics_of
from iskra_chaos.sift.injections.injection import inject
from iskra_sdk.interceptor import Point
from iskra_sdk.principal import Principal
from iskra_sdk.tool import Tool, tool


@tool(risk="write")
async def overwrite(path: str) -> str:
    """Overwrite a file."""
    return path


def test_the_subjects_of_the_latest_messages_are_known() -> None:
    talk = conversation(("What about my mortgage?", "Ask your bank."), ("And my insulin?", "Ask a doctor."))
    assert topics_of(talk) == ("finance", "medical")
    assert topics_of(conversation(("What about the fair?", "Make a list."))) == ()


@pytest.mark.parametrize("injection", ["paradox_seeds", "uncertainty_zones", "perspective_shifts"])
async def test_the_words_of_an_injection_are_reviewed(injection: InjectionType) -> None:
    async with stage("Fine.") as given:
        clearing, block = given.parts.clearing, english_block()
        asked = await clearing._injection(Principal("u"), block, injection, 0.3, seed=1)
        put_in = [step.value for step in inject(block, injection, 0.3, seed=1).intervention.forward]
        words = [value for value in put_in if isinstance(value, str)]
        words += [str(value["text"]) for value in put_in if isinstance(value, dict) and "text" in value]
        reviewed = "\n".join(insertion.text for insertion in asked.insertions)
        assert words
        assert all(text in reviewed for text in words)
        other = await clearing._injection(Principal("u"), block, injection, 0.3, seed=2)
        assert (other == asked) == (other.insertions == asked.insertions)


async def test_a_minor_is_known_by_the_claim_of_the_credential() -> None:
    async with stage("Fine.") as given:
        child = Principal("u", claims=frozenset({"minor"}))
        with pytest.raises(EthicsRefusedError, match="minor"):
            await given.parts.clearing.clear_injection(child, english_block(), "uncertainty_zones", 0.1, seed=1)


@pytest.mark.parametrize(("tools", "is_refused"), [({}, False), ({"overwrite": overwrite}, True)])
async def test_order_is_not_falsified_where_tools_can_write(tools: dict[str, Tool], is_refused: bool) -> None:
    async with stage("Fine.") as given:
        clearing = given.parts.clearing
        clearing._environment, clearing._tools = "staging", lambda: tools
        body = FaultRequest(point=Point.BUS_DELIVER, kind="reorder", intensity=0.5)
        body = body.model_copy(update={"scope": body.scope.model_copy(update={"share": 0.01})})
        if is_refused:
            with pytest.raises(EthicsRefusedError, match="tools that write"):
                clearing.clear_fault(Principal("u"), body)
        else:
            clearing.clear_fault(Principal("u"), body)
