"""The voice that an operation is limited to."""

from iskra_sdk.errors import BadInputError
from iskra_sdk.plugin_context import PluginContext


def voice_target(context: PluginContext, name: str) -> str:
    """Return the name of the voice that somebody calls by any of its names; empty for none.

    Raises:
        BadInputError: There is no such voice: an operation limited to it would never act.
    """
    if not name:
        return ""
    known = {each.casefold(): voice.name for each, voice in context.voices.items()}
    if name.casefold() not in known:
        voices = sorted(set(known.values()))
        raise BadInputError(
            f"There is no voice {name[:40]!r}.",
            mend=f"Pick one of: {', '.join(voices)}." if voices else "Leave it out: no plugin offers voices.",
            facts={"field": "context.voice_target", "voices": voices},
        )
    return known[name.casefold()]
