"""Finds the session behind a stateless chat request, which brings its whole history each time.

The history's visible texts are digested; after each answer the digest of the history so far is kept with the session.
A request whose history is known, up to the newest turn, goes on in that session. An edited or regenerated message has a
history that ends earlier or is unknown, so it begins a new session with that history.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from iskra_sdk.errors import SessionNotFoundError
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import PutTranscript, SessionStore, message_position

# What clients put around thinking that we sent as `reasoning_content`.
_REASONING = re.compile(r'<details type="reasoning".*?</details>|<think(?:ing)?>.*?</think(?:ing)?>', re.DOTALL)
_VISIBLE = ("user", "assistant")
_LAST_INDEX = 0xFFFF


class Transcript:
    """A digest that grows with each visible message."""

    __slots__ = ("_state", "count")

    def __init__(self, principal_id: str, model: str) -> None:
        self._state = hashlib.sha256(f"iskra transcript 1\0{principal_id}\0{model}".encode())
        self.count = 0

    @classmethod
    def of(cls, principal_id: str, model: str, messages: Sequence[Mapping[str, Any]]) -> "Transcript":
        """Return the transcript of a history in OpenAI's shape."""
        transcript = cls(principal_id, model)
        for message in messages:
            if message.get("role") in _VISIBLE:
                transcript.add(message["role"], text_of(message))
        return transcript

    def add(self, role: str, text: str) -> None:
        """Take in the next message; white space and visible thinking make no difference."""
        normal = " ".join(_REASONING.sub(" ", text).split())
        if not normal:
            return
        encoded = normal.encode(errors="replace")
        self._state.update(b"\0%b\0%d\0" % (role.encode(), len(encoded)))
        self._state.update(encoded)
        self.count += 1

    @property
    def digest(self) -> str:
        """The digest so far."""
        return self._state.hexdigest()


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message in OpenAI's shape."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (
        part.get("text")
        for part in content
        if isinstance(part, dict) and part.get("type") in ("text", "input_text", "output_text")
    )
    return "".join(text for text in texts if isinstance(text, str))


async def find_session(store: SessionStore, principal: Principal, transcript: Transcript) -> SessionId | None:
    """Return the session that stands exactly where this transcript ends."""
    if not transcript.count:
        return None
    found = await store.transcript(transcript.digest)
    if found is None:
        return None
    session_id, position = found
    try:
        newest = await store.turns(principal, session_id, limit=1)
    except SessionNotFoundError:
        return None  # it was deleted
    if newest and newest[0].number != position >> 16:
        return None  # the session went on from there: this is a branch
    return session_id


async def remember(store: SessionStore, transcript: Transcript, session_id: SessionId, turn_number: int) -> None:
    """Keep that the session stands where this transcript ends."""
    await store.apply([PutTranscript(transcript.digest, session_id, message_position(turn_number, _LAST_INDEX))])
