import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.chat.asking import Asked, understand

START = [
    ("We are going in circles, break the pattern", "pattern_break", 0.5),
    ("You keep repeating yourself", "pattern_break", 0.5),
    ("Мы ходим по кругу, сломай шаблон", "pattern_break", 0.5),
    ("Shake this up a little", "micro_disturbance", 0.25),
    ("surprise me, 0.7", "micro_disturbance", 0.7),
    ("Слегка встряхни разговор", "micro_disturbance", 0.25),
    ("question my assumptions", "paradox_generation", 0.5),
    ("Поставь под сомнение всё, что я сказал", "paradox_generation", 0.5),
    ("start afresh", "fire_reset", 0.5),
    ("Начнём с чистого листа, радикально", "fire_reset", 0.8),
    ("give me several versions side by side", "quantum_flux", 0.5),
    ("дай несколько вариантов, сила 30%", "quantum_flux", 0.3),
    ("connect the ideas we had", "emergent_stimulation", 0.5),
    ("Свяжи эти мысли, сила 0,9", "emergent_stimulation", 0.9),
]


@pytest.mark.parametrize(("text", "operation", "intensity"), START)
def test_operations_are_understood_in_plain_words(text: str, operation: str, intensity: float) -> None:
    asked = understand(text)
    assert (asked.intent, asked.operation) == ("start", operation)
    assert asked.intensity == pytest.approx(intensity)


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("put it back", "undo"),
        ("Put the conversation back as it was", "undo"),
        ("undo the perturbation", "undo"),
        ("верни как было", "undo"),
        ("отмени возмущение", "undo"),
        ("what was changed?", "show"),
        ("what did the perturbation change?", "show"),
        ("что изменено в этом разговоре?", "show"),
        ("leave the conversation alone", "leave"),
        ("больше ничего не меняй", "leave"),
        ("можно возмущать", "welcome"),
        ("Take the second version", "choose"),
        ("Вариант 2", "choose"),
        ("which perturbations are there?", "help"),
        ("How can the fair surprise people? Something with a paradox?", "help"),
        ("Чем удивить людей на ярмарке?", "help"),
        ("Как сбросить пароль?", "help"),
        ("What does the reset button do?", "help"),
        ("Хочу удивить жену подарком", "help"),
        ("Why do you keep repeating yourself?", "start"),
        ("Почему мы ходим по кругу?", "start"),
        ("hello", "help"),
        ("", "help"),
    ],
)
def test_other_intents(text: str, intent: str) -> None:
    assert understand(text).intent == intent


@given(st.text(max_size=500))
def test_any_text_is_understood_somehow_and_within_bounds(text: str) -> None:
    asked = understand(text)
    assert isinstance(asked, Asked)
    assert 0.1 <= asked.intensity <= 1.0
