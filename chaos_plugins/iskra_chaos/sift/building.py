"""Makes SIFT blocks of a turn and of a document."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.block_id import block_id
from iskra_chaos.sift.drafting import Draft
from iskra_chaos.sift.evidence import EvidenceText, chunks
from iskra_chaos.sift.potential import chaos_potential
from iskra_chaos.sift.reliability import INDEX, UNKNOWN, Credibility, SourceKind, day_in, integrity, kind_of, recency
from iskra_chaos.sift.sensitivity import chaos_sensitivity, sensitive_topics
from iskra_chaos.sift.trace import ProcessingRecord
from iskra_metrics.text import Language, language_of
from iskra_metrics.utterance import Utterance
from iskra_sdk.errors import InputTooLargeError

MOST_CHARACTERS = 1_000_000
"""Characters of a document or an answer that are taken."""

SPAN = 4_000
"""Characters of a document that make one block."""

_EXCERPT = 400


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered during a turn.

    Attributes:
        name: Name of the tool.
        call_id: Id of the call; facts name it as their evidence.
        text: What the tool returned.
        irreversible: The call changed something that cannot be changed back.
    """

    name: str
    call_id: str
    text: str
    irreversible: bool = False


def block_from_turn(
    user_text: str,
    answer_text: str,
    *,
    tool_results: Sequence[ToolResult] = (),
    voice: str = "",
    model: str = "",
    recent: Sequence[Utterance] = (),
    previous: Sequence[SIFTBlock] = (),
    at: datetime | None = None,
    actor: str = "",
) -> SIFTBlock:
    """Make a block of an answer and what it stands on.

    A sentence of the answer that a tool result says is a fact; one that repeats the user is the fact that the user says
    so; one with a connective is a step, linked to facts and earlier steps; the rest is uncertain, with the reason.
    Questions and code claim nothing.

    Args:
        user_text: What was asked.
        answer_text: What was answered; of long ones, the first 400 statements are read.
        tool_results: What tools returned during the turn.
        voice: The voice that answered.
        model: The model that answered.
        recent: The conversation before this turn, for the chaos potential.
        previous: Earlier blocks, for the stability over the last eight of them.
        at: When the turn ended.
        actor: Who builds the block.

    Raises:
        InputTooLargeError: A text is longer than 1,000,000 characters.
    """
    user_text, answer_text = _checked(user_text), _checked(answer_text)
    language = language_of(answer_text or user_text)
    draft = Draft(language, as_of=at.date() if at else None)
    evidence: dict[str, JsonValue] = {}
    for position, result in enumerate(tool_results[:100]):
        key = _key(result.call_id) or f"call_{position}"
        draft.add_source(key, EvidenceText(_checked(result.text[:MOST_CHARACTERS])), INDEX["tool"])
        evidence[key] = _entry("tool", _checked(result.text[:MOST_CHARACTERS]), INDEX["tool"], name=result.name[:200])
    draft.add_claimant("user", EvidenceText(user_text), "Пользователь" if language == "ru" else "The user")
    evidence["user"] = _entry("user", user_text, INDEX["user"])
    draft.read(answer_text)
    supported = draft.supported_share
    credibility = Credibility(
        index=supported * INDEX["tool"] + (1 - supported) * INDEX["model"],
        corroboration=supported,
        recency=1.0,
        integrity=integrity(answer_text, author=model or voice or "assistant", dated=True),
    )
    who = ", ".join(part for part in (model, voice) if part)
    context: dict[str, JsonValue] = {
        "language": language,
        "role": "assistant",
        "model": model[:200],
        "voice": voice[:200],
        "question": user_text[:_EXCERPT],
        "corroboration": round(credibility.corroboration, 4),
        "credibility": _parts(credibility),
        "topics": list(sensitive_topics(user_text + "\n" + answer_text)),
        "evidence": evidence,
    }
    sensitivity = max(
        chaos_sensitivity(user_text, irreversible=any(result.irreversible for result in tool_results)),
        chaos_sensitivity(answer_text) if sensitive_topics(answer_text) else 0.0,
    )
    origin = f"assistant({who})" if who else "assistant"
    turn = (Utterance("user", user_text), Utterance("assistant", answer_text))
    said = (*recent, *turn) if recent else ()  # one turn alone says nothing of repetition
    return _block(draft, origin, credibility, context, sensitivity, said, previous, at, actor)


def blocks_from_document(
    text: str,
    *,
    origin: str,
    author: str = "",
    date: str = "",
    kind: SourceKind | None = None,
    corroboration: float = UNKNOWN,
    as_of: datetime | None = None,
    actor: str = "",
) -> list[SIFTBlock]:
    """Make one block for each span of about 4,000 characters of a document, in its order.

    A document that can be relied on holds facts; one that cannot, or that lacks corroboration, holds the facts that its
    author claims so. ``source.context`` has the span as offsets into ``text``, and the hash of the whole document.

    Args:
        text: The document, at most 1,000,000 characters.
        origin: URI or path.
        author: Who wrote it; unknown where empty.
        date: When it was written, ``2024`` or ``2024-05-17``; unknown where empty.
        kind: What kind of source it is; guessed from ``origin`` where not given.
        corroboration: Share of what it says that other sources say too; .5 where nobody looked.
        as_of: The moment that freshness is measured at; unknown where not given.
        actor: Who builds the blocks.

    Raises:
        InputTooLargeError: The text is longer than that.
    """
    text = _checked(text)
    written = day_in(date)
    kind = kind or kind_of(origin)
    credibility = Credibility(
        index=INDEX[kind],
        corroboration=min(1.0, max(0.0, corroboration)),
        recency=recency(written, as_of.date() if as_of else None),
        integrity=integrity(text, author=author, dated=written is not None),
    )
    document_hash = hashlib.sha256(text.encode()).hexdigest()
    blocks: list[SIFTBlock] = []
    start = 0
    for span in chunks(text, SPAN):
        begin, start = start, start + len(span)
        if not span.strip():
            continue
        language: Language = language_of(span)
        draft = Draft(language, as_of=as_of.date() if as_of else None, written=written)
        draft.quote("document", author.strip()[:200] or origin[:200], credibility)
        draft.read(span)
        context: dict[str, JsonValue] = {
            "language": language,
            "author": author[:200],
            "date": date[:40],
            "kind": kind,
            "span": {"start": begin, "end": start},
            "document_hash": document_hash,
            "corroboration": round(credibility.corroboration, 4),
            "credibility": _parts(credibility),
            "topics": list(sensitive_topics(span)),
            "evidence": {"document": _entry("document", span, credibility.value, name=origin[:200])},
        }
        blocks.append(
            _block(draft, origin, credibility, context, chaos_sensitivity(span), (), blocks[-8:], as_of, actor)
        )
    return blocks


def _block(
    draft: Draft,
    origin: str,
    credibility: Credibility,
    context: dict[str, JsonValue],
    sensitivity: float,
    recent: Sequence[Utterance],
    previous: Sequence[SIFTBlock],
    at: datetime | None,
    actor: str,
) -> SIFTBlock:
    if draft.omitted:
        context["omitted_statements"] = draft.omitted
    content: dict[str, object] = {
        "source": {
            "origin": origin[:2_000],
            "reliability": credibility.value,
            "context": context,
            "chaos_sensitivity": sensitivity,
        },
        "inference": draft.inference(credibility.value),
        "fact": draft.fact(previous),
    }
    bare = SIFTBlock.model_validate({"id": "draft", **content, "trace": {}})
    potential = chaos_potential(bare, recent).value
    inference = bare.inference.model_copy(update={"chaos_potential": potential})
    whole = bare.model_copy(update={"inference": inference})
    made = content_hash(whole)
    record = ProcessingRecord(op="build", actor=actor[:200], at=at.isoformat() if at else "", out_hash=made)
    trace = bare.trace.model_copy(update={"processing_history": [record.model_dump(mode="json")]})
    return whole.model_copy(update={"id": block_id(made, at), "trace": trace})


def _checked(text: str) -> str:
    """Return a text that is not too long, with whole characters only."""
    if len(text) > MOST_CHARACTERS:
        raise InputTooLargeError(f"A text has at most {MOST_CHARACTERS:,} characters here, this one {len(text):,}.")
    return text.encode(errors="replace").decode()


def _entry(kind: str, text: str, reliability: float, *, name: str = "") -> JsonValue:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"kind": kind, "name": name, "reliability": reliability, "sha256": digest, "excerpt": text[:_EXCERPT]}


def _parts(credibility: Credibility) -> dict[str, JsonValue]:
    return {
        "index": round(credibility.index, 4),
        "corroboration": round(credibility.corroboration, 4),
        "recency": round(credibility.recency, 4),
        "integrity": round(credibility.integrity, 4),
    }


def _key(call_id: str) -> str:
    """Return a call id as it can stand in an evidence mark."""
    return "".join(character for character in call_id if character.isalnum() or character in "-_.:")[:100]
