"""What is known only as somebody's word."""

import re

from iskra_metrics.text import Language

_CLAIM = re.compile(r"\A.{1,200}? (?:claims: \"(?P<en>.*)\"|утверждает: «(?P<ru>.*)»)\Z", re.DOTALL)


def claim(name: str, statement: str, language: Language) -> str:
    """Return the fact that somebody claims something."""
    return f"{name} утверждает: «{statement}»" if language == "ru" else f'{name} claims: "{statement}"'


def claimed(statement: str) -> str:
    """Return what is claimed, or the statement itself where it is nobody's claim."""
    found = _CLAIM.match(statement)
    return (found["en"] or found["ru"] or "") if found else statement
