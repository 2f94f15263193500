"""Makes text safe to look at: what cannot be seen, or changes what is seen around it, is written out."""

import unicodedata

# Control, format (bidirectional overrides, zero-width), surrogate, private use, unassigned, line separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, keep: str = "\n\t") -> str:
    """Return ``text`` with characters that cannot be seen written as ``\\x1b`` or ``\\u202e``.

    Args:
        text: Any text.
        keep: Characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in keep or not _is_unseen(character) else _escaped(character) for character in text
    )


def quoted(text: str) -> str:
    """Return ``text`` in double quotes, such that two different texts never look the same to a program."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped, keep="")}"'


def printable_path(path: str) -> str:
    """Return a path for messages: cut and in quotes."""
    return quoted(path if len(path) <= 200 else path[:200] + "…")


def _is_unseen(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _UNSEEN or (category == "Zs" and character != " ")


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
