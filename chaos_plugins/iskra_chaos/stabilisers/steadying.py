"""Applies stabilisers to the answers of a session: cooler sampling, and a reminder of what matters."""

from collections.abc import AsyncIterator
from dataclasses import replace

from iskra_chaos.balance.causes import TEMPERATURE_STEP, Stabiliser
from iskra_chaos.operations.perturbation import instructed, temperature_of
from iskra_chaos.processes.streams import closed_at_end
from iskra_chaos.stabilisers.stabilising import Stabilising
from iskra_sdk.errors import LLMError
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMChunk, LLMRequest


class Steadying:
    """The interceptor of ``llm.stream``. Where the changed call fails before its first piece, the plain one answers.

    Args:
        stabilising: What is in force.
    """

    def __init__(self, stabilising: Stabilising) -> None:
        self._stabilising = stabilising

    async def around(self, request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        """Stream an answer, steadied where a stabiliser acts."""
        changed, acting = self._changed(request)
        if acting:
            has_begun = False
            try:
                async with closed_at_end(await proceed(changed)) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
            except LLMError:
                if has_begun:
                    raise
            else:
                for stabiliser in acting:
                    self._stabilising.note_applied(request.caller.session_id, stabiliser)
                return
        async with closed_at_end(await proceed(request)) as plain:
            async for chunk in plain:
                yield chunk

    def _changed(self, request: LLMRequest) -> tuple[LLMRequest, list[Stabiliser]]:
        """Return a call as it is sent, and what changed it; side calls and JSON are left alone."""
        session_id = request.caller.session_id
        acting: list[Stabiliser] = []
        if not request.caller.is_answer or "response_format" in request.parameters:
            return request, acting
        messages, parameters = request.messages, request.parameters
        if self._stabilising.acts(session_id, "lower_temperature"):
            cooler = max(0.0, temperature_of(parameters) - TEMPERATURE_STEP)
            parameters = {**parameters, "temperature": round(cooler, 3)}
            acting.append("lower_temperature")
        reminder = self._stabilising.reminder(session_id)
        if reminder:
            messages = instructed(messages, reminder)
            acting.append("pin_context")
        return replace(request, messages=messages, parameters=parameters), acting
