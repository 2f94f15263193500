"""Groups of related words in Russian and English, so that a word counts like others that mean the same."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

_SHORTEST_STEM, _LONGEST_STEM = 2, 12


class Concepts:
    """The groups that words belong to.

    Args:
        groups: Words of each group, apart by spaces; ``stem*`` stands for every word that begins so.
    """

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._whole: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for group, listed in groups.items():
            for word in listed.replace("ё", "е").split():
                kept = self._stems if word.endswith("*") else self._whole
                kept.setdefault(word.removesuffix("*"), []).append(group)

    def of(self, word: str) -> tuple[str, ...]:
        """Return the groups of a word in lower case, in the order of their names."""
        found = set(self._whole.get(word, ()))
        for length in range(_SHORTEST_STEM, min(len(word), _LONGEST_STEM) + 1):
            found.update(self._stems.get(word[:length], ()))
        return tuple(sorted(found))


@lru_cache(maxsize=1)
def packaged_concepts() -> Concepts:
    """Read the groups that come with the plugin."""
    return Concepts(tomllib.loads((files("iskra_chaos.ethics") / "concepts.toml").read_text("utf-8")))
