"""Which request caused what happens now."""

from contextvars import ContextVar

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
"""Id of the request that is being served; goes into every log record, event and audit entry it causes."""
