"""What the asynchronous client can do with each kind of thing: sessions, turns, approvals, questions, plugins."""

from collections.abc import Mapping
from typing import Any

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client import calls
from iskra_sdk.client.async_transport import AsyncTransport
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
from iskra_sdk.ids import new_id


class _AsyncResource:
    def __init__(self, transport: AsyncTransport) -> None:
        self._send = transport.send


class AsyncSessions(_AsyncResource):
    """Sessions of the principal."""

    async def create(
        self, title: str = "", *, agent: str | None = None, metadata: Mapping[str, object] | None = None
    ) -> SessionInfo:
        """Make a session; ``agent`` is the model id its turns use by default."""
        return await self._send(calls.create_session(title, agent, metadata))

    async def list(self, *, limit: int = 50, before: str | None = None) -> list[SessionInfo]:
        """Return sessions, newest first, after the one with the id ``before``."""
        return await self._send(calls.list_sessions(limit, before))

    async def get(self, session: str | SessionInfo) -> SessionInfo:
        """Return a session."""
        return await self._send(calls.get_session(id_of(session)))

    async def delete(self, session: str | SessionInfo) -> None:
        """Remove a session with everything in it."""
        await self._send(calls.delete_session(id_of(session)))

    async def messages(self, session: str | SessionInfo, *, after: int = 0, limit: int = 1000) -> "_list[MessageInfo]":
        """Return messages with a position above ``after``, oldest first."""
        return await self._send(calls.list_messages(id_of(session), after, limit))

    async def context(self, session: str | SessionInfo) -> ContextInfo:
        """Return what the session's agent would see with the next message."""
        return await self._send(calls.show_context(id_of(session)))


class AsyncTurnsAPI(_AsyncResource):
    """Turns."""

    async def replay(self, turn: str | TurnInfo) -> ReplayInfo:
        """Run a finished turn's agent again on recorded answers and results, without effects, and compare the steps.

        Raises:
            TurnNotFoundError: There is no such turn.
            ConflictError: It is not finished.
        """
        return await self._send(calls.replay_turn(id_of(turn)))

    async def steps(self, turn: str | TurnInfo) -> "_list[StepInfo]":
        """Return a turn's journal: model calls, tool calls, questions, handoffs."""
        return await self._send(calls.list_steps(id_of(turn)))

    async def start(
        self,
        session: str | SessionInfo,
        text: str,
        model: str | None = None,
        *,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> TurnInfo:
        """Send a message without following its turn; when it returns, the server has committed it."""
        return await self._send(
            calls.start_turn(id_of(session), text, model, options, idempotency_key or new_id("key"))
        )

    async def list(self, session: str | SessionInfo, *, limit: int = 100, before: int | None = None) -> list[TurnInfo]:
        """Return up to 200 turns of a session, newest first, those with a number below ``before``."""
        return await self._send(calls.list_turns(id_of(session), limit, before))

    async def get(self, turn: str | TurnInfo) -> TurnInfo:
        """Return a turn."""
        return await self._send(calls.get_turn(id_of(turn)))

    async def cancel(self, turn: str | TurnInfo, reason: str = "") -> TurnInfo:
        """Cancel a turn; one that has finished stays as it is."""
        return await self._send(calls.cancel_turn(id_of(turn), reason))


class AsyncApprovalsAPI(_AsyncResource):
    """Approval requests."""

    async def list(self, *, state: ApprovalState | None = ApprovalState.OPEN, limit: int = 100) -> list[ApprovalInfo]:
        """Return requests, newest first; ``state=None`` for all."""
        return await self._send(calls.list_approvals(state, limit))

    async def get(self, approval: str | ApprovalInfo) -> ApprovalInfo:
        """Return a request."""
        return await self._send(calls.get_approval(id_of(approval)))

    async def approve(self, approval: str | ApprovalInfo, remark: str = "", *, remember: bool = False) -> ApprovalInfo:
        """Let the call run as it is shown; ``remember`` accepts the rule that was offered with the request.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return await self._send(calls.decide_approval(id_of(approval), approve=True, remark=remark, remember=remember))

    async def deny(self, approval: str | ApprovalInfo, remark: str = "") -> ApprovalInfo:
        """Refuse the call; the remark is told to the model.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return await self._send(calls.decide_approval(id_of(approval), approve=False, remark=remark))

    async def edit(
        self, approval: str | ApprovalInfo, arguments: Mapping[str, object], remark: str = ""
    ) -> ApprovalInfo:
        """Let the call run with other arguments.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
            ToolArgumentsError: The arguments do not fit the tool's schema.
        """
        return await self._send(
            calls.decide_approval(id_of(approval), approve=True, remark=remark, arguments=arguments)
        )


class AsyncQuestions(_AsyncResource):
    """Questions that agents ask in the middle of a turn."""

    async def answer(self, session: str | SessionInfo, text: str) -> TurnInfo:
        """Answer the open question of a session, by an option's number or text, or freely where there are none.

        Raises:
            ConflictError: No question is open.
        """
        return await self._send(calls.answer_question(id_of(session), text))


class AsyncPlugins(_AsyncResource):
    """Plugins of the server; needs the permission ``admin:plugins``."""

    async def list(self) -> list[PluginInfo]:
        """Return all plugins, also those that do not run."""
        return await self._send(calls.list_plugins())

    async def get(self, name: str) -> PluginInfo:
        """Return a plugin's state."""
        return await self._send(calls.get_plugin(name))

    async def enable(self, name: str) -> PluginInfo:
        """Switch a plugin on, for good; also lifts a quarantine."""
        return await self._send(calls.enable_plugin(name))

    async def disable(self, name: str) -> PluginInfo:
        """Switch a plugin off, for good; running turns finish on it."""
        return await self._send(calls.disable_plugin(name))

    async def set_log_level(self, name: str, level: str) -> dict[str, Any]:
        """Set what a plugin logs until it is loaded again: ``debug``, ``info``, ``warning``, ``error``, ``default``."""
        return await self._send(calls.set_log_level(name, level))

    async def reload(self, name: str) -> ReceiptInfo:
        """Load a plugin's code again and return the receipt; if the new code fails, the old one stays.

        Raises:
            PluginError: The new code cannot be used.
        """
        return await self._send(calls.reload_plugin(name))

    async def receipts(self, name: str) -> "_list[ReceiptInfo]":
        """Return what the latest reloads did."""
        return await self._send(calls.plugin_receipts(name))

    async def settings(self, name: str) -> dict[str, Any]:
        """Return a plugin's settings and their schema; secrets are masked."""
        return await self._send(calls.plugin_settings(name))

    async def configure(self, name: str, settings: Mapping[str, object]) -> dict[str, Any]:
        """Change settings of a plugin; those not given stay.

        Raises:
            PluginSettingsError: They do not fit the plugin's schema.
        """
        return await self._send(calls.configure_plugin(name, settings))

    async def install(self, source: str) -> PluginInfo:
        """Install a plugin from a path that the server can read."""
        return await self._send(calls.install_plugin(source))


# Below a method `list`, the name means the method.
_list = list
