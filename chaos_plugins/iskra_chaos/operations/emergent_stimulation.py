"""emergent_stimulation: bring ideas together that lie far apart in the conversation, under several points of view."""

from collections.abc import Sequence

from iskra_chaos.operations.cards import views
from iskra_chaos.operations.conversation import Conversation, likeness
from iskra_chaos.operations.intensity import pick
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.quoting import quoted
from iskra_metrics.text import sentences, stems
from iskra_sdk.errors import BadInputError

_FEWEST_STEMS = 3
_CANDIDATES = 200
_LONGEST = 240


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Connect m = 2 + round(2 i) distant statements under 2 to 4 points of view, for 1 + round(i) answers.

    Only what the user and the assistant said is taken; what tools returned stays where it is.

    Raises:
        BadInputError: Fewer than two statements were made.
    """
    said = [
        text
        for message in conversation.messages
        if message.role in ("user", "assistant")
        for sentence in sentences(message.text)
        if len(stems(text := " ".join(sentence.split()))) >= _FEWEST_STEMS and len(text) <= _LONGEST
    ]
    items = farthest(list(dict.fromkeys(said))[-_CANDIDATES:], 2 + round(2 * intensity), seed)
    if len(items) < 2:
        raise BadInputError(
            "There are not two ideas in this conversation yet that could be brought together.",
            mend="Ask for it later, or ask for a micro_disturbance.",
            facts={"why": "too_few_ideas"},
        )
    stances = views(conversation.language, seed, 2 + round(2 * intensity))
    listed = quoted([f"- {item}" for item in items], "conversation", conversation.language)
    if conversation.language == "ru":
        instruction = (
            f"Свяжи между собой далёкие мысли из этого разговора. {listed}\nПосмотри глазами: {', '.join(stances)}. "
            "Назови хотя бы одну новую идею, которая опирается на две из них. Всё новое помечай [HYP]."
        )
    else:
        instruction = (
            f"Bring together ideas of this conversation that lie far apart. {listed}\nLook at them as "
            f"{', '.join(stances)}. Name at least one new idea that rests on two of them. Mark what is new as [HYP]."
        )
    return Perturbation(
        turns=1 + round(intensity),
        instruction=instruction,
        inputs=tuple(items),
        changes=_changes(items, stances, speaks_russian=conversation.language == "ru"),
    )


def _changes(items: Sequence[str], stances: Sequence[str], *, speaks_russian: bool) -> tuple[str, ...]:
    if speaks_russian:
        listed = "; ".join(f"«{item}»" for item in items)
        return (f"Связать далёкие мысли: {listed}", f"Смотреть глазами: {', '.join(stances)}; новое помечать [HYP]")
    listed = "; ".join(f'"{item}"' for item in items)
    return (f"Ideas far apart are to be connected: {listed}", f"Seen by {', '.join(stances)}; new ones marked [HYP]")


def farthest(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return texts that lie far apart: each next one is the least like those chosen before.

    Greedy farthest-point traversal (Gonzalez 1985), from a start that the seed picks.
    """
    if not texts:
        return []
    chosen = [pick(seed, "item", len(texts))]
    nearest = [likeness(text, texts[chosen[0]]) for text in texts]
    while len(chosen) < min(count, len(texts)):
        following = min(
            (number for number in range(len(texts)) if number not in chosen), key=lambda number: nearest[number]
        )
        chosen.append(following)
        for number, text in enumerate(texts):
            nearest[number] = max(nearest[number], likeness(text, texts[following]))
    return [texts[number] for number in chosen]
