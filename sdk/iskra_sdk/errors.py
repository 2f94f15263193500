"""Every error Iskra raises on purpose.

The class tells the caller what to do, the text tells what happened, why, and how to mend it,
and the facts are attributes::

    IskraError
    ├── ConfigurationError            fix the configuration, then start again
    │   └── DataDirectoryError        the data directory is unusable or in use
    ├── PluginError                   fix or disable the plugin
    │   ├── PluginManifestError       the manifest is missing, malformed or asks for the unknown
    │   ├── PluginDependencyError     a required plugin is missing, disabled or in a cycle
    │   ├── PluginConflictError       two plugins claim one name
    │   ├── PluginLoadError           the code cannot be imported or started
    │   │   └── PluginExtraError      an optional package it needs is not installed
    │   ├── PluginSettingsError       the settings do not fit the plugin's schema
    │   └── PluginBlockedLoopError    plugin code held the event loop and was interrupted
    ├── BadInputError                 change the request
    │   ├── InputTooLargeError
    │   ├── UnknownModelError
    │   └── ToolArgumentsError
    ├── AuthenticationError           send a valid token
    ├── PermissionDeniedError         ask somebody who may
    ├── NotFoundError                 the object does not exist, or is not yours
    │   ├── SessionNotFoundError
    │   ├── TurnNotFoundError
    │   ├── ApprovalNotFoundError
    │   └── PluginNotFoundError
    ├── ConflictError                 look at the current state, then decide again
    │   ├── ApprovalClosedError       the approval was decided, expired or cancelled before
    │   ├── TurnStateError            the turn is not in a state that allows this
    │   └── IdempotencyConflictError  the key was used before for another request
    ├── BusyError                     wait, then try again
    │   ├── QueueFullError
    │   ├── ShuttingDownError
    │   └── ServerUnreachableError    raised by the client: no server answers at this address
    ├── UnexpectedAnswerError         raised by the client: whatever answers there is not an Iskra server
    ├── LLMError                      the model call failed
    │   ├── ProviderUnavailableError  connection failed or a temporary 5xx (transient)
    │   ├── ProviderTimeoutError      a deadline passed (transient)
    │   ├── ProviderRateLimitError    429 (transient, honours Retry-After)
    │   ├── ProviderProtocolError     the upstream's answer cannot be understood (transient)
    │   ├── ProviderRejectedError     the upstream refused this request (do not repeat it)
    │   ├── StreamInterruptedError    the stream broke after the first token
    │   ├── BudgetExceededError       the day's tokens are used up
    │   ├── CircuitOpenError          the target failed too often and is resting
    │   └── AllTargetsFailedError     no target of the alias could answer
    ├── ToolError                     tell the model; the turn goes on
    │   ├── ToolTimeoutError
    │   └── ToolDeniedError
    ├── TurnError                     the turn ends as failed
    │   ├── JournalMismatchError      a resumed turn did not repeat its recorded steps
    │   └── TooManyStepsError
    ├── SubscriberTooSlowError        read faster, or subscribe with another overflow policy
    └── StoreError                    nothing was written
        ├── StoreUnavailableError     try again later
        └── StorageFullError          free some space
"""

from collections.abc import Mapping
from typing import ClassVar


class IskraError(Exception):
    """Base of all errors that Iskra raises on purpose.

    Attributes:
        code: Stable machine-readable name, e.g. ``session_not_found``.
        http_status: The status an HTTP answer about this error carries.
        mend: What the reader can do about it; empty when the message says it all.
        retry_after: Seconds to wait before trying again, or ``None``.
        facts: JSON-able details for programs.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        mend: str = "",
        retry_after: float | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.retry_after = retry_after
        self.facts: Mapping[str, object] = facts or {}

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()


class ConfigurationError(IskraError):
    """A setting is missing or wrong."""

    code = "configuration"


class DataDirectoryError(ConfigurationError):
    """The data directory cannot be used: read-only, not ours, or held by another server."""

    code = "data_directory"


class PluginError(IskraError):
    """Something about one plugin is wrong; the rest of the server goes on."""

    code = "plugin"
    http_status = 422

    def __init__(self, plugin: str, reason: str, *, mend: str = "", facts: Mapping[str, object] | None = None) -> None:
        super().__init__(f"Plugin {plugin!r}: {reason}", mend=mend, facts={"plugin": plugin, **(facts or {})})
        self.plugin = plugin
        self.reason = reason


class PluginManifestError(PluginError):
    """The manifest is missing, malformed, or asks for something this kernel does not have."""

    code = "plugin_manifest"


class PluginDependencyError(PluginError):
    """A required plugin is missing, disabled, broken or part of a cycle."""

    code = "plugin_dependency"


class PluginConflictError(PluginError):
    """The plugin claims a name that another one holds."""

    code = "plugin_conflict"
    http_status = 409


class PluginLoadError(PluginError):
    """The plugin's code cannot be imported, or one of its hooks or its lifespan failed."""

    code = "plugin_load"


class PluginExtraError(PluginLoadError):
    """An optional package that the plugin needs is not installed; nothing is wrong with the plugin."""

    code = "plugin_extra"


class PluginSettingsError(PluginError):
    """The settings given do not fit the plugin's schema."""

    code = "plugin_settings"


class PluginBlockedLoopError(PluginError):
    """Plugin code held the event loop so long that it was interrupted."""

    code = "plugin_blocked_loop"
    http_status = 500


class BadInputError(IskraError):
    """The request cannot be understood or is not allowed as it stands."""

    code = "bad_input"
    http_status = 400


class InputTooLargeError(BadInputError):
    """The request or message is over its limit."""

    code = "input_too_large"
    http_status = 413


class UnknownModelError(BadInputError):
    """No agent, voice or alias answers to this model id."""

    code = "model_not_found"
    http_status = 404


class ToolArgumentsError(BadInputError):
    """The arguments of a tool call do not fit the tool's schema."""

    code = "tool_arguments"
    http_status = 422


class AuthenticationError(IskraError):
    """No valid credential came with the request."""

    code = "unauthenticated"
    http_status = 401


class PermissionDeniedError(IskraError):
    """The principal may not do this."""

    code = "permission_denied"
    http_status = 403


class NotFoundError(IskraError):
    """The object does not exist, or belongs to somebody else; both look alike on purpose."""

    code = "not_found"
    http_status = 404


class SessionNotFoundError(NotFoundError):
    """There is no such session for this principal."""

    code = "session_not_found"


class TurnNotFoundError(NotFoundError):
    """There is no such turn for this principal."""

    code = "turn_not_found"


class ApprovalNotFoundError(NotFoundError):
    """There is no such approval request for this principal."""

    code = "approval_not_found"


class PluginNotFoundError(NotFoundError):
    """No plugin of this name was found."""

    code = "plugin_not_found"


class ConflictError(IskraError):
    """The object changed in the meantime; look at its state and decide again."""

    code = "conflict"
    http_status = 409


class ApprovalClosedError(ConflictError):
    """The approval request was decided, expired or cancelled before."""

    code = "approval_closed"


class TurnStateError(ConflictError):
    """The turn is not in a state that allows this."""

    code = "turn_state"


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used before for another request."""

    code = "idempotency_conflict"


class BusyError(IskraError):
    """The server cannot take this now; the same request may work later."""

    code = "busy"
    http_status = 503


class QueueFullError(BusyError):
    """The session has as many waiting messages as it may have."""

    code = "queue_full"
    http_status = 429


class ShuttingDownError(BusyError):
    """The server is stopping and takes no new work."""

    code = "shutting_down"


class ServerUnreachableError(BusyError):
    """The client cannot reach the server, or lost it and did not get it back in time."""

    code = "server_unreachable"


class UnexpectedAnswerError(IskraError):
    """The client got an answer that an Iskra server does not give: another program, a proxy, another version."""

    code = "unexpected_answer"
    http_status = 502


class LLMError(IskraError):
    """A model call failed.

    Attributes:
        transient: The same request may succeed when repeated.
        is_provider_fault: The provider misbehaved; the circuit breaker counts only these.
    """

    code = "llm"
    http_status = 502
    transient: ClassVar[bool] = False
    is_provider_fault: ClassVar[bool] = False


class ProviderUnavailableError(LLMError):
    """The connection failed, or the upstream answered with a temporary 5xx."""

    code = "provider_unavailable"
    transient = True
    is_provider_fault = True


class ProviderTimeoutError(LLMError):
    """A deadline passed: connect, first token, gap between tokens, or the whole call.

    Attributes:
        phase: ``connect``, ``first_token``, ``gap`` or ``total``.
    """

    code = "provider_timeout"
    http_status = 504
    transient = True
    is_provider_fault = True

    def __init__(self, message: str, *, phase: str, mend: str = "") -> None:
        super().__init__(message, mend=mend, facts={"phase": phase})
        self.phase = phase


class ProviderRateLimitError(LLMError):
    """The upstream asked us to slow down (429)."""

    code = "provider_rate_limit"
    http_status = 429
    transient = True


class ProviderProtocolError(LLMError):
    """The upstream's answer cannot be understood: HTML, half a JSON, a wrong shape."""

    code = "provider_protocol"
    transient = True
    is_provider_fault = True


class ProviderRejectedError(LLMError):
    """The upstream refused this very request; repeating it changes nothing.

    Attributes:
        upstream_status: The HTTP status the upstream answered with.
    """

    code = "provider_rejected"
    http_status = 400

    def __init__(self, message: str, *, upstream_status: int, mend: str = "") -> None:
        super().__init__(message, mend=mend, facts={"upstream_status": upstream_status})
        self.upstream_status = upstream_status


class StreamInterruptedError(LLMError):
    """The stream broke after the first token, so it was not retried."""

    code = "stream_interrupted"
    is_provider_fault = True


class BudgetExceededError(LLMError):
    """The principal, or one agent for it, has used up the day's tokens; no model was called."""

    code = "budget_exceeded"
    http_status = 429


class CircuitOpenError(LLMError):
    """The target failed too often in a row and is resting."""

    code = "circuit_open"
    http_status = 503


class AllTargetsFailedError(LLMError):
    """No target of the alias could answer.

    Attributes:
        causes: One error per target tried, in order.
    """

    code = "all_targets_failed"
    http_status = 502

    def __init__(self, alias: str, causes: Mapping[str, LLMError], *, retry_after: float | None = None) -> None:
        listing = "; ".join(f"{target}: {error.message}" for target, error in causes.items())
        super().__init__(
            f"No target of the alias {alias!r} could answer ({listing}).",
            mend="Check the targets with `iskra doctor`, or add a fallback to the alias.",
            retry_after=retry_after,
            facts={"alias": alias, "causes": {target: error.code for target, error in causes.items()}},
        )
        self.causes = dict(causes)


class ToolError(IskraError):
    """A tool failed; the model is told and the turn goes on. Tools raise this for expected failures."""

    code = "tool_failed"
    http_status = 422


class ToolTimeoutError(ToolError):
    """The tool did not finish within its time."""

    code = "tool_timeout"


class ToolDeniedError(ToolError):
    """The tool call was denied by a rule, by a person, or by the timeout of its approval."""

    code = "tool_denied"


class TurnError(IskraError):
    """The turn cannot go on and ends as failed."""

    code = "turn_failed"


class JournalMismatchError(TurnError):
    """A resumed turn did not repeat its recorded steps, usually because the agent's code changed."""

    code = "journal_mismatch"


class TooManyStepsError(TurnError):
    """The agent used up its steps without finishing, or its model asked for too many tool calls at once."""

    code = "too_many_steps"
    http_status = 422  # the same message would go the same way: clients must not repeat it by themselves


class RepeatedCallsError(TurnError):
    """The model makes the same tool calls with the same results again and again."""

    code = "repeated_calls"
    http_status = 422


class SubscriberTooSlowError(IskraError):
    """The subscriber's buffer overflowed and its policy is to be told rather than to lose events."""

    code = "subscriber_too_slow"


class StoreError(IskraError):
    """The store failed; nothing of the change was written."""

    code = "store"
    http_status = 503


class StoreUnavailableError(StoreError):
    """The database cannot be reached or is locked."""

    code = "store_unavailable"


class StorageFullError(StoreError):
    """There is no space left; reading still works."""

    code = "storage_full"
    http_status = 507
