"""How much harm unsettling a subject could do."""

import re

from iskra_metrics.distress import in_crisis, pain_in

SENSITIVE = 0.5
"""From here on chaos is not for this block."""

TOPIC = 0.9
IRREVERSIBLE = 0.8

_TOPICS = {
    "medical": (
        r"диагноз\w*|симптом\w*|лекарств\w*|дозиров\w*|пациент\w*|беременн\w*|онколог\w*|инсульт\w*|инфаркт\w*|"
        r"антибиотик\w*|врач\w{0,3}|препарат\w* (?:от|для лечения)|побочн\w+ эффект\w*(?= (?:лекарств|препарат))|"
        r"diagnos[ei]s|symptoms? of|medications?|dosages?|patients|pregnan\w+|oncolog\w+|stroke patient\w*|"
        r"antibiotics?|chemotherapy|side effects of|my doctor|insulin\w*|инсулин\w*"
    ),
    "legal": (
        r"судебн\w+|иск(?:а|у|ом|и)? (?:к|в суд)|адвокат\w*|уголовн\w+|развод\w{0,3} (?:с|и раздел)|договор\w* аренды|"
        r"наследств\w+ (?:по|дел)|lawsuit\w*|attorneys?|my lawyer|criminal charges?|custody of|plaintiffs?|"
        r"legal advice|immigration case"
    ),
    "finance": (
        r"ипотек\w*|кредит\w{0,3} в банке|инвестици\w+ (?:в|сбережен)|пенсионн\w+ накоплен\w*|"
        r"все сбережения|банкротств\w+|"
        r"mortgages?|my savings|retirement funds?|investment advice|bankruptcy|life savings|tax returns?"
    ),
    "safety": (
        r"взрывчат\w+|огнестрельн\w+|отравлени\w+|утечк\w+ газа|высок\w+ напряжени\w+|"
        r"аварийн\w+ (?:остановк|клапан)\w*|"
        r"explosives?|firearms?|poisoning|gas leaks?|high voltage|emergency shutdown valves?|reactor scram"
    ),
}
_COMPILED = {topic: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for topic, words in _TOPICS.items()}


def sensitive_topics(text: str) -> list[str]:
    """Return which of ``medical``, ``legal``, ``finance`` and ``safety`` a text is about, by its words."""
    plain = text.replace("ё", "е").replace("Ё", "Е")
    return [topic for topic, words in _COMPILED.items() if words.search(plain)]


def chaos_sensitivity(text: str, *, irreversible: bool = False) -> float:
    """Return the largest of: pain, 1 in a crisis, .9 for a sensitive topic, .8 where a tool cannot be undone."""
    grounds = [
        pain_in(text),
        1.0 if in_crisis(text) else 0.0,
        TOPIC if sensitive_topics(text) else 0.0,
        IRREVERSIBLE if irreversible else 0.0,
    ]
    return round(max(grounds), 4)
