"""What the client can do with each kind of thing: sessions, turns, approvals, questions, plugins."""

from collections.abc import Mapping
from typing import Any

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client import calls
from iskra_sdk.client.models import (
    ApprovalInfo,
    ContextInfo,
    MessageInfo,
    PluginInfo,
    ReceiptInfo,
    ReplayInfo,
    SessionInfo,
    StepInfo,
    TurnInfo,
    id_of,
)
from iskra_sdk.client.transport import Transport
from iskra_sdk.ids import new_id


class _Resource:
    def __init__(self, transport: Transport) -> None:
        self._send = transport.send


class Sessions(_Resource):
    """Sessions of the principal."""

    def create(
        self, title: str = "", *, agent: str | None = None, metadata: Mapping[str, object] | None = None
    ) -> SessionInfo:
        """Make a session; ``agent`` is the model id its turns use by default."""
        return self._send(calls.create_session(title, agent, metadata))

    def list(self, *, limit: int = 50, before: str | None = None) -> list[SessionInfo]:
        """Return sessions, newest first, after the one with the id ``before``."""
        return self._send(calls.list_sessions(limit, before))

    def get(self, session: str | SessionInfo) -> SessionInfo:
        """Return a session."""
        return self._send(calls.get_session(id_of(session)))

    def delete(self, session: str | SessionInfo) -> None:
        """Remove a session with everything in it."""
        self._send(calls.delete_session(id_of(session)))

    def messages(self, session: str | SessionInfo, *, after: int = 0, limit: int = 1000) -> "_list[MessageInfo]":
        """Return messages with a position above ``after``, oldest first."""
        return self._send(calls.list_messages(id_of(session), after, limit))

    def context(self, session: str | SessionInfo) -> ContextInfo:
        """Return what the session's agent would see with the next message."""
        return self._send(calls.show_context(id_of(session)))


class TurnsAPI(_Resource):
    """Turns."""

    def replay(self, turn: str | TurnInfo) -> ReplayInfo:
        """Run a finished turn's agent again on recorded answers and results, without effects, and compare the steps.

        Raises:
            TurnNotFoundError: There is no such turn.
            ConflictError: It is not finished.
        """
        return self._send(calls.replay_turn(id_of(turn)))

    def steps(self, turn: str | TurnInfo) -> "_list[StepInfo]":
        """Return a turn's journal: model calls, tool calls, questions, handoffs."""
        return self._send(calls.list_steps(id_of(turn)))

    def start(
        self,
        session: str | SessionInfo,
        text: str,
        model: str | None = None,
        *,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> TurnInfo:
        """Send a message without following its turn; when it returns, the server has committed it."""
        return self._send(calls.start_turn(id_of(session), text, model, options, idempotency_key or new_id("key")))

    def list(self, session: str | SessionInfo, *, limit: int = 100, before: int | None = None) -> list[TurnInfo]:
        """Return up to 200 turns of a session, newest first, those with a number below ``before``."""
        return self._send(calls.list_turns(id_of(session), limit, before))

    def get(self, turn: str | TurnInfo) -> TurnInfo:
        """Return a turn."""
        return self._send(calls.get_turn(id_of(turn)))

    def cancel(self, turn: str | TurnInfo, reason: str = "") -> TurnInfo:
        """Cancel a turn; one that has finished stays as it is."""
        return self._send(calls.cancel_turn(id_of(turn), reason))


class ApprovalsAPI(_Resource):
    """Approval requests."""

    def list(self, *, state: ApprovalState | None = ApprovalState.OPEN, limit: int = 100) -> list[ApprovalInfo]:
        """Return requests, newest first; ``state=None`` for all."""
        return self._send(calls.list_approvals(state, limit))

    def get(self, approval: str | ApprovalInfo) -> ApprovalInfo:
        """Return a request."""
        return self._send(calls.get_approval(id_of(approval)))

    def approve(self, approval: str | ApprovalInfo, remark: str = "", *, remember: bool = False) -> ApprovalInfo:
        """Let the call run as it is shown; ``remember`` accepts the rule that was offered with the request.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return self._send(calls.decide_approval(id_of(approval), approve=True, remark=remark, remember=remember))

    def deny(self, approval: str | ApprovalInfo, remark: str = "") -> ApprovalInfo:
        """Refuse the call; the remark is told to the model.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return self._send(calls.decide_approval(id_of(approval), approve=False, remark=remark))

    def edit(self, approval: str | ApprovalInfo, arguments: Mapping[str, object], remark: str = "") -> ApprovalInfo:
        """Let the call run with other arguments.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
            ToolArgumentsError: The arguments do not fit the tool's schema.
        """
        return self._send(calls.decide_approval(id_of(approval), approve=True, remark=remark, arguments=arguments))


class Questions(_Resource):
    """Questions that agents ask in the middle of a turn."""

    def answer(self, session: str | SessionInfo, text: str) -> TurnInfo:
        """Answer the open question of a session, by an option's number or text, or freely where there are none.

        Raises:
            ConflictError: No question is open.
        """
        return self._send(calls.answer_question(id_of(session), text))


class Plugins(_Resource):
    """Plugins of the server; needs the permission ``admin:plugins``."""

    def list(self) -> list[PluginInfo]:
        """Return all plugins, also those that do not run."""
        return self._send(calls.list_plugins())

    def get(self, name: str) -> PluginInfo:
        """Return a plugin's state."""
        return self._send(calls.get_plugin(name))

    def enable(self, name: str) -> PluginInfo:
        """Switch a plugin on, for good; also lifts a quarantine."""
        return self._send(calls.enable_plugin(name))

    def disable(self, name: str) -> PluginInfo:
        """Switch a plugin off, for good; running turns finish on it."""
        return self._send(calls.disable_plugin(name))

    def set_log_level(self, name: str, level: str) -> dict[str, Any]:
        """Set what a plugin logs until it is loaded again: ``debug``, ``info``, ``warning``, ``error``, ``default``."""
        return self._send(calls.set_log_level(name, level))

    def reload(self, name: str) -> ReceiptInfo:
        """Load a plugin's code again and return the receipt; if the new code fails, the old one stays.

        Raises:
            PluginError: The new code cannot be used.
        """
        return self._send(calls.reload_plugin(name))

    def receipts(self, name: str) -> "_list[ReceiptInfo]":
        """Return what the latest reloads did."""
        return self._send(calls.plugin_receipts(name))

    def settings(self, name: str) -> dict[str, Any]:
        """Return a plugin's settings and their schema; secrets are masked."""
        return self._send(calls.plugin_settings(name))

    def configure(self, name: str, settings: Mapping[str, object]) -> dict[str, Any]:
        """Change settings of a plugin; those not given stay.

        Raises:
            PluginSettingsError: They do not fit the plugin's schema.
        """
        return self._send(calls.configure_plugin(name, settings))

    def install(self, source: str) -> PluginInfo:
        """Install a plugin from a path that the server can read."""
        return self._send(calls.install_plugin(source))


# Below a method `list`, the name means the method.
_list = list
