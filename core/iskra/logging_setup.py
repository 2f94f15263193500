"""Logs: text or JSON, one line per record, without secrets."""

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

from iskra.correlation import correlation_id

REDACTED = "[secret]"
_SHORTEST_SECRET = 8  # shorter values would blank out ordinary words
# C0 and C1 controls, and the line separators that terminals and log readers break at.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def escape(text: str) -> str:
    """Return the text on one line, control characters as ``\\x..`` or ``\\u....``: no log line can be forged."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Redaction:
    """Replaces known secrets by value, wherever they turn up."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Hide these values from now on."""
        self._secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)


class _LineFormatter(logging.Formatter):
    """Renders a record as one line; what comes with ``extra`` follows as fields."""

    def __init__(self, redact: Redaction, *, as_json: bool) -> None:
        super().__init__()
        self._redact = redact
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")
        }
        request = correlation_id.get()
        if request:
            fields.setdefault("correlation_id", request)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        at = datetime.fromtimestamp(record.created, UTC)
        if self._as_json:
            document = {
                "at": at.isoformat(timespec="milliseconds"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
                **fields,
            }
            return self._redact(_json_line(document))
        parts = [f"{at:%Y-%m-%d %H:%M:%S} {record.levelname.lower():7} {record.name}: {record.getMessage()}"]
        parts.extend(f"{name}={_quoted(value)}" for name, value in fields.items())
        return escape(self._redact(" ".join(parts)))


class _Handler(logging.StreamHandler[TextIO]):
    """Never raises: a log that cannot be written must not end what is logged about."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the library's
        with contextlib.suppress(OSError, ValueError):  # the stream it would tell of may be closed as well
            super().handleError(record)


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if " " in text else text


def _json_line(document: Mapping[str, object]) -> str:
    try:
        encoded = orjson.dumps(document, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):  # a lone surrogate, which JSON cannot hold
        encoded = orjson.dumps({name: escape(str(value)) for name, value in document.items()})
    # JSON allows more control characters than a terminal should get.
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode())


def set_up_logging(
    level: str, style: Literal["text", "json"], *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> Redaction:
    """Send all logs through one handler and return its redaction, which learns secrets that turn up later."""
    redact = Redaction(secrets)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_LineFormatter(redact, as_json=style == "json"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
        # Its start and stop messages and one line per WebSocket say nothing that ours do not.
        library.setLevel(logging.WARNING)
    for name in ("asyncio", "aiosqlite", "watchfiles", "httpx", "httpcore", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return redact
