"""What an event must be like that a plugin tells in a session's log."""

import re
from collections.abc import Mapping
from datetime import datetime

from pydantic_core import PydanticSerializationError, from_json, to_json

from iskra_sdk.errors import BadInputError, InputTooLargeError, PermissionDeniedError
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import SessionId, TurnId

LARGEST_DATA = 16_384
"""Bytes of JSON that ``data`` may have: each reader of a log gets every event whole, as long as the session exists."""
LONGEST_TYPE = 100  # characters

_KERNEL_TYPES = frozenset(map(str, EventType))
_TYPE = re.compile(r"\w+(\.\w+)+", re.ASCII)
_INTEGERS = range(-(2**63), 2**64)
"""Integers that every wire and database takes."""


def told_event(
    plugin: str,
    event_type: str,
    data: Mapping[str, object],
    *,
    session_id: SessionId,
    turn_id: TurnId | None,
    severity: Severity,
    at: datetime,
) -> Event:
    """Return an event in a plugin's name, its data as they come back from JSON, so that all readers get the same.

    Raises:
        PermissionDeniedError: The type does not begin with the plugin's name, or is one of the kernel's.
        InputTooLargeError: The data take more than ``LARGEST_DATA`` bytes.
        BadInputError: The type is no name, or the data have no JSON form.
    """
    facts = {"plugin": plugin, "event_type": event_type[:LONGEST_TYPE]}
    if not event_type.startswith(f"{plugin}.") or event_type in _KERNEL_TYPES:
        raise PermissionDeniedError(
            f"The plugin {plugin!r} may not tell events of the type {event_type[:LONGEST_TYPE]!r}.",
            mend=f"Begin its own types with `{plugin}.`.",
            facts=facts,
        )
    if len(event_type) > LONGEST_TYPE or _TYPE.fullmatch(event_type) is None:
        raise BadInputError(
            f"{event_type[:LONGEST_TYPE]!r} is no type of an event.",
            mend=f"Use up to {LONGEST_TYPE} letters, digits, underscores and dots, such as `{plugin}.updated`.",
            facts=facts,
        )
    return Event(
        event_type,
        _as_json(plugin, event_type, data),
        session_id=session_id,
        turn_id=turn_id,
        at=at,
        source=plugin,
        severity=Severity(severity),
    )


def _as_json(plugin: str, event_type: str, data: Mapping[str, object]) -> dict[str, object]:
    name = f"The data of {event_type!r} of the plugin {plugin!r}"
    try:
        encoded = to_json(data, inf_nan_mode="null")
        if len(encoded) > LARGEST_DATA:
            raise InputTooLargeError(
                f"{name} take {len(encoded)} bytes; {LARGEST_DATA} are allowed.",
                mend="Keep the rest in `context.state`, and tell where it is.",
                facts={"plugin": plugin, "event_type": event_type, "bytes": len(encoded)},
            )
        decoded = from_json(encoded)
    except (PydanticSerializationError, ValueError) as exc:
        raise BadInputError(
            f"{name} have no JSON form: {exc}.", mend="Use texts, numbers, lists and mappings with texts as keys."
        ) from exc
    if not isinstance(decoded, dict):
        raise BadInputError(f"{name} are no mapping.", mend="Give a dict with texts as keys.")
    if not _fits(decoded):
        raise BadInputError(f"{name} hold an integer over 64 bits.", mend="Write it as a text.")
    return decoded


def _fits(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, int) or value in _INTEGERS
