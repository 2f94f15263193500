"""Remembers what each remote tool said of itself, so that it cannot say something else unnoticed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import to_json

from iskra_sdk.plugin_context import KeyValueState

_MOST_PINS = 2000
"""Tools of one server that are pinned; one that comes up with ever new names is not remembered for ever."""


@dataclass(frozen=True, slots=True)
class ToolCard:
    """What a server says of a tool."""

    name: str
    description: str
    schema: Mapping[str, object]
    hints: Mapping[str, object]

    @property
    def digest(self) -> str:
        """Changes with anything that a model or a person would see of the tool."""
        said = [self.name, self.description, _sorted(self.schema), _sorted(self.hints)]
        return hashlib.sha256(to_json(said)).hexdigest()


class Pins:
    """The digests of the tools of one server, kept in the plugin's state.

    The first description of a tool is trusted as the admin trusts the server they configured. A later one is not
    offered before somebody has looked at it: a server that was harmless when it was chosen must not be able to slip new
    instructions to a model ("rug pull").
    """

    def __init__(self, state: KeyValueState, server: str) -> None:
        self._state = state
        self._key = f"pins:{server}"
        self._digests: dict[str, str] = {}

    async def load(self) -> None:
        """Read the digests."""
        self._digests = dict(await self._state.get(self._key, {}))

    async def admit(self, cards: list[ToolCard]) -> set[str]:
        """Pin the tools that are new, and return the names of those that have changed, or found no more room."""
        new = {card.name: card.digest for card in cards if card.name not in self._digests}
        for name in list(new)[max(0, _MOST_PINS - len(self._digests)) :]:
            del new[name]
        known = {**self._digests, **new}
        changed = {card.name for card in cards if known.get(card.name) != card.digest}
        if new:
            self._digests |= new
            await self._state.put(self._key, self._digests)
        return changed

    async def accept(self, card: ToolCard) -> None:
        """Take a tool's present description for the right one."""
        self._digests[card.name] = card.digest
        await self._state.put(self._key, self._digests)


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
