"""The tools behind the agent: start an operation in one's own conversation, look at it, take it back."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from iskra_chaos.chat.refusals import ethics_refusal, refusal
from iskra_chaos.ethics import EthicsRefusedError
from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations.stop_rules import WENT_BACK
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.preparing import Wish
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_metrics.text import language_of
from iskra_sdk.errors import BadInputError, BusyError, ConflictError, PermissionDeniedError, ToolError
from iskra_sdk.tool import Tool, ToolContext, tool

Intensity = Annotated[float, Field(ge=0.1, le=1.0)]


def conversation_tools(engine: Callable[[], ChaosEngine]) -> tuple[Tool, ...]:
    """Return the tools; what they do concerns the caller's own session only and can be taken back."""

    @tool(risk="write")
    async def perturb(operation: OperationType, intensity: Intensity, words: str, context: ToolContext) -> str:
        """Change how the next answers of this conversation come about; nothing stored is edited.

        Args:
            operation: What to do.
            intensity: How strongly.
            words: The user's own words.
        """
        wish = Wish(operation, intensity, request=words, accept_modifications=True, is_asked_for=True)
        try:
            process = await engine().start(context.principal, context.session_id, wish)
        except EthicsRefusedError as error:
            raise ToolError(ethics_refusal(error, language_of(words))) from error
        except (BadInputError, BusyError, ConflictError, PermissionDeniedError) as error:
            raise ToolError(refusal(error, language_of(words))) from error
        await engine().choices.change(context.session_id, opt_in=True, stopped=False)
        speaks_russian = language_of(words) == "ru"
        return f"{_told(process, speaks_russian)}\n\n{_when(engine(), process, speaks_russian)}"

    @tool(risk="read")
    async def show_perturbations(words: str, context: ToolContext) -> str:
        """Show what operations change or changed in this conversation.

        Args:
            words: The user's own words.
        """
        speaks_russian = language_of(words) == "ru"
        processes = engine().journal.of_session(context.session_id)
        if not processes:
            return (
                "В этом разговоре ничего не менялось."
                if speaks_russian
                else "Nothing was changed in this conversation."
            )
        return "\n\n".join(_told(process, speaks_russian) for process in processes[-5:])

    @tool(risk="write")
    async def take_back_perturbation(words: str, context: ToolContext) -> str:
        """Take back the latest operation in this conversation.

        Args:
            words: The user's own words.
        """
        speaks_russian = language_of(words) == "ru"
        latest = next(filter(_may_be_taken_back, reversed(engine().journal.of_session(context.session_id))), None)
        if latest is None:
            return "Возвращать нечего: ничего не менялось." if speaks_russian else "There is nothing to take back."
        await engine().roll_back(latest, "taken back by the user")
        return (
            f"Готово: {latest.type} больше не действует, модель снова видит разговор как есть."
            if speaks_russian
            else f"Done: {latest.type} acts no more, and the model sees the conversation as it is again."
        )

    @tool(risk="write")
    async def choose_perturbed_answer(number: int, words: str, context: ToolContext) -> str:
        """Take another of the answers that were offered side by side.

        Args:
            number: As it was offered.
            words: The user's own words.
        """
        session = engine().sessions.get(context.session_id)
        speaks_russian = (session.conversation.language if session is not None else language_of(words)) == "ru"
        nothing = "Выбирать сейчас не из чего." if speaks_russian else "There is nothing to choose from now."
        if session is None:
            return nothing
        try:
            text = await engine().choose_branch(session.process, number, is_said=True)
        except ConflictError:
            return nothing
        except BadInputError as error:
            raise ToolError(refusal(error, "ru" if speaks_russian else "en")) from error
        if session.held is None or session.held.is_said:
            return text
        return (
            f"{text}\n\n{'Следующий ответ пойдёт от этого.' if speaks_russian else 'The next answer goes on from it.'}"
        )

    @tool(risk="write")
    async def welcome_perturbations(is_welcome: bool, context: ToolContext) -> str:
        """Note whether operations are welcome in this conversation.

        Args:
            is_welcome: False: leave it alone.
        """
        await engine().choices.change(context.session_id, opt_in=is_welcome, stopped=not is_welcome)
        if not is_welcome:
            session = engine().sessions.get(context.session_id)
            engine().in_force.revoke(context.session_id, "the user asked to be left alone")
            if session is not None:
                await engine().roll_back(session.process, "the user asked to be left alone")
        return "noted"

    return (perturb, show_perturbations, take_back_perturbation, choose_perturbed_answer, welcome_perturbations)


def _may_be_taken_back(process: ChaosProcess) -> bool:
    """Tell whether an operation may be the one that is meant: also one that the same words ended a moment ago."""
    if process.status is ProcessStatus.ROLLED_BACK:
        return process.history[-1].reason == WENT_BACK
    return process.status is not ProcessStatus.REJECTED


def _when(engine: ChaosEngine, process: ChaosProcess, speaks_russian: bool) -> str:
    """Return when an operation begins to act, and how to undo it."""
    session = engine.sessions.get(process.session_id)
    rests = session.rests if session is not None and session.process is process else 0
    if speaks_russian:
        begins = f"Разговор сначала отдыхает, ответов: {rests}." if rests else "Действует со следующего ответа."
        return f"{begins} Вернуть: «верни как было»."
    begins = f"The conversation rests first, for {rests} turns." if rests else "It acts from the next answer on."
    return f'{begins} To undo: "put it back".'


def _told(process: ChaosProcess, speaks_russian: bool) -> str:
    status = str(process.status)
    head = (
        f"{process.type}, сила {process.intensity:.2g}, состояние: {status}"
        if speaks_russian
        else f"{process.type}, intensity {process.intensity:.2g}, status: {status}"
    )
    changes = "\n".join(f"- {change}" for change in process.changes)
    notes = [part for approval in process.ethical_approvals for part in approval.modifications_applied]
    softened = ""
    if notes:
        softened = ("\nСмягчено: " if speaks_russian else "\nToned down: ") + " ".join(notes)
    seen = (
        f"\nПрименено: {process.applied}, эффект замечен: {process.observed}"
        if speaks_russian
        else f"\nApplied: {process.applied}, effect observed: {process.observed}"
    )
    return f"{head}\n{changes}{softened}{seen if process.applied else ''}"
