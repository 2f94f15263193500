"""micro_disturbance: one answer with a prompt card and a slightly warmer sampler.

An answer that does not keep what was asked for is drawn again by the base sampler and without the card."""

from iskra_chaos.operations.cards import card
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation, SamplerShift


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Nudge one answer: temperature + .5 i, top_p .90 + .08 i, frequency penalty .6 i, and one card."""
    drawn = card(conversation.language, seed)
    sampler = SamplerShift(0.5 * intensity, 0.90 + 0.08 * intensity, 0.6 * intensity)
    if conversation.language == "ru":
        instruction = f"Только для этого ответа: {drawn} Факты, числа и код не меняй."
        changes = (
            f"К следующему ответу добавлена подсказка: «{drawn}»",
            "В вызовах без инструментов модель выбирает слова чуть свободнее.",
        )
    else:
        instruction = f"For this answer only: {drawn} Leave facts, numbers and code as they are."
        changes = (
            f'The next answer gets the hint: "{drawn}"',
            "In calls without tools the model chooses its words a little more freely.",
        )
    return Perturbation(turns=1, instruction=instruction, sampler=sampler, is_checked=True, changes=changes)
