"""The structured contexts of a session's agents while a turn runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from iskra.plugin_host.catalog import Owned
from iskra_sdk.agent import Agent
from iskra_sdk.message import ToolCall, ToolResult

logger = logging.getLogger(__name__)

VERSION, VALUE = "version", "value"


class AgentContexts:
    """Loads contexts, lets agents note what tool calls came to, and tells what changed.

    A stored context is ``{"version": 3, "value": {…}}``; each turn that changes it counts the version up. What is
    loaded is not written back before the turn ends, so a turn that runs again after a crash notes everything once.

    Args:
        stored: The contexts as the session holds them, by agent.
        record_failure: Told when an agent's own code raises.
    """

    def __init__(self, stored: Mapping[str, object], record_failure: Callable[[str, BaseException], None]) -> None:
        self._stored = dict(stored)
        self._record_failure = record_failure
        self._taking_part: dict[str, tuple[Owned[Agent], BaseModel | None]] = {}

    def enter(self, owned: Owned[Agent]) -> BaseModel | None:
        """Let an agent take part in the turn, and return its context."""
        agent = owned.value
        if agent.name not in self._taking_part:
            self._taking_part[agent.name] = (owned, self._load(agent))
        return self._taking_part[agent.name][1]

    def _load(self, agent: Agent) -> BaseModel | None:
        if agent.context_model is None:
            return None
        try:
            return agent.context_model.model_validate(self._entry(agent.name)[VALUE])
        except ValidationError:
            return agent.context_model()  # written by another version of the agent

    def _entry(self, name: str) -> Mapping[str, Any]:
        entry = self._stored.get(name)
        return entry if isinstance(entry, Mapping) and VERSION in entry else {VERSION: 0, VALUE: {}}

    def observe(self, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
        """Let every agent that takes part in the turn note what tool calls came to."""
        for owned, context in self._taking_part.values():
            if context is None:
                continue
            for call, result in zip(calls, results, strict=True):
                try:
                    owned.value.observe(context, call, result)
                except Exception as exc:
                    self._record_failure(owned.plugin, exc)
                    logger.warning("agent could not note a tool call", extra={"agent": owned.value.name}, exc_info=exc)

    def changed(self) -> Mapping[str, object] | None:
        """Return all contexts as they should be stored, ``None`` if nothing changed since the last call."""
        has_changed = False
        for name, (_, context) in self._taking_part.items():
            if context is None:
                continue
            value = context.model_dump(mode="json")
            entry = self._entry(name)
            before = entry[VALUE] if entry[VERSION] else type(context)().model_dump(mode="json")
            if value != before:
                self._stored[name] = {VERSION: entry[VERSION] + 1, VALUE: value}
                has_changed = True
        return dict(self._stored) if has_changed else None

    @property
    def stored(self) -> Mapping[str, object]:
        """The contexts as they stand in the session."""
        return self._stored
