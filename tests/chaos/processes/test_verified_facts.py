"""Verified facts of sessions, for other plugins."""

import pytest

from chaos.processes.stage import stage
from iskra_chaos.processes.verified_facts import verified_in
from iskra_metrics.service import VerifiedFacts
from iskra_sdk.errors import SessionNotFoundError
from iskra_sdk.message import Message


@pytest.mark.parametrize(
    ("asked", "result", "answer", "verified"),
    [
        (
            "What does the stage cost?",
            "The stage costs 300 euros.",
            "The stage costs 300 euros. It is beautiful.",
            ["The stage costs 300 euros."],
        ),
        (
            "Сколько стоит сцена?",
            "Сцена стоит 300 евро.",
            "Сцена стоит 300 евро. Она красивая.",
            ["Сцена стоит 300 евро."],
        ),
    ],
)
def test_what_a_tool_says_too_is_verified_and_what_somebody_claims_is_not(
    asked: str, result: str, answer: str, verified: list[str]
) -> None:
    said = [Message.user(asked), Message.tool("c1", result), Message.assistant(answer)]
    assert verified_in(said) == verified
    assert verified_in([Message.user(result), Message.assistant(answer)]) == []
    assert verified_in([]) == []


async def test_other_plugins_read_them_as_a_service() -> None:
    async with stage() as given:
        session_id = await given.session()
        service = given.harness.context.service(VerifiedFacts)  # type: ignore[type-abstract]
        assert await service.verified(session_id) == []
        with pytest.raises(SessionNotFoundError):
            await service.verified("ses_none")
