"""Which sentences ask somebody to do something, in Russian and English."""

import re

from iskra_metrics.text import normal

_INSTRUCTION = re.compile(
    r"^(?:далее|дальше|затем|теперь|сначала|потом|начн\w*|сделай\w*|запусти\w*|провер(?:ь|им)\w*|попробуй\w*|"
    r"напиши\w*|"
    r"пришли\w*|открой\w*|добавь\w*|измени(?:те)?|замени(?:те)?|используй\w*|поставь\w*|подожди\w*|вызови\w*|"
    r"посмотри\w*|"
    r"создай\w*|удали(?:те)?|обнови(?:те)?|сравни(?:те)?|скопируй\w*|верни(?:те)?|установи(?:те)?|"
    r"next|then|now|first|finally|start|try|run|check|open|send|tell|add|install|restart|please|change|replace|use|"
    r"set|"
    r"wait|call|roll|look|put|create|write|remove|delete|update|compare|copy|make|let|either|reload|return|see)\b"
    r"|\b(?:следующ\w+ шаг\w*|давай(?:те)?|предлагаю|осталось|можешь|можете|let's|let us|next steps?|i suggest|"
    r"i recommend|you can|you could|you should|i'll now|todo)\b"
)


def is_instruction(sentence: str) -> bool:
    """Tell whether a sentence says what to do, and so claims nothing."""
    return _INSTRUCTION.search(normal(sentence).replace("ё", "е").replace("’", "'")) is not None
