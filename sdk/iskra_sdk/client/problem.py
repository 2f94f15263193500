"""Turns the server's problem documents (RFC 9457) back into the errors they were made from."""

from collections.abc import Iterator, Mapping

from pydantic_core import from_json

from iskra_sdk.errors import (
    AuthenticationError,
    BadInputError,
    BusyError,
    ConflictError,
    IskraError,
    NotFoundError,
    PermissionDeniedError,
    UnexpectedAnswerError,
)

_BY_STATUS: Mapping[int, type[IskraError]] = {
    400: BadInputError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: BadInputError,
    422: BadInputError,
    429: BusyError,
    503: BusyError,
}

_STANDARD = frozenset({"code", "detail", "facts", "mend", "message", "retry_after", "status", "title", "type"})
"""Members of a problem document that are no facts."""

_SHOWN = 200  # characters of a foreign answer that an error quotes


def _descendants(cls: type[IskraError]) -> Iterator[type[IskraError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _descendants(child)


def error_from_code(
    code: str,
    message: str,
    *,
    mend: str = "",
    retry_after: float | None = None,
    facts: Mapping[str, object] | None = None,
    status: int = 500,
) -> IskraError:
    """Return the error a code stands for; an unknown code gives the class that fits the HTTP status best."""
    known = {
        cls.code: cls for cls in reversed(list(_descendants(IskraError))) if cls.__module__ == IskraError.__module__
    }
    cls = known.get(code) or _BY_STATUS.get(status, IskraError)
    # Some classes build their text from arguments that only the server had, so their own __init__ is passed over.
    error = cls.__new__(cls)
    IskraError.__init__(error, message, mend=mend, retry_after=retry_after, facts=facts)
    for name in ("plugin", "phase", "upstream_status"):
        if facts and name in facts:
            setattr(error, name, facts[name])
    return error


def error_from_answer(status: int, headers: Mapping[str, str], body: bytes) -> IskraError:
    """Return the error that an HTTP answer with a failing status tells of."""
    retry_after = _seconds(headers.get("retry-after"))
    document = _document(body)
    if document is None:
        if status in _BY_STATUS and status >= 429:
            return _BY_STATUS[status](f"The server answered with the status {status}.", retry_after=retry_after)
        quoted = body[:_SHOWN].decode(errors="replace").strip()
        return UnexpectedAnswerError(
            f"The server answered with the status {status} and no problem document: {quoted!r}.",
            mend="Check that the address is that of an Iskra server and that no proxy answers in its place.",
            facts={"status": status},
        )
    nested = document.get("facts")
    facts = {name: value for name, value in document.items() if name not in _STANDARD}
    given = document.get("retry_after")
    return error_from_code(
        str(document.get("code", "")),
        str(document.get("detail") or document.get("message") or document.get("title") or f"HTTP status {status}."),
        mend=str(document.get("mend") or ""),
        retry_after=float(given) if isinstance(given, int | float) else retry_after,
        facts={**facts, **(nested if isinstance(nested, dict) else {}), "status": status},
        status=status,
    )


def _document(body: bytes) -> dict[str, object] | None:
    """Return a problem document; OpenAI's shape, which the ``/v1`` routes use, is unwrapped."""
    try:
        document = from_json(body)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    if isinstance(inner, dict):
        document = inner
    return document if "code" in document or "detail" in document or "message" in document else None


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
