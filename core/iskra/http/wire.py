"""Stored records as the native API shows them."""

from iskra_sdk.approval import ApprovalRequest
from iskra_sdk.message import Message
from iskra_sdk.session_store import AuditEntry, Session, StepRecord, StoredMessage, TurnRecord
from iskra_sdk.untrusted import unmark

Document = dict[str, object]


def session_wire(session: Session) -> Document:
    """Return a session."""
    return {
        "id": session.id,
        "title": session.title,
        "agent": session.agent,
        "owner": session.principal_id,
        "metadata": dict(session.metadata),
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def turn_wire(turn: TurnRecord) -> Document:
    """Return a turn."""
    return {
        "id": turn.id,
        "session_id": turn.session_id,
        "number": turn.number,
        "model": turn.model,
        "agent": turn.agent,
        "state": turn.state,
        "first_seq": turn.first_seq,
        "input": dict(turn.input.wire),
        "created_at": turn.created_at,
        "ended_at": turn.ended_at,
        "error": dict(turn.error) if turn.error is not None else None,
        "usage": turn.usage.wire,
    }


def step_wire(step: StepRecord) -> Document:
    """Return an entry of a turn's journal."""
    return {
        "index": step.index,
        "kind": step.kind,
        "state": step.state,
        "name": step.name,
        "effect_id": step.effect_id,
        "data": dict(step.data),
        "started_at": step.started_at,
        "ended_at": step.ended_at,
    }


def _as_returned(message: Message) -> Document:
    """Return a message for people: what a tool returned without the marks that are for the model."""
    if message.role != "tool":
        return dict(message.wire)
    return {**message.wire, "content": unmark(message.text)}


def message_wire(message: StoredMessage) -> Document:
    """Return a message of a session."""
    return {
        "id": message.id,
        "session_id": message.session_id,
        "turn_id": message.turn_id,
        "position": message.position,
        "agent": message.agent,
        "message": _as_returned(message.message),
        "created_at": message.created_at,
    }


def approval_wire(request: ApprovalRequest) -> Document:
    """Return an approval request."""
    return {
        "id": request.id,
        "session_id": request.session_id,
        "turn_id": request.turn_id,
        "tool_call_id": request.tool_call_id,
        "owner": request.principal_id,
        "agent": request.agent,
        "tool": request.tool,
        "plugin": request.plugin,
        "risk": request.risk,
        "arguments": request.arguments,
        "hash": request.hash,
        "preview": request.preview,
        "code": request.code,
        "rule": request.rule,
        "offers_rule": request.offers_rule,
        "reason": request.reason,
        "state": request.state,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "on_timeout": request.on_timeout,
        "decided_by": request.decided_by,
        "decided_at": request.decided_at,
        "remark": request.remark,
    }


def audit_wire(number: int, entry: AuditEntry) -> Document:
    """Return an audit entry."""
    return {
        "number": number,
        "at": entry.at,
        "principal": entry.principal_id,
        "action": entry.action,
        "target": entry.target,
        "data": dict(entry.data),
        "correlation_id": entry.correlation_id,
    }
