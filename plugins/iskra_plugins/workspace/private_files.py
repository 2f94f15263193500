"""Decides which files the file tools keep their hands off."""

import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase


def _folded(name: str) -> str:
    # Some file systems ignore case and Unicode form, so `.ENV` may be `.env`.
    return unicodedata.normalize("NFKC", name).casefold()


class PrivateFiles:
    """Matches real locations, after links were followed, against globs.

    Args:
        globs: A glob without ``/`` matches any one name of a location, one with ``/`` consecutive names; a leading
            ``!`` takes a match back. The last glob that matches decides.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self._rules = [(not glob.startswith("!"), _folded(glob.removeprefix("!")).split("/")) for glob in globs]

    def covers(self, names: Sequence[str]) -> bool:
        """Return whether the file or folder at these names below the root, or a folder above it, is private."""
        folded = [_folded(name) for name in names]
        return any(self._covers_last(folded[:length]) for length in range(1, len(folded) + 1))

    def _covers_last(self, names: Sequence[str]) -> bool:
        private = False
        for verdict, parts in self._rules:
            if private is verdict or len(parts) > len(names):
                continue
            if all(fnmatchcase(name, glob) for name, glob in zip(names[-len(parts) :], parts, strict=True)):
                private = verdict
        return private
