"""Says what went wrong at an upstream, and what to do about it."""

import math
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from iskra_plugins.openai_compatible.chat_chunks import WrongShapeError, decode
from iskra_sdk.errors import (
    LLMError,
    ProviderProtocolError,
    ProviderRateLimitError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)

TEMPORARY = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528), 529, 530})
"""Statuses that may pass by themselves."""

_LONGEST_REMARK = 300
_LONGEST_WAIT = 86_400.0


def connection_error(exc: Exception, url: str, *, connect_timeout: float, has_begun: bool) -> LLMError:
    """Translate what aiohttp raised.

    Args:
        exc: What it raised.
        url: The upstream, for messages.
        connect_timeout: For messages.
        has_begun: Whether the answer had begun.
    """
    if isinstance(exc, aiohttp.ConnectionTimeoutError | aiohttp.ServerTimeoutError):
        return ProviderTimeoutError(
            f"No connection to {url} within {connect_timeout:g} s.",
            phase="connect",
            mend="Is the server up and reachable from here? Check `model_url`, or raise `llm.connect_timeout`.",
        )
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return ProviderUnavailableError(
            f"The certificate of {url} is not trusted, so nothing was sent.",
            mend="Use the name the certificate is for, or add its authority to the system's trusted ones.",
        )
    if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError):
        return ProviderUnavailableError(
            f"{url} does not speak TLS properly, so nothing was sent.",
            mend="If the server has no TLS, write `http://` in `model_url`.",
        )
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return ProviderUnavailableError(
            f"The host name of {url} cannot be resolved.", mend="Check the spelling of `model_url`."
        )
    if isinstance(exc, aiohttp.ClientConnectorError):
        reason = exc.os_error.strerror or type(exc.os_error).__name__
        return ProviderUnavailableError(
            f"No connection to {url}: {reason}.", mend="Is the server running? Check `model_url`."
        )
    if isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not has_begun:
        return ProviderUnavailableError(
            f"{url} closed the connection without an answer.",
            mend="Look at the server's logs; it may have been restarted or run out of memory.",
        )
    if has_begun and isinstance(exc, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError | OSError):
        return ProviderUnavailableError(
            f"The connection to {url} broke in the middle of the answer.",
            mend="Look at the server's logs; it may have been restarted or run out of memory.",
        )
    return ProviderProtocolError(
        f"{url} did not answer with proper HTTP ({type(exc).__name__}).",
        mend="Is this the address of an OpenAI-compatible server? Check `model_url`.",
    )


def status_error(status: int, headers: Mapping[str, str], body: bytes, url: str, now: datetime) -> LLMError:
    """Translate an answer whose status is not a success."""
    wire = _try_decode(body)
    remark, code = _remark(wire)
    said = f" ({remark})" if remark else ""
    retry_after = read_retry_after(headers, now)
    if status == 429 and code != "insufficient_quota":
        return ProviderRateLimitError(
            f"{url} asks to slow down{said}.",
            mend="Wait a little, or add a fallback target to the alias.",
            retry_after=retry_after,
        )
    if status in TEMPORARY:
        return ProviderUnavailableError(
            f"{url} failed with status {status}{said}.",
            mend="Try again; if it stays, look at the server's logs.",
            retry_after=retry_after,
        )
    return ProviderRejectedError(
        f"{url} refused the request with status {status}{said}.", upstream_status=status, mend=_mend(status)
    )


def stream_error(wire: Mapping[str, Any], url: str) -> LLMError | None:
    """Translate an error object in the place of a chunk or an answer; ``None`` if it is no error."""
    error = wire.get("error")
    if not error:
        return None
    remark, code = _remark(wire)
    message = f"{url} reports an error: {remark or 'it gives no reason'}."
    status = _status(error, code)
    if status == 429:
        return ProviderRateLimitError(message, mend="Wait a little, or add a fallback target to the alias.")
    if 400 <= status < 500 and status not in TEMPORARY:
        return ProviderRejectedError(message, upstream_status=status, mend=_mend(status))
    return ProviderUnavailableError(message, mend="Try again; if it stays, look at the server's logs.")


def not_json(body_type: str, url: str, what: str) -> ProviderProtocolError:
    """Say that the upstream sent something else."""
    shown = f" ({body_type})" if body_type else ""
    return ProviderProtocolError(
        f"{url} answered with {what}{shown}.",
        mend="Is this the address of an OpenAI-compatible server, with `/v1` at the end? Check `model_url`.",
    )


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as seconds or as a date; ``None`` if unreadable."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
            seconds = (when if when.tzinfo else when.replace(tzinfo=now.tzinfo)).timestamp() - now.timestamp()
        except (ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _try_decode(body: bytes) -> Mapping[str, Any]:
    try:
        return decode(body)
    except WrongShapeError:
        return {}


def _remark(wire: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the upstream says about an error, fit for one line of a log, and its code."""
    error = wire.get("error") or wire.get("detail") or wire.get("message") or ""
    code = ""
    if isinstance(error, dict):
        code = str(error.get("code") or error.get("type") or "")
        error = error.get("message") or code
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return (text if len(text) <= _LONGEST_REMARK else text[:_LONGEST_REMARK] + "…").rstrip("."), code


def _status(error: object, code: str) -> int:
    if isinstance(error, dict):
        for value in (error.get("status"), error.get("code")):
            if str(value).isdecimal() and 400 <= int(str(value)) < 600:
                return int(str(value))
        kind = f"{error.get('type')} {code}"
        if "rate_limit" in kind:
            return 429
        if "invalid_request" in kind or "context_length" in kind:
            return 400
    return 500


def _mend(status: int) -> str:
    if status in (401, 403):
        return "Check the key (`model_key`, or `api_key` of the endpoint)."
    if status == 404:
        return "Does the server have this model, and does `model_url` end with `/v1`?"
    if 300 <= status < 400:
        return "Redirects are not followed; write the final address into `model_url`."
    if status in (402, 429):
        return "Check the account's plan and billing."
    return "Change the request; the same one will be refused again."
