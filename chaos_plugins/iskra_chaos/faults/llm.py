"""Faults of a model's provider: what comes in place of an answer, and whole answers that are not what they should be.

They are injected at each single attempt, below retries, failover and the circuit breaker, and raise what a provider
raises in the same situation.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from iskra_chaos.faults.delay import late
from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.injection import Inject
from iskra_chaos.faults.parameters import (
    Bandwidth,
    FieldDrift,
    LimitData,
    RateLimited,
    ResetPeer,
    ServerError,
    Timeout,
    Truncated,
)
from iskra_chaos.faults.tool_arguments import REWRITES
from iskra_sdk.errors import ProviderProtocolError, ProviderRateLimitError, ProviderUnavailableError
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMAnswer, LLMRequest
from iskra_sdk.message import Message, ToolCall


async def fall_silent_and_close(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Send nothing and close after a while; the call goes its usual way if the fault ends before."""
    seconds = shot.parameters(Timeout).timeout / 1000.0
    if await shot.wait(seconds or math.inf):
        raise shot.injected(ProviderUnavailableError("The provider closed the connection without an answer."))
    return await proceed(request)


async def reset(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Reset the connection, at once or after a while."""
    if await shot.wait(shot.parameters(ResetPeer).timeout / 1000.0):
        raise shot.injected(ProviderUnavailableError("The provider reset the connection."))
    return await proceed(request)


async def refuse(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Refuse the connection."""
    raise shot.injected(ProviderUnavailableError("The provider refused the connection."))


async def limit_rate(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Answer 429."""
    seconds = shot.parameters(RateLimited).retry_after
    raise shot.injected(
        ProviderRateLimitError("The provider answered 429: too many requests.", retry_after=seconds or None)
    )


async def fail(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Answer with a temporary 5xx."""
    status = shot.parameters(ServerError).status
    error = ProviderUnavailableError(f"The provider answered {status}.", facts={"upstream_status": status})
    raise shot.injected(error)


async def send_a_web_page(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Send HTML with status 200."""
    raise shot.injected(ProviderProtocolError("The provider sent a web page (text/html) instead of an answer."))


async def hang(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Send nothing, until the caller gives up or the fault ends; in the latter case the call goes its usual way."""
    await shot.wait(math.inf)
    return await proceed(request)


def drifted_body(shot: Shot) -> ProviderProtocolError:
    """Return what a provider raises about an answer whose own shape has drifted."""
    field = shot.parameters(FieldDrift).field or "choices"
    what = shot.fault.kind.name.replace("_", " ")
    return shot.injected(ProviderProtocolError(f"The provider's answer has a {what}: {field!r}."))


async def trickle(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Let a whole answer come through a thin line."""
    answer: LLMAnswer = await proceed(request)
    await shot.wait(answer_size(answer) / (shot.parameters(Bandwidth).rate * 1000.0))
    return answer


async def close_early(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Close the connection in the middle of a whole answer, which is then half a JSON document."""
    answer: LLMAnswer = await proceed(request)
    if answer_size(answer) > shot.parameters(LimitData).bytes and shot.is_active:
        raise shot.injected(ProviderProtocolError("The provider's answer ended in the middle of its JSON."))
    return answer


async def answer_nothing(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Answer with no text at all."""
    shot.observe()
    return LLMAnswer(Message.assistant(""), "stop")


async def withhold(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Answer that the filter withheld the answer."""
    shot.observe()
    return LLMAnswer(Message.assistant(""), "content_filter")


async def truncate(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Cut the text and the arguments of tool calls."""
    keep = shot.parameters(Truncated).keep

    def shortened(answer: LLMAnswer) -> LLMAnswer:
        text = answer.message.text
        calls = [
            ToolCall(call.id, call.name, call.arguments[: int(len(call.arguments) * keep)])
            for call in answer.message.tool_calls
        ]
        return replace(answer, message=Message.assistant(text[: int(len(text) * keep)], calls), finish_reason="length")

    return await _altered(shot, request, proceed, shortened)


async def rewrite_calls(shot: Shot, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
    """Alter the arguments of every tool call of the answer, or the answer's own shape."""
    rewrite = REWRITES[shot.fault.kind.name]

    def rewritten(answer: LLMAnswer) -> LLMAnswer:
        calls = [
            ToolCall(call.id, call.name, rewrite(shot, call.arguments, position))
            for position, call in enumerate(answer.message.tool_calls)
        ]
        return replace(answer, message=Message.assistant(answer.message.text, calls))

    if is_about_the_body(shot):
        raise drifted_body(shot)
    return await _altered(shot, request, proceed, rewritten)


def is_about_the_body(shot: Shot) -> bool:
    """Whether the drift concerns the answer itself, and not the arguments of its tool calls."""
    parameters = shot.fault.parameters
    return isinstance(parameters, FieldDrift) and parameters.of == "body"


async def _altered(
    shot: Shot, request: LLMRequest, proceed: Proceed, change: Callable[[LLMAnswer], LLMAnswer]
) -> LLMAnswer:
    answer: LLMAnswer = await proceed(request)
    if not shot.is_active:
        return answer
    other = change(answer)
    if (other.message.text, other.message.tool_calls) == (answer.message.text, answer.message.tool_calls):
        return answer
    shot.observe()
    return replace(other, wire=None)  # what the upstream sent would be passed on in its place


def answer_size(answer: LLMAnswer) -> int:
    """Return the size of an answer's content in bytes of UTF-8."""
    arguments = "".join(call.arguments for call in answer.message.tool_calls)
    return len((answer.message.text + answer.reasoning + arguments).encode(errors="surrogatepass"))


BEFORE: Mapping[str, Inject] = {
    "latency": late,
    "timeout": fall_silent_and_close,
    "reset_peer": reset,
    "down": refuse,
    "rate_limited": limit_rate,
    "server_error": fail,
    "html_body": send_a_web_page,
}
"""What happens before an answer begins; the same for whole answers and streams."""

WHOLE: Mapping[str, Inject] = {
    **BEFORE,
    "hang": hang,
    "bandwidth": trickle,
    "limit_data": close_early,
    "empty": answer_nothing,
    "content_filter": withhold,
    "truncated": truncate,
    **dict.fromkeys(REWRITES, rewrite_calls),
}
"""Faults of ``llm.request``."""
