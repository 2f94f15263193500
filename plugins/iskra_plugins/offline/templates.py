"""Compiles the templates of :mod:`~iskra_plugins.offline.intents` into regular expressions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from iskra_plugins.offline.intents import KINDS, MACROS

_MACRO = re.compile(r"\{(\w+)\}")
_ELEMENT = re.compile(r"\[|\]|<(\w+)(?::(\w+))?>|[^\s\[\]]+")


def match(templates: Mapping[str, Sequence[str]], clause: str) -> Mapping[str, str] | None:
    """Return what the slots of the first matching template hold, in any language; ``None`` if none matches."""
    for language in templates:
        for template in templates[language]:
            if found := compiled(template).fullmatch(f" {clause}"):
                return {slot: value for slot, value in found.groupdict().items() if value is not None}
    return None


@lru_cache(maxsize=512)
def compiled(template: str) -> re.Pattern[str]:
    """Return the expression of a template; each element consumes the space before it.

    Raises:
        ValueError: The template is malformed.
    """
    text = _MACRO.sub(lambda macro: MACROS[macro[1]], template)
    pieces: list[str] = []
    depth = 0
    for element in _ELEMENT.finditer(text):
        if element[0] == "[":
            depth += 1
            pieces.append("(?:")
        elif element[0] == "]":
            depth -= 1
            pieces.append(")?")
        elif element[1]:
            pieces.append(f" (?P<{element[1]}>{KINDS[element[2] or 'word']})")
        else:
            pieces.append(f" (?:{'|'.join(_words(element[0].split('|')))})(?!\\S)")
        if depth < 0:
            break
    if depth:
        raise ValueError(f"unbalanced brackets in the template {template!r}")
    return re.compile("".join(pieces), re.IGNORECASE)


def _words(alternatives: Iterable[str]) -> Iterable[str]:
    for alternative in alternatives:
        escaped = re.escape(alternative.removesuffix("*")).replace("_", " ").replace("ё", "е").replace("е", "[её]")
        yield escaped + (r"\S*" if alternative.endswith("*") else "")


def compile_all(tables: Iterable[Mapping[str, Sequence[str]]]) -> None:
    """Compile templates ahead of their use: the first request would spend a tenth of a second on it."""
    for table in tables:
        for templates in table.values():
            for template in templates:
                compiled(template)
