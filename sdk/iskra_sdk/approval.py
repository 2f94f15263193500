"""Approvals: rules as data, requests as rows, decisions bound to a hash."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from pydantic_core import to_json

from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.principal import Principal
from iskra_sdk.tool import Risk


class Verdict(StrEnum):
    """What a rule says about a call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class TimeoutAction(StrEnum):
    """What happens to a request nobody decided in time."""

    REJECT = "reject"
    APPROVE = "approve"
    KEEP = "keep"


class ApprovalState(StrEnum):
    """Where a request stands; everything but ``open`` is final."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A rule about tool calls. An empty condition matches everything; all conditions must match.

    Attributes:
        name: For people and the audit log.
        verdict: What to do with a matching call.
        tools: Globs of tool names.
        risks: Risks.
        agents: Globs of agent names.
        principals: Globs of user ids.
        plugins: Globs of the names of the plugins that own the tool.
        arguments: Argument name to a glob its text must match, e.g. ``{"path": "docs/*"}``. A glob is no
            path check: ``*`` also matches ``/``. A missing argument does not match, and an *allow* rule never
            matches a value with the path segment ``..``.
        timeout: Seconds a request stays open; ``None`` for the setting's default.
        on_timeout: What happens then; ``None`` for the setting's default (reject).
        reason: Shown to whoever is asked or refused.
        even_untrusted: Of an *allow* rule: also for arguments that stem from what tools returned. Without it such a
            call asks, for nobody knows who wrote that text.
    """

    name: str
    verdict: Verdict
    tools: Sequence[str] = ()
    risks: Sequence[Risk] = ()
    agents: Sequence[str] = ()
    principals: Sequence[str] = ()
    plugins: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    on_timeout: TimeoutAction | None = None
    reason: str = ""
    even_untrusted: bool = False

    def matches(self, call: "CallFacts") -> bool:
        """Return whether all conditions hold for a call."""
        return (
            _fits(self.tools, call.tool)
            and (not self.risks or call.risk in self.risks)
            and _fits(self.agents, call.agent)
            and _fits(self.principals, call.principal_id)
            and _fits(self.plugins, call.plugin)
            and all(
                name in call.arguments and self._argument_fits(str(call.arguments[name]), glob)
                for name, glob in self.arguments.items()
            )
        )

    def _argument_fits(self, value: str, glob: str) -> bool:
        """Match one argument; what an *allow* rule matches must not lead elsewhere by ``..``."""
        if self.verdict is Verdict.ALLOW and _CLIMBS.search(value):
            return False
        return fnmatchcase(value, glob)


_CLIMBS = re.compile(r"(?:^|[\\/])\.\.(?:[\\/]|$)")


def _fits(globs: Sequence[str], value: str) -> bool:
    return not globs or any(fnmatchcase(value, glob) for glob in globs)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What rules may know about a tool call.

    Attributes:
        language: Of the message that the turn answers; an advisor's reason is read by who wrote it.
    """

    tool: str
    risk: Risk
    arguments: Mapping[str, Any]
    agent: str
    principal_id: str
    plugin: str
    language: Literal["en", "ru"] = "en"


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict on one call and where it comes from.

    Attributes:
        rule: The rule's name, with whose it is, e.g. ``settings:docs``.
        arguments: What the rule itself says of the arguments, as globs.
        even_untrusted: See :class:`ApprovalRule`.
    """

    verdict: Verdict
    rule: str
    reason: str = ""
    timeout: float = 3600.0
    on_timeout: TimeoutAction = TimeoutAction.REJECT
    arguments: Sequence[str] = ()
    even_untrusted: bool = False


_OFFER = "?"  # ends the rule's name of a request with which a rule is offered


@dataclass(frozen=True, slots=True)
class Advice:
    """What an advisor says about a call that no rule decided.

    Attributes:
        verdict: *allow* runs it, *deny* refuses it, *ask* only adds to what the person is asked.
        rule: Names what the advice follows from, for the person and the audit log.
        reason: Why, in a sentence; shown to whoever is asked or refused, and kept in the audit log.
        offers_rule: The person may decide for calls like this one too: "always".
    """

    verdict: Verdict
    rule: str
    reason: str = ""
    offers_rule: bool = False

    def ruling_name(self, plugin: str) -> str:
        """Return the name of the rule that requests and the audit log show."""
        return f"{plugin}:{self.rule}{_OFFER if self.offers_rule else ''}"


class ApprovalAdvisor(ABC):
    """Knows more than rules do, for instance what the user decided before.

    It is heard only where no rule decided and the default is to ask. What it allows is checked like a rule's *allow*: a
    call whose arguments stem from what tools returned asks all the same.
    """

    @abstractmethod
    def advise(self, call: CallFacts) -> Advice | None:
        """Return what it has to say about a call; called for each one, so it must be quick."""


def canonical_arguments(arguments: Mapping[str, object]) -> str:
    """Return the arguments as JSON with sorted keys: the exact text a person approves."""
    return to_json(_sorted(arguments)).decode()


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def call_hash(tool: str, arguments: str, fingerprint: str = "") -> str:
    """Return the SHA-256 (hex) that binds a decision to a tool, its canonical arguments and the outside state."""
    return hashlib.sha256("\0".join((tool, arguments, fingerprint)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A tool call that waits, or waited, for a person.

    Attributes:
        arguments: Canonical JSON text of the arguments.
        hash: See :func:`call_hash`; a decision counts only for this.
        preview: The call as shown to the person.
        code: Four characters that decide it in any chat client, unique among the principal's open requests.
        expires_at: When the timeout action applies; ``None`` for never.
        state: Where it stands.
        decided_by: Who decided, ``timeout`` or ``rule:<name>``.
        remark: What the person said with the decision; told to the model.
    """

    id: ApprovalId
    session_id: SessionId
    turn_id: TurnId
    tool_call_id: str
    principal_id: str
    agent: str
    tool: str
    plugin: str
    risk: Risk
    arguments: str
    hash: str
    preview: str
    code: str
    rule: str
    created_at: datetime
    expires_at: datetime | None = None
    on_timeout: TimeoutAction = TimeoutAction.REJECT
    reason: str = ""
    state: ApprovalState = ApprovalState.OPEN
    decided_by: str = ""
    decided_at: datetime | None = None
    remark: str = ""

    @property
    def offers_rule(self) -> bool:
        """Whether the person may decide for calls like this one too."""
        return self.rule.endswith(_OFFER)


class Approvals(Protocol):
    """Approval requests as plugins and routes see them."""

    async def list(
        self, principal: Principal, *, state: ApprovalState | None = ApprovalState.OPEN, limit: int = 100
    ) -> Sequence[ApprovalRequest]:
        """Return the principal's requests, newest first; an admin sees everybody's."""

    async def get(self, principal: Principal, approval_id: ApprovalId) -> ApprovalRequest:
        """Return a request.

        Raises:
            ApprovalNotFoundError: No such request for this principal.
        """

    async def decide(
        self,
        principal: Principal,
        approval_id: ApprovalId,
        *,
        approve: bool,
        remark: str = "",
        arguments: Mapping[str, object] | None = None,
        remember: bool = False,
    ) -> ApprovalRequest:
        """Approve or deny a request, once.

        Args:
            principal: Who decides.
            approval_id: The request.
            approve: Yes or no.
            remark: Told to the model.
            arguments: Approve the call with these arguments instead; they are checked against the tool's schema
                and get a hash of their own.
            remember: Accept the rule that was offered with the request.

        Raises:
            ApprovalNotFoundError: No such request for this principal.
            ApprovalClosedError: It was decided, expired or cancelled before.
            ToolArgumentsError: The edited arguments do not fit.
        """
