"""What the client returns: the server's objects, frozen. Fields this version does not know are kept as extras."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from iskra_sdk.approval import ApprovalState
from iskra_sdk.session_store import UNFINISHED, TurnState


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class SessionInfo(_Model):
    """A session."""

    id: str
    title: str = ""
    agent: str = "iskra"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict)


class TurnInfo(_Model):
    """A turn."""

    id: str
    session_id: str
    state: TurnState
    number: int = 0
    model: str = ""
    agent: str = ""
    first_seq: int = 0
    """The turn's events have higher numbers than this one."""
    input: Mapping[str, Any] = Field(default_factory=dict)
    """The user's message in OpenAI's chat shape."""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    error: Mapping[str, Any] | None = None
    """``code``, ``message`` and ``mend`` of a failed turn."""
    usage: Mapping[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the turn is completed, failed or cancelled."""
        return self.state not in UNFINISHED


class MessageInfo(_Model):
    """A message of a session."""

    id: str
    position: int = 0
    message: Mapping[str, Any] = Field(default_factory=dict)
    """In OpenAI's chat shape."""
    turn_id: str | None = None
    agent: str = ""
    created_at: datetime | None = None


class ContextInfo(_Model):
    """What a session's agent would see with the next message."""

    session_id: str
    agent: str = ""
    prompt: str = ""
    tools: list[str] = Field(default_factory=list)
    contexts: Mapping[str, Any] = Field(default_factory=dict)
    """Agent → ``{"version": …, "value": …}``."""
    strategy: str = ""
    budget_tokens: int = 0
    left_out: int = 0
    """Messages that the model would not get."""
    messages: list[Mapping[str, Any]] = Field(default_factory=list)


class StepInfo(_Model):
    """An entry of a turn's journal."""

    index: int
    kind: str = ""
    state: str = ""
    name: str = ""
    effect_id: str | None = None
    data: Mapping[str, Any] = Field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None


class DifferenceInfo(_Model):
    """Where an agent takes another step than it took; an empty text is no step."""

    index: int
    recorded: str = ""
    now: str = ""


class ReplayInfo(_Model):
    """What came of running a finished turn again."""

    turn_id: str
    steps: int = 0
    """Recorded steps that were taken again as they were."""
    of: int = 0
    difference: DifferenceInfo | None = None


class ApprovalInfo(_Model):
    """A tool call that waits, or waited, for a person."""

    id: str
    state: ApprovalState = ApprovalState.OPEN
    code: str = ""
    """Four characters that decide it in a chat client."""
    tool: str = ""
    arguments: str = "{}"
    """Canonical JSON text: exactly what is approved."""
    preview: str = ""
    risk: str = ""
    reason: str = ""
    offers_rule: bool = False
    """Whether the decision may hold for calls like this one too (``remember``)."""
    agent: str = ""
    session_id: str = ""
    turn_id: str = ""
    tool_call_id: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    decided_by: str = ""
    remark: str = ""


class QuestionInfo(_Model):
    """A question the agent asks in the middle of a turn."""

    question: str
    options: Sequence[str] = ()
    session_id: str = ""
    turn_id: str = ""


class ModelInfo(_Model):
    """Something that answers: an agent, a voice or a router alias."""

    id: str
    owned_by: str = ""
    created: int = 0


class AgentInfo(_Model):
    """An agent."""

    name: str
    description: str = ""


class ToolInfo(_Model):
    """A tool."""

    name: str
    description: str = ""
    risk: str = ""


class PluginInfo(_Model):
    """A plugin as the running server sees it."""

    name: str
    version: str = ""
    state: str = ""
    """``running``, ``disabled``, ``failed``, ``unavailable`` or ``quarantined``."""
    description: str = ""
    source: str = ""
    generation: int | None = None
    """The one that runs, or ``None``."""
    error: Mapping[str, Any] | None = None
    """``code``, ``message`` and ``mend``: why it does not run, or why its newest code is not what runs."""


class ReceiptInfo(_Model):
    """What a reload, disabling or removal did; the fields beside the verdict are kept as extras."""

    plugin: str = ""
    verdict: str = ""


class ProviderInfo(_Model):
    """A source of model answers and whether it works now."""

    name: str
    plugin: str = ""
    ok: bool = True
    text: str = ""
    mend: str = ""


class HealthInfo(_Model):
    """Whether the server lives, or is ready."""

    status: str = ""


def id_of(thing: str | SessionInfo | TurnInfo | ApprovalInfo) -> str:
    """Return the id of something that may be given as its id already."""
    return thing if isinstance(thing, str) else thing.id
