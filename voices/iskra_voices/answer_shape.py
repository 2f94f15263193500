"""What can be seen in the form of an answer: quotations, steps, labels, questions, tables."""

import re
from collections.abc import Sequence

from iskra_metrics.text import char_ngrams, cosine, normal, sentences, stems, words

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"«([^«»]{3,400})»|“([^“”]{3,400})”|\"([^\"\n]{3,400})\"|^>[ \t]*(.{3,400})$", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(?:\*\*)?\d{1,2}[.)](?:\*\*)?[ \t]+(\S.*)$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)])[ \t]+(\S.*)$", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[ \t]*\|(.+)\|[ \t]*$", re.MULTILINE)
_TABLE_RULE = re.compile(r"^[\s|:-]+$")
_LEADING = r"^[ \t]*(?:[-*+•>#]+[ \t]*)?(?:\*\*|__)?[ \t]*"


def prose(text: str) -> str:
    """Return a text without its fenced code."""
    return _FENCE.sub("\n", text)


def code_blocks(text: str) -> list[str]:
    """Return the fenced code of a text, fences included."""
    return [match.group() for match in _FENCE.finditer(text)]


def quotations(text: str) -> list[str]:
    """Return what stands in quotation marks or in a quoted line."""
    return [next(filter(None, match.groups())).strip() for match in _QUOTED.finditer(prose(text))]


def quotes_verbatim(text: str, sources: Sequence[str], *, least: int = 2) -> bool:
    """Tell whether a quotation of ``least`` words or more stands word for word in a source."""
    known = [" ".join(words(source)) for source in sources]
    found = [" ".join(words(quotation)) for quotation in quotations(text)]
    return any(f" {quoted} " in f" {source} " for quoted in found if len(quoted.split()) >= least for source in known)


def numbered(text: str) -> list[str]:
    """Return the numbered items of a text."""
    return [match.group(1).strip() for match in _NUMBERED.finditer(prose(text))]


def listed(text: str) -> list[str]:
    """Return the items of its lists, numbered or not."""
    return [match.group(1).strip() for match in _BULLET.finditer(prose(text))]


def labelled(text: str, label: str) -> list[str]:
    """Return what follows ``label:`` at the beginning of a line; ``label`` is a pattern."""
    pattern = re.compile(
        rf"{_LEADING}(?:{label})[ \t]*(?:\*\*|__)?[ \t]*[:：—–][ \t]*(?:\*\*|__)?[ \t]*(.*)$",
        re.MULTILINE | re.IGNORECASE,
    )
    return [match.group(1).strip() for match in pattern.finditer(prose(text))]


def table(text: str) -> list[list[str]]:
    """Return the rows of the tables of a text, without header and rule."""
    rows: list[list[str]] = []
    for match in _TABLE_ROW.finditer(prose(text)):
        if _TABLE_RULE.match(match.group()):
            rows = rows[:-1]  # what stands above a rule is a header
            continue
        rows.append([cell.strip() for cell in match.group(1).split("|")])
    return rows


def question_count(text: str) -> int:
    """Count the questions of a text, those that it quotes left out."""
    return len(re.findall(r"\?[?!]*", _QUOTED.sub(" ", prose(text))))


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def last_sentence(text: str) -> str:
    """Return the last sentence, or nothing."""
    found = sentences(prose(text))
    return found[-1] if found else ""


def having(pattern: str, text: str) -> list[str]:
    """Return the sentences in which a pattern is found."""
    return [sentence for sentence in sentences(prose(text)) if re.search(pattern, normal(sentence).replace("ё", "е"))]


def word_count(text: str) -> int:
    """Count the words of a text, code left out."""
    return len(words(prose(text)))


def shared_stems(text: str, other: str) -> set[str]:
    """Return the stems of content words that two texts share."""
    return set(stems(text)) & set(stems(other))


def likeness(text: str, other: str) -> float:
    """Return the cosine of the character 4-grams of two texts, in [0, 1]."""
    return cosine(char_ngrams(text), char_ngrams(other))


def contradicts(text: str, facts: Sequence[str]) -> bool:
    """Tell whether a statement of a text contradicts a fact, as far as words and numbers show it."""
    if not facts:
        return False
    from iskra_metrics.claims import contradictions  # heavy; only where answers are checked

    statements = [*facts, *sentences(prose(text))]
    return any(pair.first < len(facts) <= pair.second for pair in contradictions(statements))


def is_only_code(text: str) -> bool:
    """Tell whether an answer is code or data with next to no words around it."""
    stripped = text.strip()
    if stripped[:1] in ("{", "[") and stripped[-1:] in ("}", "]"):
        return True
    return bool(code_blocks(text)) and word_count(text) <= 12
