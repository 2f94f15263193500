"""Finds and blots out personal data and secrets in short texts."""

import re

_MARK = "[…]"
_FEWEST_DIGITS = 9
_LUHN_DOUBLES = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_MAIL = re.compile(r"(?!git@)(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_SECRETS = re.compile(
    r"(?<!\w)(?:"
    r"(?:sk|pk|rk|ghp|gho|github_pat|xox[abp]|glpat|hf)[-_][A-Za-z0-9_-]{16,200}"
    r"|AKIA[0-9A-Z]{16}(?!\w)"
    r"|eyJ[\w-]{8,1000}\.[\w-]{8,1000}\.[\w-]{8,1000}"
    r"|bearer\s[\w.~+/-]{16,1000}"
    r"|(?:bearer|token|api[_ -]?key|secret|password|passwd|pwd|парол[ья]|токен|ключ api)\s{0,3}[:=]\s{0,3}\S{4,200}"
    r")"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----",
    re.IGNORECASE,
)
_NUMBERS = re.compile(
    r"(?<![\w+])(?:\+\d{1,3}|8)[ \-]?\(?\d{3}\)?[ \-]?\d{3}[ \-]?\d{2}[ \-]?\d{2}(?!\d)"
    r"|(?<![\w+])\+\d{1,3}[ \-]?(?:\(?\d{2,4}\)?[ \-]?){2,4}\d{2,4}(?!\d)"
    r"|(?<![\w-])\(?\d{3}\)?[ \-]\d{3}-\d{4}(?![\d-])"
    r"|(?<!\d)\d{3}-\d{3}-\d{3}[ -]\d{2}(?!\d)"  # SNILS
    r"|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"  # US social security number
    r"|паспорт\w{0,3}[\s:№-]{0,3}(?:серии\s)?\d{2}\s?\d{2}\s?(?:№\s?)?\d{6}(?!\d)",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")


def redacted(text: str) -> str:
    """Return the text with mail addresses, telephone, card and identity numbers, keys and passwords blotted out.

    Card numbers have to pass the Luhn check, so long counters and timestamps stay.
    """
    if "@" in text:
        text = _MAIL.sub(_MARK, text)
    text = _SECRETS.sub(_MARK, text)
    if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
        return text
    text = _NUMBERS.sub(_MARK, text)
    return _CARD.sub(lambda found: _MARK if _passes_luhn(found[0]) else found[0], text)


def _passes_luhn(number: str) -> bool:
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    return (sum(digits[::2]) + sum(_LUHN_DOUBLES[digit] for digit in digits[1::2])) % 10 == 0
