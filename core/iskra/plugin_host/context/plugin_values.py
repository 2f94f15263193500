"""The durable key-value state of one plugin."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from iskra_sdk.errors import BadInputError
from iskra_sdk.session_store import (
    PutPluginValue,
    SessionStore,
)

_LONGEST_KEY = 200


class PluginValues:
    """A plugin's key-value state in the store; see ``iskra_sdk.KeyValueState``."""

    def __init__(self, name: str, store: SessionStore) -> None:
        self._name = name
        self._store = store

    async def get(self, key: str, default: object = None) -> Any:
        value = await self._store.plugin_value(self._name, self._checked(key))
        return default if value is None else value

    async def put(self, key: str, value: object) -> None:
        try:
            encoded = to_jsonable_python(value)
        except PydanticSerializationError as exc:
            raise BadInputError(f"The value for {key!r} of the plugin {self._name!r} has no JSON form: {exc}.") from exc
        await self._store.apply([PutPluginValue(self._name, self._checked(key), encoded)])

    async def keys(self, prefix: str = "") -> Sequence[str]:
        return await self._store.plugin_keys(self._name, prefix)

    def _checked(self, key: str) -> str:
        if not 0 < len(key) <= _LONGEST_KEY or "\0" in key:
            raise BadInputError(
                f"The plugin {self._name!r} used a key that is no text of 1 to {_LONGEST_KEY} characters."
            )
        return key
