"""Remembers for a while which models a provider offers."""

import asyncio
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from iskra.llm.pump import foreign_error
from iskra_sdk.clock import Clock
from iskra_sdk.errors import LLMError, ProviderRejectedError, ProviderTimeoutError
from iskra_sdk.llm import LLMProvider

_FRESH = 300.0
"""Seconds a list of models is used without asking again."""
_FRESH_FAILURE = 10.0
"""Seconds a provider that could not be asked is taken to have no models, where that is good enough."""
_TIMEOUT = 5.0


class ModelListing:
    """Lists of models, kept as long as the providers themselves live."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lists: WeakKeyDictionary[LLMProvider, tuple[float, Sequence[str]]] = WeakKeyDictionary()
        self._failed: WeakKeyDictionary[LLMProvider, float] = WeakKeyDictionary()

    async def names(self, provider: LLMProvider) -> Sequence[str]:
        """Return the models a provider offers.

        Raises:
            LLMError: It cannot be asked now.
        """
        expires, names = self._lists.get(provider, (0.0, ()))
        if names and self._clock.monotonic() < expires:
            return names
        try:
            async with asyncio.timeout(_TIMEOUT):
                names = tuple(await provider.models())
        except TimeoutError as exc:
            raise ProviderTimeoutError(
                f"{provider.name} did not list its models within {_TIMEOUT:g} s.",
                phase="total",
                mend="Look at the upstream's load and logs, or name the model in the settings instead of `*`.",
            ) from exc
        except LLMError:
            raise
        except (Exception, SystemExit) as exc:
            raise foreign_error(provider.name, exc) from exc
        self._lists[provider] = (self._clock.monotonic() + _FRESH, names)
        return names

    async def names_or_none(self, provider: LLMProvider) -> Sequence[str]:
        """Return the models, or nothing where the provider cannot be asked."""
        if self._clock.monotonic() < self._failed.get(provider, 0.0):
            return ()
        try:
            return await self.names(provider)
        except LLMError:
            self._failed[provider] = self._clock.monotonic() + _FRESH_FAILURE
            return ()

    async def first(self, provider: LLMProvider) -> str:
        """Return the first model a provider lists: what ``*`` stands for.

        Raises:
            LLMError: It cannot be asked now, or lists none.
        """
        names = await self.names(provider)
        if not names:
            raise ProviderRejectedError(
                f"{provider.name} lists no models, so `*` stands for nothing.",
                upstream_status=200,
                mend="Load a model there, or name one in the settings (`model`, or the alias's targets).",
            )
        return names[0]

    def forget(self, provider: LLMProvider) -> None:
        """Ask again next time; the upstream refused a model from the list."""
        self._lists.pop(provider, None)
