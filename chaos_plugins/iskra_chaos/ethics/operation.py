"""What is asked to be done, with every fact that an ethics review looks at."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

OperationType = Literal[
    "micro_disturbance",
    "pattern_break",
    "paradox_generation",
    "fire_reset",
    "quantum_flux",
    "emergent_stimulation",
]
Form = Literal["creative", "resilience"]
Environment = Literal["production", "staging", "test"]
InjectionType = Literal[
    "paradox_seeds",
    "perspective_shifts",
    "contradiction_points",
    "uncertainty_zones",
    "emergence_triggers",
]

# Bounds of what a review has to read.
_LONGEST_REQUEST = 4_000
_LONGEST_TEXT = 2_000
LONGEST_CARD = 10_000
_LONGEST_GOAL = 20_000
_LONGEST_INSERTION = 2_000
_MOST_INSERTIONS = 1_000
_MOST_ITEMS = 100
MOST_SAID = 8
"""Latest messages of the person that the rules read."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]
Items = Annotated[tuple[Text, ...], Field(max_length=_MOST_ITEMS)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)


class SessionFacts(_Facts):
    """What the server itself knows of the session: no request sets these, and no modification changes them.

    Attributes:
        opt_in: Creative form: the user asked for perturbations here. Resilience form: the tenant takes part.
        stopped: The user said "stop" or "keep it", and has not taken it back.
        goal: What the conversation is for.
        request: The user's own words that led to the operation, at most 4,000 characters; what they paste is no part
            of it.
        said: What the user wrote before, newest last; rules that care for people read it too.
        readings: Conversation metrics by name, each in [0, 1]. A missing ``staleness`` counts as 0.
        is_minor: The credential of who asks carries the claim ``minor``.
        sensitive_topics: What the latest messages are about, of ``medical``, ``legal``, ``finance`` and ``safety``.
        is_sandbox: No person reads this session and nothing of it is kept.
        turns_since_operation: Turns since the last creative operation ended; ``None`` if there was none.
        turns_since_reset: The same for the last ``fire_reset``.
    """

    id: str = Field(default="", max_length=200)
    opt_in: bool = False
    stopped: bool = False
    goal: str = Field(default="", max_length=_LONGEST_GOAL)
    request: str = Field(default="", max_length=_LONGEST_REQUEST)
    said: Annotated[tuple[Text, ...], Field(max_length=MOST_SAID)] = ()
    readings: Mapping[str, Share] = Field(default_factory=dict)
    in_crisis: bool = False
    is_minor: bool = False
    sensitive_topics: Items = ()
    is_sandbox: bool = False
    environment: Environment = "production"
    turns_since_operation: int | None = Field(default=None, ge=0)
    turns_since_reset: int | None = Field(default=None, ge=0)


class Insertion(_Facts):
    """A statement that the operation puts into the conversation or a block.

    Attributes:
        tag: ``FACT`` is shown as true, ``HYP`` as a hypothesis, ``CANARY`` is a planted falsehood.
        confidence: The Ω it is given, in [0, 1].
    """

    text: str = Field(max_length=_LONGEST_INSERTION)
    tag: Literal["FACT", "HYP", "CANARY"] = "HYP"
    confidence: Share = 0.5


class Operation(_Facts):
    """An operation before it is cleared.

    It has no field for an approval sent by a client, and refuses unknown fields: such a claim cannot even be passed on.

    Attributes:
        initiator: Id of who asks.
        approver: Id of who approved, where somebody did.
        sandboxed: Runs on a copy that is thrown away instead of the live session.
        disclosed: The user is told what is done.
        prompt_card: The instruction added for the model: from the server's deck, or one of its templates with words of
            the conversation in it. No request carries one of its own; the words in it are read like any others.
        journal_note: Text that goes to the journal and the trace.
        insertions: Statements it adds.
        hypotheses_labelled: Whatever it generates is marked as a hypothesis.
        base_answer_first: The unperturbed answer is shown before the perturbed one.
        write_tools_enabled: The server offers tools with side effects.
        share: Part of the eligible sessions it touches, in [0, 1]; 0 for just this one.
        delay_turns: Turns it waits before it starts.
        touches: JSON pointers of what it will edit.
        memory: Whose memories besides this session's own it reads.
        verified_facts: Statements known to be true.
        revision: 1 once it was modified after a review; see :func:`~iskra_chaos.ethics.review.audit`.
    """

    operation_type: OperationType
    form: Form
    intensity: float = Field(ge=0.1, le=1.0)
    session: SessionFacts = SessionFacts()
    initiator: str = Field(min_length=1, max_length=200)
    approver: str | None = Field(default=None, max_length=200)
    sandboxed: bool = False
    disclosed: bool = False
    prompt_card: str = Field(default="", max_length=LONGEST_CARD)
    journal_note: str = Field(default="", max_length=_LONGEST_TEXT)
    injection_type: InjectionType | None = None
    insertions: tuple[Insertion, ...] = Field(default=(), max_length=_MOST_INSERTIONS)
    hypotheses_labelled: bool = False
    base_answer_first: bool = False
    write_tools_enabled: bool = False
    share: Share = 0.0
    delay_turns: int = Field(default=0, ge=0, le=1_000)
    touches: Items = ()
    memory: Literal["none", "same_user", "other_user"] = "none"
    verified_facts: Items = ()
    revision: Literal[0, 1] = 0


def operation_hash(operation: Operation) -> str:
    """Return the SHA-256 of the operation's canonical JSON: keys sorted, no spaces, UTF-8.

    Two operations have one hash exactly when all their facts are equal.
    """
    return sha256(canonical_json(operation.model_dump(mode="json"))).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON without spaces whose objects have sorted keys."""
    return to_json(_sorted(value))


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
