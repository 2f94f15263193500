"""Keeps secrets out of what a run writes."""

import base64
import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"

_SHORT = 4
"""Characters below which a secret is hidden only where it stands as a word: "on" is in many words."""

_LOGGERS = ("httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpx")
"""Loggers that write down addresses, and so whatever an experiment puts into one."""


class Redactor:
    """Replaces every occurrence of some secrets, also when they are quoted for an address or encoded in base 64.

    Args:
        secrets: Their values; numbers are meant as they are printed, everything else that is no text is passed over.
    """

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        texts = {str(secret) for secret in secrets if isinstance(secret, str | int | float) and secret is not True}
        texts -= {"", "False"}
        forms = {form for text in texts for form in _forms(text)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(_matching, longest_first))) if forms else None

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def tree(self, value: object) -> object:
        """Return a copy of JSON-like data without the secrets, in keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._pattern is not None:
            return HIDDEN if self._pattern.fullmatch(str(value)) else value
        return value


def _forms(secret: str) -> set[str]:
    # Variables of the environment may hold bytes that are no UTF-8; Python keeps them as lone surrogates.
    encoded = base64.b64encode(secret.encode(errors="surrogatepass")).decode()
    quoted = secret.encode("unicode_escape").decode("ascii")
    forms = {secret, quoted, repr(secret)[1:-1], quote_plus(secret, errors="surrogatepass")}
    forms |= {quote(secret, safe=safe, errors="surrogatepass") for safe in ("", "/")}
    return forms | ({encoded, encoded.rstrip("=")} if len(secret) >= _SHORT else set())


def _matching(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"(?<!\w){re.escape(form)}(?!\w)"


class RedactingFilter(logging.Filter):
    """Takes the secrets out of log records on their way."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with its text made and cleaned."""
        record.msg, record.args = self._redactor.text(record.getMessage()), ()
        return True

    def __enter__(self) -> "RedactingFilter":
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
