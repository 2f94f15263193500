"""Asks a language model about operations that the rules let pass, where an admin wants that."""

import asyncio
import logging

from iskra_chaos.ethics.judgement import NOT_ASKED, PROMPT, SILENT, Judgement, judgement_of, material, response_format
from iskra_chaos.ethics.operation import Operation
from iskra_chaos.ethics.rules import Language
from iskra_sdk.llm import LLM, Caller, LLMRequest
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

DEADLINE = 4.0
"""Seconds a start waits for the model; then the verdict of the rules stands."""
_FROM_INTENSITY = 0.4
"""Level 1 never waits for a model."""
_MOST_TOKENS = 400  # of the judge's answer


class ModelJudge:
    """The model judge of the ethics check.

    Args:
        llm: The server's models.
        model: Alias of the one to ask, if any.
        deadline: Seconds it has.
    """

    def __init__(self, llm: LLM, model: str | None, *, deadline: float = DEADLINE) -> None:
        self._llm = llm
        self._model = model
        self._deadline = deadline

    async def judgement(self, operation: Operation, language: Language) -> Judgement:
        """Return what the model says to an operation that the rules approved; it never raises but for cancellation."""
        if not self._model or operation.intensity < _FROM_INTENSITY or not self._llm.has_language_model(self._model):
            return NOT_ASKED
        asked = LLMRequest(
            [Message.system(PROMPT), Message.user(material(operation))],
            model=self._model,
            parameters={"temperature": 0.0, "max_tokens": _MOST_TOKENS, "response_format": response_format()},
            caller=Caller(operation.initiator, session_id=operation.session.id),
        )
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._llm.complete(asked)
            return judgement_of(answer.message.text, language)
        except Exception as error:  # a provider is a plugin's code: whatever it does, the rules' verdict stands
            logger.warning("model judge did not answer", extra={"model": self._model, "error": type(error).__name__})
            return SILENT
