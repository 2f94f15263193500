"""One tool call on its way from a model's wish to a recorded result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from iskra.turns.tool_plan import BARRIER, Access
from iskra_sdk.approval import ApprovalRequest, ApprovalState, Ruling
from iskra_sdk.errors import IskraError, ToolDeniedError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import ApprovalId, EffectId
from iskra_sdk.message import ToolCall, ToolResult, clean_text
from iskra_sdk.session_store import StepRecord, StepState
from iskra_sdk.tool import Risk, Tool

LONGEST_RESULT = 100_000
"""Characters the model gets of one result."""
_HEAD = 0.7  # of what is shown of a long result, so much is its beginning


@dataclass(slots=True, eq=False)
class ToolJob:
    """One tool call.

    Attributes:
        call: What the model wants.
        index: The call's step in the turn's journal.
        message_index: Its result's place in the conversation, if it has one.
        effect_id: Stable through crashes.
        state: The state its step was last written with; ``None`` before the first time.
        approval_id: The request that was recorded before an interruption.
        tool: The tool, once it was found.
        plugin: Whose tool it is.
        arguments: Valid arguments.
        request: The approval it needs.
        access: The resources it uses.
        allowed_by: The ruling of an advisor that allows it in the person's place.
        seconds: How long it ran.
        result: What it came to.
    """

    call: ToolCall
    index: int
    message_index: int | None
    effect_id: EffectId
    state: StepState | None = None
    approval_id: ApprovalId | None = None
    tool: Tool | None = None
    plugin: str = ""
    arguments: Mapping[str, Any] | None = None
    request: ApprovalRequest | None = None
    access: Access = BARRIER
    allowed_by: Ruling | None = None
    seconds: float | None = None
    result: ToolResult | None = None

    @property
    def ready(self) -> tuple[Tool, Mapping[str, Any]]:
        """The tool and its valid arguments."""
        if self.tool is None or self.arguments is None:
            raise ValueError("the call was not prepared")
        return self.tool, self.arguments

    @property
    def decision(self) -> Mapping[str, object] | None:
        """Who let the call run or not, as the journal keeps it; ``None`` if nobody had to decide yet."""
        if self.request is not None and self.request.state is not ApprovalState.OPEN:
            request = self.request
            decided = {"state": request.state, "by": request.decided_by, "rule": request.rule}
            return {**decided, "remark": request.remark} if request.remark else decided
        if self.allowed_by is not None:
            return {"state": "automatic", "rule": self.allowed_by.rule, "reason": self.allowed_by.reason}
        return None

    @property
    def has_effect(self) -> bool:
        """Whether the call may change something."""
        return self.tool is None or self.tool.risk is not Risk.READ


def failure(error: IskraError) -> ToolResult:
    """Return the result of a call whose tool failed."""
    return ToolResult(str(error), is_error=True, error_code=error.code)


def refused(error: IskraError) -> ToolResult:
    """Return the result of a call that never reached its tool: why is the kernel's word, or a person's."""
    return ToolResult(str(error), is_error=True, error_code=error.code, is_trusted=True)


def recorded_result(step: StepRecord) -> ToolResult:
    """Return the result that a finished step recorded."""
    recorded = step.data["result"]
    if not isinstance(recorded, Mapping):
        raise ValueError(f"step {step.index} of turn {step.turn_id} has no result")
    return ToolResult(**recorded)


def refusal(request: ApprovalRequest, *, was_interrupted: bool) -> ToolDeniedError:
    """Return why a call that somebody was asked about does not run."""
    remark = f" They said: {request.remark}" if request.remark else ""
    if was_interrupted:
        text = "The server stopped while this call ran; whether it took effect is unknown, and it was not repeated."
    elif request.state is ApprovalState.DENIED:
        text = "The user denied this call."
    elif request.state is ApprovalState.EXPIRED:
        text = "Nobody approved this call in time, so it was not run."
    else:
        text = "The approval request of this call was cancelled."
    return ToolDeniedError(text + remark, mend="Do not try the same call again unless the user asks for it.")


def bounded(result: ToolResult) -> ToolResult:
    """Return a result with text that can be stored, cut in the middle where it is too long for a model."""
    content = clean_text(result.content)
    if len(content) > LONGEST_RESULT:
        head = int(LONGEST_RESULT * _HEAD)
        tail = LONGEST_RESULT - head
        left_out = len(content) - LONGEST_RESULT
        content = f"{content[:head]}\n… {left_out} characters left out …\n{content[-tail:]}"
    return result if content is result.content else replace(result, content=content)


def request_event(request: ApprovalRequest) -> Event:
    """Return the event that asks people."""
    data = {
        "approval_id": request.id,
        "tool_call_id": request.tool_call_id,
        "tool": request.tool,
        "agent": request.agent,
        "arguments": request.arguments,
        "preview": request.preview,
        "risk": request.risk,
        "code": request.code,
        "expires_at": request.expires_at,
        "reason": request.reason,
        "offers_rule": request.offers_rule,
    }
    return Event(EventType.APPROVAL_REQUESTED, data, turn_id=request.turn_id, at=request.created_at)
