"""Searches a text for a regular expression of a file, in bounded time whatever the expression is.

Python's matcher backtracks: the time of ``(a+)+$`` doubles with each letter, and nothing in the process can stop it.
RE2 takes time in proportion to the text. It reads most expressions as Python does; where it would not, Python searches
in a child process that is stopped when its time is over.
"""

import asyncio
import json
import sys

from iskra_chaos.experiments.errors import ExperimentError

SEARCH_SECONDS = 5.0
"""For a search in a child process, its start included."""

_READ_OTHERWISE = ("[:", "{,", "\\Z")
"""What stands for something else in RE2's syntax, or for nothing."""
_SPACE_OF_PYTHON_ALONE = frozenset("\v\x1c\x1d\x1e\x1f")
_SEARCH = (
    "import json, re, sys\n"
    "pattern, text = json.load(sys.stdin)\n"
    "sys.stdout.write(str(int(re.search(pattern, text) is not None)))\n"
)


async def is_found(pattern: str, text: str) -> bool:
    """Return whether ``re.search`` finds a valid pattern in a text.

    Raises:
        ExperimentError: It took longer than :data:`SEARCH_SECONDS`.
    """
    found = _found_by_re2(pattern, text) if _is_read_alike(pattern, text) else None
    return await _found_by_child(pattern, text) if found is None else found


def _is_read_alike(pattern: str, text: str) -> bool:
    """Return whether RE2 means the same: its letters, digits and spaces are ASCII's, and its ``$`` is the very end."""
    if any(sign in pattern for sign in _READ_OTHERWISE) or ("$" in pattern and text.endswith("\n")):
        return False
    if "\\" in pattern and not _SPACE_OF_PYTHON_ALONE.isdisjoint(text):
        return False
    return text.isascii() or ("\\" not in pattern and "(?" not in pattern)


def _found_by_re2(pattern: str, text: str) -> bool | None:
    """Return ``None`` for what RE2 has not, such as references back and looking around."""
    import re2  # type: ignore[import-untyped]  # has no type hints; most tolerances are none

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(text) is not None
    except (re2.error, UnicodeEncodeError):
        return None


async def _found_by_child(pattern: str, text: str) -> bool:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _SEARCH, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            output, _ = await child.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError:
        raise ExperimentError(
            f"The pattern {pattern!r} was searched for {SEARCH_SECONDS:g} s in vain: it tries too many ways to match.",
            mend="Write it without a repetition inside a repetition, and without references back and looking around.",
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return output == b"1"
