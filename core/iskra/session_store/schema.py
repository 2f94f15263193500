"""The kernel's tables.

Times are microseconds since 1970 in UTC, and JSON is text as it was encoded, in both databases: a row is written and
read without a conversion by the driver. Every read of the store contract has an index that serves it.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

UNFINISHED_SQL = "state IN ('queued', 'running', 'waiting_approval', 'waiting_answer')"
"""Condition of the index of unfinished turns; a query must repeat it word for word to use the index."""


def _serial() -> Column[int]:
    # SQLite numbers rows by itself only in a column of the type INTEGER.
    return Column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)


class _Row(SQLModel, registry=registry()):
    """Base of the kernel's tables; they keep apart from tables that others put into ``SQLModel.metadata``."""


class SessionRow(_Row, table=True):
    __tablename__ = "sessions"
    __table_args__ = (
        Index("sessions_by_principal", "principal_id", "created_at", "id"),
        Index("sessions_by_age", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    principal_id: str
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    title: str
    agent: str
    # The attribute cannot be called metadata, which is SQLAlchemy's.
    facts: str = Field(sa_column=Column("metadata", Text, nullable=False))
    contexts: str = Field(sa_type=Text)
    reserved_seq: int = Field(sa_type=BigInteger)


class TurnRow(_Row, table=True):
    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("session_id", "number", name="turns_by_number"),
        Index(
            "turns_by_key",
            "session_id",
            "idempotency_key",
            unique=True,
            sqlite_where=text("idempotency_key <> ''"),
            postgresql_where=text("idempotency_key <> ''"),
        ),
        Index(
            "turns_unfinished",
            "session_id",
            "number",
            sqlite_where=text(UNFINISHED_SQL),
            postgresql_where=text(UNFINISHED_SQL),
        ),
    )

    id: str = Field(primary_key=True)
    session_id: str = Field(foreign_key="sessions.id", ondelete="CASCADE")
    principal_id: str
    number: int = Field(sa_type=BigInteger)
    model: str
    state: str
    input: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    agent: str
    first_seq: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(sa_type=BigInteger)
    idempotency_key: str
    request_hash: str
    options: str = Field(sa_type=Text)
    error: str | None = Field(sa_type=Text)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)


class StepRow(_Row, table=True):
    __tablename__ = "steps"

    turn_id: str = Field(primary_key=True, foreign_key="turns.id", ondelete="CASCADE")
    position: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    state: str
    started_at: int = Field(sa_type=BigInteger)
    name: str
    data: str = Field(sa_type=Text)
    effect_id: str
    ended_at: int | None = Field(sa_type=BigInteger)


class MessageRow(_Row, table=True):
    __tablename__ = "messages"

    session_id: str = Field(primary_key=True, foreign_key="sessions.id", ondelete="CASCADE")
    position: int = Field(primary_key=True, sa_type=BigInteger)
    id: str
    turn_id: str | None
    agent: str
    created_at: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class EventRow(_Row, table=True):
    __tablename__ = "events"

    session_id: str = Field(primary_key=True, foreign_key="sessions.id", ondelete="CASCADE")
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    type: str
    turn_id: str | None
    at: int = Field(sa_type=BigInteger)
    source: str
    severity: str
    correlation_id: str
    data: str = Field(sa_type=Text)


class ApprovalRow(_Row, table=True):
    __tablename__ = "approvals"
    __table_args__ = (
        Index(
            "approvals_open_code",
            "principal_id",
            "code",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("approvals_by_code", "principal_id", "code", "created_at", "id"),
        Index("approvals_by_principal", "principal_id", "created_at", "id"),
        Index("approvals_by_principal_and_state", "principal_id", "state", "created_at", "id"),
        Index("approvals_by_session", "session_id", "created_at", "id"),
        Index("approvals_by_state", "state", "created_at", "id"),
        Index("approvals_by_age", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    session_id: str = Field(foreign_key="sessions.id", ondelete="CASCADE")
    turn_id: str
    tool_call_id: str
    principal_id: str
    agent: str
    tool: str
    plugin: str
    risk: str
    arguments: str = Field(sa_type=Text)
    hash: str
    preview: str = Field(sa_type=Text)
    code: str
    rule: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(sa_type=BigInteger)
    on_timeout: str
    reason: str
    state: str
    decided_by: str
    decided_at: int | None = Field(sa_type=BigInteger)
    remark: str


class TranscriptRow(_Row, table=True):
    __tablename__ = "transcripts"

    id: int | None = Field(sa_column=_serial())
    digest: str = Field(index=True)
    session_id: str = Field(foreign_key="sessions.id", ondelete="CASCADE", index=True)
    position: int = Field(sa_type=BigInteger)


class CredentialRow(_Row, table=True):
    __tablename__ = "credentials"

    digest: str = Field(primary_key=True)
    principal_id: str = Field(index=True)
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)


class PluginRow(_Row, table=True):
    __tablename__ = "plugins"

    name: str = Field(primary_key=True)
    is_enabled: int = Field(sa_type=BigInteger)
    settings: str = Field(sa_type=Text)
    failed_starts: int = Field(sa_type=BigInteger)
    quarantined_because: str


class PluginValueRow(_Row, table=True):
    __tablename__ = "plugin_values"

    plugin: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)


class AuditRow(_Row, table=True):
    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_by_action", "action", "id"),)

    id: int | None = Field(sa_column=_serial())
    at: int = Field(sa_type=BigInteger)
    principal_id: str
    action: str
    target: str
    data: str = Field(sa_type=Text)
    correlation_id: str


class UsageRow(_Row, table=True):
    __tablename__ = "usage"
    __table_args__ = (Index("usage_by_day", "day"),)

    principal_id: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    agent: str = Field(primary_key=True)
    target: str = Field(primary_key=True)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    calls: int = Field(sa_type=BigInteger)


class WriteCheckRow(_Row, table=True):
    """One row that a readiness check rewrites, because only a write tells whether writing works."""

    __tablename__ = "write_checks"

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    checked_at: int = Field(sa_type=BigInteger)


metadata = _Row.metadata
