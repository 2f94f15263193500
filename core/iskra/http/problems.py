"""Errors as HTTP answers: RFC 9457 problem details, and OpenAI's error shape under ``/v1``."""

import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from iskra_sdk.errors import IskraError

Header = tuple[bytes, bytes]

_PROBLEM_TYPE = b"application/problem+json"
_JSON_TYPE = b"application/json"
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_DEFAULT_RETRY_AFTER = 1.0


class HTTPError(IskraError):
    """A request that HTTP itself refuses: unknown path, wrong method, wrong media type."""

    code = "http"

    def __init__(
        self, status: int, message: str, *, mend: str = "", code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, mend=mend)
        phrase = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
        _set(self, code=code or phrase, http_status=status)
        self.headers = dict(headers or {})


def _set(error: IskraError, **facts: object) -> None:
    """Set what is a constant of the class for all other errors on one instance."""
    vars(error).update(facts)


def unexpected(correlation_id: str) -> IskraError:
    """Return what a client is told of an error nobody foresaw: enough to find it in the log, nothing else."""
    return IskraError(
        "Something went wrong inside the server.",
        mend=f"Try again; if it stays, look for {correlation_id} in the server's log.",
    )


def _subclasses(cls: type[IskraError]) -> Iterator[type[IskraError]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _subclasses(subclass)


_STATUS_BY_CODE = {cls.code: cls.http_status for cls in _subclasses(IskraError)}


def status_of(code: str) -> int:
    """Return the HTTP status that goes with an error code, e.g. of a failed turn."""
    return _STATUS_BY_CODE.get(code, 500)


def recorded_error(facts: Mapping[str, object]) -> IskraError:
    """Turn the record of a failed turn (``code``, ``message``, ``mend``) back into an error."""
    code = str(facts.get("code") or IskraError.code)
    message = str(facts.get("message") or "The turn failed.")
    return HTTPError(status_of(code), message, mend=str(facts.get("mend") or ""), code=code)


def problem(error: IskraError, correlation_id: str) -> dict[str, Any]:
    """Return the error as RFC 9457 problem details."""
    return {
        **error.facts,
        "type": f"urn:iskra:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "detail": error.message,
        "code": error.code,
        "mend": error.mend,
        "correlation_id": correlation_id,
    }


def openai_error(error: IskraError, correlation_id: str) -> dict[str, Any]:
    """Return the error in OpenAI's shape."""
    status = error.http_status
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {
        "error": {
            "message": str(error),
            "type": kind,
            "param": error.facts.get("param"),
            "code": error.code,
            "correlation_id": correlation_id,
        }
    }


def is_openai_path(path: str) -> bool:
    """Return whether a path speaks OpenAI's protocol."""
    return path.startswith("/v1/")


def render(error: IskraError, path: str, correlation_id: str) -> tuple[int, list[Header], bytes]:
    """Return status, headers and body of the answer about an error."""
    if is_openai_path(path):
        content_type, document = _JSON_TYPE, openai_error(error, correlation_id)
    else:
        content_type, document = _PROBLEM_TYPE, problem(error, correlation_id)
    status = error.http_status
    headers = [(b"content-type", content_type)]
    retry_after = error.retry_after
    if retry_after is None and status in (429, 503):
        retry_after = _DEFAULT_RETRY_AFTER
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, HTTPError):
        headers.extend((name.encode(), value.encode()) for name, value in error.headers.items())
    return status, headers, orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
