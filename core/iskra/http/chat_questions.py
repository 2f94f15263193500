"""What a chat client can say to an agent's question besides an answer: that it is to be dropped."""

_DROP = frozenset({"cancel", "never mind", "отмена", "отмени", "неважно"})


def drops_question(text: str) -> bool:
    """Return whether a message drops the open question instead of answering it."""
    return text.strip().rstrip(".!").casefold() in _DROP


def dropped_text(language: str) -> str:
    """Return what is said when a question was dropped."""
    return "Вопрос снят. Пишите дальше." if language == "ru" else "The question is dropped. Go on."


def way_out(language: str) -> str:
    """Return how to drop a question, for somebody who did not answer it."""
    return "Чтобы снять вопрос, напишите «отмена»." if language == "ru" else 'To drop the question, write "cancel".'
