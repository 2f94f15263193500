"""The LLM router: from an alias to the first target that answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from iskra.interceptors import Points, intercepted_stream
from iskra.llm.circuit_breaker import CircuitBreaker, CircuitState, CircuitStatus
from iskra.llm.deadlines import Deadlines
from iskra.llm.model_listing import ModelListing
from iskra.llm.pump import Pump, foreign_error
from iskra.llm.retry_budget import RetryBudget
from iskra.settings import AliasSettings, LLMSettings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    AllTargetsFailedError,
    CircuitOpenError,
    LLMError,
    ProviderProtocolError,
    ProviderRejectedError,
    ProviderTimeoutError,
    StreamInterruptedError,
    UnknownModelError,
)
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.event_bus import EventBus
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import Caller, LLMAnswer, LLMChunk, LLMProvider, LLMRequest, Usage

if TYPE_CHECKING:
    from tenacity import RetryCallState

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANY_MODEL = "*"
"""In a target: the first model that the provider lists."""

_RETRY_AFTER_CAP = 30.0
"""Longest ``Retry-After`` in seconds that is waited for; with a longer one the target is given up for this call."""
_BACKOFF_FIRST = 0.5
_BACKOFF_CAP = 8.0
_START_BUDGET = 1.5
"""All attempts at one target together get this many times the time one attempt gets, so that a hanging upstream costs a
user half a minute and not three times as long."""
_WHOLE_ANSWER = 2.5
"""An answer that is not streamed shows no first token; it gets this many first-token timeouts."""
_HELD_BACK = 2
"""Chunks without content that are held back until the first token, so that a failure before it can still be retried."""
_KNOWN_TARGETS = 1024
"""Targets remembered; callers can name any number of them where an alias passes names through."""


class ProviderEntry(Protocol):
    """A provider as the catalog lists it."""

    @property
    def value(self) -> LLMProvider: ...


class _Target:
    """What the router remembers of one target."""

    __slots__ = ("breaker", "budget", "key", "model", "provider")

    def __init__(self, key: str, breaker: CircuitBreaker) -> None:
        self.key = key
        self.provider, _, self.model = key.partition("/")
        self.breaker = breaker
        self.budget = RetryBudget()


class _OpenStream(NamedTuple):
    """A stream that got as far as its first token."""

    target: _Target
    permit: int
    name: str
    held_back: Sequence[LLMChunk]
    pump: Pump


class LLMRouter:
    """Answers model calls from the first target of an alias that works.

    Per target: retries for transient errors before the first token, a circuit breaker, four deadlines; then the next
    target. See ``docs/reference/llm-router.md``.

    Args:
        settings: Deadlines, retries and breaker limits.
        aliases: Alias → targets.
        clock: For breakers and backoff; the deadlines of a call run on the event loop's clock.
        bus: Gets the events of the breakers.
        points: Where the interceptors of ``llm.request`` and ``llm.stream`` are found.
        record_usage: Called with the caller, the target and the tokens after an answer is on its way.
    """

    def __init__(
        self,
        settings: LLMSettings,
        aliases: Mapping[str, AliasSettings],
        *,
        clock: Clock,
        bus: EventBus,
        points: Points,
        record_usage: Callable[[Caller, str, Usage], None],
        admit: Callable[[Caller], None] | None = None,
    ) -> None:
        self._settings = settings
        self._aliases = dict(aliases)
        self._clock = clock
        self._bus = bus
        self._record_usage = record_usage
        self._admit = admit
        self._request_slot = points.slot(Point.LLM_REQUEST)
        self._stream_slot = points.slot(Point.LLM_STREAM)
        self._targets: dict[str, _Target] = {}
        self._listing = ModelListing(clock)
        self._deadlines = Deadlines()

    def stream(
        self,
        request: LLMRequest,
        providers: Mapping[str, ProviderEntry],
        *,
        on_target: Callable[[str], None] | None = None,
    ) -> AsyncIterator[LLMChunk]:
        """Stream an answer.

        Whoever stops early closes the iterator (``contextlib.aclosing``); that ends the upstream's call.

        Args:
            request: The call.
            providers: The providers of the caller's catalog; the caller holds a lease on it.
            on_target: Called once with the ``provider/model`` that answers, before the first chunk.

        Raises:
            UnknownModelError: There is no such alias.
            LLMError: No target could answer: the target's own error if there was one target, else
                ``AllTargetsFailedError``; ``StreamInterruptedError`` after the first token.
        """
        chain = self._stream_slot.chain
        if chain is None:
            return self._stream(request, providers, on_target)
        return intercepted_stream(chain, request, lambda changed: self._stream(changed, providers, on_target))

    async def complete(self, request: LLMRequest, providers: Mapping[str, ProviderEntry]) -> LLMAnswer:
        """Return a whole answer; raises as :meth:`stream` does."""
        chain = self._request_slot.chain
        if chain is None:
            return await self._complete(request, providers)
        answer: LLMAnswer = await chain(request, lambda changed: self._complete(changed, providers))
        return answer

    def alias_names(self) -> Sequence[str]:
        """Return the aliases."""
        return tuple(self._aliases)

    def has_language_model(self, model: str, providers: Mapping[str, ProviderEntry]) -> bool:
        """Return whether a loaded provider of a real language model stands behind an alias."""
        try:
            targets = self._resolve(model)
        except UnknownModelError:
            return False
        entries = (providers.get(target.provider) for target in targets)
        return any(entry is not None and entry.value.is_language_model for entry in entries)

    async def models(self, providers: Mapping[str, ProviderEntry]) -> Mapping[str, Sequence[str]]:
        """Return the upstream models behind each alias that passes names through; none where they cannot be told."""
        open_aliases = {
            alias: entry.value
            for alias, settings in self._aliases.items()
            if settings.pass_through and (entry := providers.get(settings.targets[0].partition("/")[0]))
        }
        async with asyncio.TaskGroup() as tasks:
            asked = {
                provider: tasks.create_task(self._listing.names_or_none(provider))
                for provider in set(open_aliases.values())
            }
        return {alias: asked[provider].result() for alias, provider in open_aliases.items()}

    def breakers(self) -> Mapping[str, CircuitStatus]:
        """Return how the circuit of every target that was used stands."""
        return {key: target.breaker.status for key, target in self._targets.items()}

    async def _stream(
        self,
        request: LLMRequest,
        providers: Mapping[str, ProviderEntry],
        on_target: Callable[[str], None] | None,
    ) -> AsyncIterator[LLMChunk]:
        end = asyncio.get_running_loop().time() + self._settings.total_timeout
        request = self._prepared(request)
        target, permit, name, held_back, pump = await self._first(
            request.model,
            self._settings.first_token_timeout,
            lambda target, limit: self._open(target, request, providers, limit, end),
        )
        is_over = False
        settle = target.breaker.release  # what an answer that nobody waited for says about the target: nothing
        try:
            if on_target is not None:
                on_target(name)
            for held in held_back:
                yield held
            take = pump.next
            while (chunk := await take()) is not None:
                yield chunk
            is_over = True
            if not pump.is_finished:
                raise ProviderProtocolError("the stream ended without a finish reason")
        except LLMError as error:
            is_over = True
            if not pump.is_finished:
                if _is_targets_fault(error):
                    settle = target.breaker.record_cut
                raise StreamInterruptedError(
                    f"The answer of {name} broke off: {error.message}",
                    mend="What was received is incomplete; send the message again.",
                    facts={"cause": error.code, **error.facts},
                ) from error
            logger.info("model stream failed after its answer was complete", extra={"target": name, "code": error.code})
        finally:
            if pump.is_finished:
                settle = target.breaker.record_success
            settle(permit)
            if pump.usage is not None:
                self._account(request.caller, name, pump.usage)
            if is_over:
                pump.stop()
            else:
                await pump.aclose()

    async def _complete(self, request: LLMRequest, providers: Mapping[str, ProviderEntry]) -> LLMAnswer:
        request = self._prepared(request)
        answer = await self._first(
            request.model,
            min(self._settings.first_token_timeout * _WHOLE_ANSWER, self._settings.total_timeout),
            lambda target, limit: self._ask(target, request, providers, limit),
        )
        if answer.usage is not None:
            asyncio.get_running_loop().call_soon(self._account, request.caller, answer.target, answer.usage)
        return answer

    def _prepared(self, request: LLMRequest) -> LLMRequest:
        if self._admit is not None:
            self._admit(request.caller)
        if request.connect_timeout == self._settings.connect_timeout:
            return request
        return replace(request, connect_timeout=self._settings.connect_timeout)

    async def _first(self, model: str, limit: float, attempt: Callable[[_Target, float], Awaitable[T]]) -> T:
        """Try the targets of an alias one after another."""
        causes: dict[str, LLMError] = {}
        for target in self._resolve(model):
            try:
                return await self._try(target, limit, attempt)
            except LLMError as error:
                logger.info("target could not answer", extra={"target": target.key, "code": error.code})
                causes[target.key] = error
        errors = list(causes.values())
        if len(errors) == 1 or all(isinstance(error, ProviderRejectedError) for error in errors):
            raise errors[0]
        waits = [error.retry_after for error in errors if error.retry_after is not None]
        raise AllTargetsFailedError(model, causes, retry_after=min(waits, default=None)) from errors[-1]

    async def _try(self, target: _Target, limit: float, attempt: Callable[[_Target, float], Awaitable[T]]) -> T:
        """Make one attempt at a target, and more when it fails in a way that may pass."""
        began = self._clock.monotonic()
        target.budget.record_call()
        try:
            return await attempt(target, limit)
        except LLMError as error:
            give_up = began + _START_BUDGET * limit
            if not self._may_retry(target, error, give_up):
                raise
            return await self._retry(target, error, limit, give_up, attempt)

    async def _retry(
        self,
        target: _Target,
        error: LLMError,
        limit: float,
        give_up: float,
        attempt: Callable[[_Target, float], Awaitable[T]],
    ) -> T:
        """Go on after a failed first attempt.

        Tenacity costs tens of microseconds a call and some start-up time, so it is only asked once something failed;
        the first failure is handed to it as the outcome of its first attempt.
        """
        from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

        jittered = wait_random_exponential(multiplier=_BACKOFF_FIRST, max=_BACKOFF_CAP)
        first_error: LLMError | None = error

        async def repeat() -> T:
            nonlocal first_error
            if first_error is not None:
                failed, first_error = first_error, None
                raise failed
            return await attempt(target, max(1.0, min(limit, give_up - self._clock.monotonic())))

        def may_retry(failure: BaseException) -> bool:
            return isinstance(failure, LLMError) and self._may_retry(target, failure, give_up)

        def stop(state: "RetryCallState") -> bool:
            return state.attempt_number > self._settings.retries or not target.budget.spend()

        def wait(state: "RetryCallState") -> float:
            failure = state.outcome.exception() if state.outcome is not None else None
            asked_for = failure.retry_after if isinstance(failure, LLMError) else None
            return max(jittered(state), asked_for or 0.0)

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            stop=stop,
            wait=wait,
            retry=retry_if_exception(may_retry),
            reraise=True,
        )
        return await retrying(repeat)

    def _may_retry(self, target: _Target, error: LLMError, give_up: float) -> bool:
        if not error.transient or self._settings.retries == 0 or target.breaker.state is CircuitState.OPEN:
            return False
        if isinstance(error, ProviderTimeoutError) and error.phase == "total":
            return False  # a whole answer had its time; a person would not wait for it twice
        wait = error.retry_after or 0.0
        return wait <= _RETRY_AFTER_CAP and self._clock.monotonic() + wait < give_up

    async def _open(
        self,
        target: _Target,
        request: LLMRequest,
        providers: Mapping[str, ProviderEntry],
        limit: float,
        end: float,
    ) -> _OpenStream:
        """Begin a stream and wait for its first token."""
        provider = _provider(target, providers)
        permit = self._enter(target)
        pump: Pump | None = None
        try:
            model = target.model if target.model != ANY_MODEL else await self._listing.first(provider)
            name = f"{target.provider}/{model}"
            pump = Pump(
                name,
                self._attempted_stream(provider, request, model),
                phase="first_token",
                seconds=limit,
                end=end,
                total=self._settings.total_timeout,
            )
            held_back: list[LLMChunk] = []
            while (chunk := await pump.next()) is not None:
                held_back.append(chunk)
                if _has_content(chunk) or len(held_back) > _HELD_BACK:
                    break
            if chunk is None and not pump.is_finished:
                raise ProviderProtocolError(
                    f"{name} ended its stream before it began to answer.",
                    mend="Look at the upstream's logs; it may have run out of memory or been restarted.",
                )
        except BaseException as exc:
            error = await self._give_up(target, permit, provider, pump, exc)
            if error is exc:
                raise
            raise error from exc
        if not pump.is_finished:
            target.breaker.record_first_token(permit)
            pump.limit("gap", self._settings.gap_timeout)
        return _OpenStream(target, permit, name, held_back, pump)

    async def _ask(
        self, target: _Target, request: LLMRequest, providers: Mapping[str, ProviderEntry], limit: float
    ) -> LLMAnswer:
        """Ask for a whole answer."""
        provider = _provider(target, providers)
        permit = self._enter(target)
        try:
            model = target.model if target.model != ANY_MODEL else await self._listing.first(provider)
            answer = await self._deadlines.within(limit, self._attempted_answer(provider, request, model))
        except BaseException as exc:
            if isinstance(exc, TimeoutError):
                timeout = ProviderTimeoutError(
                    f"{target.key} gave no answer within {limit:g} s.",
                    phase="total",
                    mend="Stream the answer, ask for a shorter one, or raise `llm.first_token_timeout`.",
                )
                await self._give_up(target, permit, provider, None, timeout)
                raise timeout from exc
            error = await self._give_up(target, permit, provider, None, exc)
            if error is exc:
                raise
            raise error from exc
        target.breaker.record_success(permit)
        name = f"{target.provider}/{model}"
        return LLMAnswer(answer.message, answer.finish_reason, answer.usage, answer.reasoning, name, answer.wire)

    def _attempted_stream(self, provider: LLMProvider, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        chain = self._stream_slot.attempt
        if chain is None:
            return provider.stream(request, model)
        return intercepted_stream(chain, request, lambda changed: provider.stream(changed, model))

    def _attempted_answer(self, provider: LLMProvider, request: LLMRequest, model: str) -> Awaitable[LLMAnswer]:
        chain = self._request_slot.attempt
        if chain is None:
            return provider.complete(request, model)
        return chain(request, lambda changed: provider.complete(changed, model))

    def _enter(self, target: _Target) -> int:
        permit = target.breaker.acquire()
        if permit is None:
            wait = target.breaker.retry_after
            raise CircuitOpenError(
                f"{target.key} failed too often in a row and is left alone for now.",
                mend="It is tried again by itself; `iskra doctor` shows its state.",
                retry_after=max(wait, 1.0),
            )
        return permit

    async def _give_up(
        self, target: _Target, permit: int, provider: LLMProvider, pump: Pump | None, exc: BaseException
    ) -> BaseException:
        """Settle a failed attempt; return what to raise."""
        error = exc
        if not isinstance(exc, LLMError) and isinstance(exc, Exception | SystemExit):
            error = foreign_error(target.key, exc)
        if isinstance(error, LLMError) and error.is_provider_fault:
            target.breaker.record_failure(permit)
        else:
            target.breaker.release(permit)
        if isinstance(error, ProviderRejectedError) and target.model == ANY_MODEL:
            self._listing.forget(provider)
        if pump is not None:
            await pump.aclose()
        return error

    def _resolve(self, model: str) -> Sequence[_Target]:
        settings = self._aliases.get(model)
        if settings is not None:
            return [self._target(key) for key in settings.targets]
        alias, _, upstream_model = model.partition("/")
        settings = self._aliases.get(alias)
        if settings is None or not upstream_model:
            raise UnknownModelError(
                f"There is no model alias {alias!r}.",
                mend=f"Use one of {', '.join(sorted(self._aliases))}, or add it under `llm.aliases`.",
            )
        if not settings.pass_through:
            raise UnknownModelError(
                f"The alias {alias!r} does not pass model names through, so {model!r} leads nowhere.",
                mend=f"Use {alias!r} alone, or set `pass_through = true` for it.",
            )
        return [self._target(f"{settings.targets[0].partition('/')[0]}/{upstream_model}")]

    def _target(self, key: str) -> _Target:
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= _KNOWN_TARGETS:
                self._forget_idle_targets()
            target = self._targets[key] = _Target(key, self._breaker(key))
        return target

    def _forget_idle_targets(self) -> None:
        """Make room; if every target is in trouble, the oldest goes."""
        idle = [key for key, target in self._targets.items() if target.breaker.is_idle]
        for key in idle or [next(iter(self._targets))]:
            del self._targets[key]

    def _breaker(self, key: str) -> CircuitBreaker:
        settings = self._settings

        def tell(state: CircuitState) -> None:
            types = {
                CircuitState.OPEN: (EventType.BREAKER_OPENED, Severity.WARNING),
                CircuitState.HALF_OPEN: (EventType.BREAKER_HALF_OPENED, Severity.INFO),
                CircuitState.CLOSED: (EventType.BREAKER_CLOSED, Severity.INFO),
            }
            event_type, severity = types[state]
            data = {"target": key, "rest": settings.breaker_rest if state is CircuitState.OPEN else 0}
            logger.log(
                logging.WARNING if state is CircuitState.OPEN else logging.INFO, event_type, extra={"target": key}
            )
            self._bus.publish_nowait(Event(event_type, data, at=self._clock.now(), severity=severity))

        return CircuitBreaker(
            settings.breaker_failures, settings.breaker_rest, settings.breaker_successes, self._clock, on_change=tell
        )

    def _account(self, caller: Caller, target: str, usage: Usage) -> None:
        try:
            self._record_usage(caller, target, usage)
        except Exception:
            logger.exception("recording the usage failed", extra={"target": target})


def _provider(target: _Target, providers: Mapping[str, ProviderEntry]) -> LLMProvider:
    entry = providers.get(target.provider)
    if entry is None:
        raise LLMError(
            f"No provider named {target.provider!r} is loaded, so {target.key} cannot answer.",
            mend=f"Enable the plugin that offers it, or use one of {', '.join(sorted(providers)) or 'none'}.",
        )
    return entry.value


def _has_content(chunk: LLMChunk) -> bool:
    return bool(chunk.text or chunk.reasoning or chunk.tool_calls or chunk.finish_reason)


def _is_targets_fault(error: LLMError) -> bool:
    """Whether an error after the first token counts against the target.

    The limit of the whole call does not: an answer of any length is what the user asked for.
    """
    return error.is_provider_fault and not (isinstance(error, ProviderTimeoutError) and error.phase == "total")
