"""Takes a provider's chunks one by one and never waits for one longer than allowed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable

from iskra_sdk.errors import LLMError, ProviderProtocolError, ProviderTimeoutError
from iskra_sdk.llm import LLMChunk, Usage

logger = logging.getLogger(__name__)

CLOSING_TIMEOUT = 1.0
"""Seconds a provider may take to end a call that was given up."""
_AFTER_FINISH = 3.0
"""Seconds to wait for the token count once the answer itself is complete."""


class Pump:
    """One provider stream with its deadlines.

    A timer per chunk would cost more than the chunk. There is one timer per stream: when it goes off it looks at
    the present deadline, and is set again if that was moved. A deadline that has passed cancels the waiting task, as
    :func:`asyncio.timeout` does, and the cancellation becomes a ``ProviderTimeoutError``. While the consumer is
    busy with a chunk, no deadline runs.

    Args:
        target: For messages.
        chunks: The provider's stream.
        phase: What is waited for first, see ``ProviderTimeoutError.phase``.
        seconds: Longest wait for a chunk in this phase.
        end: Time of the event loop when the whole call must be over.
        total: Seconds of the whole call, for messages.

    Attributes:
        is_finished: The chunk with the finish reason has passed.
        usage: The tokens used, once the provider told them.
    """

    __slots__ = (
        "_cancelling",
        "_chunks",
        "_deadline",
        "_end",
        "_expired",
        "_loop",
        "_next",
        "_phase",
        "_seconds",
        "_target",
        "_task",
        "_timer",
        "_total",
        "is_finished",
        "usage",
    )

    def __init__(
        self, target: str, chunks: AsyncIterator[LLMChunk], *, phase: str, seconds: float, end: float, total: float
    ) -> None:
        self.is_finished = False
        self.usage: Usage | None = None
        self._target = target
        self._chunks = chunks
        self._next = chunks.__anext__
        self._phase = phase
        self._seconds = seconds
        self._end = end
        self._total = total
        self._task: asyncio.Task[object] | None = None
        self._expired = ""
        self._cancelling = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(min(self._deadline, end), self._look)

    def limit(self, phase: str, seconds: float) -> None:
        """Set the longest wait for each of the next chunks."""
        self._phase = phase
        self._seconds = seconds
        self._timer.cancel()
        self._timer = self._loop.call_at(min(self._loop.time() + seconds, self._end), self._look)

    async def next(self) -> LLMChunk | None:
        """Return the next chunk, or ``None`` at the end.

        Before the first token the time for all chunks together is limited, later the time for each.

        Raises:
            LLMError: What the provider raised, or a deadline that passed.
        """
        if self._phase == "gap":
            self._deadline = self._loop.time() + self._seconds
        self._task = asyncio.current_task(self._loop)
        try:
            chunk = await self._next()
        except StopAsyncIteration:
            return None
        except BaseException as exc:
            error = self._translate(exc)
            if error is exc:
                del error  # it knows this frame: a circle, which would hold the whole turn of a client that leaves
                raise
            raise error from exc
        finally:
            self._task = None
        if self._expired:
            raise self._translate(asyncio.CancelledError())  # the provider swallowed the cancellation
        if chunk.finish_reason is not None:
            self.is_finished = True
            self.limit("gap", min(self._seconds, _AFTER_FINISH))
        if chunk.usage is not None:
            self.usage = chunk.usage
        return chunk

    async def aclose(self) -> None:
        """Stop the timer and end the provider's call.

        A caller that is itself being cancelled still waits, briefly: the call at the upstream must end with it.
        """
        self._timer.cancel()
        if getattr(self._chunks, "ag_frame", self._chunks) is None or not hasattr(self._chunks, "aclose"):
            return  # an asynchronous generator that has run to its end or failed
        task = self._loop.create_task(self._close(self._chunks.aclose()), name=f"end a call of {self._target}")
        give_up = self._loop.time() + 2 * CLOSING_TIMEOUT
        is_cancelled = False
        while not task.done() and self._loop.time() < give_up:
            try:
                await asyncio.wait([task], timeout=2 * CLOSING_TIMEOUT)
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            raise asyncio.CancelledError

    async def _close(self, closing: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(CLOSING_TIMEOUT):
                await closing
        except Exception:
            logger.warning("ending a model call failed", extra={"target": self._target}, exc_info=True)

    def stop(self) -> None:
        """Stop the timer; the stream has ended by itself."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        task = self._task
        if task is None:
            # The consumer's turn; its next wait cannot be over before this.
            self._timer = self._loop.call_at(now + self._seconds, self._look)
            return
        due = min(self._deadline, self._end)
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
            return
        self._expired = "total" if now >= self._end else self._phase
        self._cancelling = task.cancelling()
        task.cancel()

    def _translate(self, exc: BaseException) -> BaseException:
        if self._expired:
            task = asyncio.current_task()
            if task is not None and task.uncancel() > self._cancelling:
                return asyncio.CancelledError()  # somebody else cancelled the task as well
            return self._timeout_error()
        if isinstance(exc, LLMError) or not isinstance(exc, Exception | SystemExit):
            return exc
        return foreign_error(self._target, exc)

    def _timeout_error(self) -> ProviderTimeoutError:
        if self._expired == "total":
            return ProviderTimeoutError(
                f"The answer of {self._target} was not complete after {self._total:g} s.",
                phase="total",
                mend="Ask for a shorter answer, or raise `llm.total_timeout`.",
            )
        if self._expired == "gap":
            return ProviderTimeoutError(
                f"{self._target} stopped in the middle of its answer: nothing came for {self._seconds:g} s.",
                phase="gap",
                mend="Look at the upstream's load and logs, or raise `llm.gap_timeout`.",
            )
        return ProviderTimeoutError(
            f"{self._target} did not begin its answer within {self._seconds:g} s.",
            phase="first_token",
            mend="Look whether the model is loaded and not overloaded, or raise `llm.first_token_timeout`.",
        )


def foreign_error(target: str, exc: BaseException) -> LLMError:
    """Turn an exception that is no ``LLMError`` into one: a provider promised to raise nothing else."""
    logger.error("provider raised a foreign error", extra={"target": target}, exc_info=exc)
    return ProviderProtocolError(
        f"The provider of {target} failed with {type(exc).__name__}.", mend="The server's log has the details."
    )
