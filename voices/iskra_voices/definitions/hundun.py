"""Hundun breaks the frame of a stuck conversation, and hands back."""

import re
from itertools import combinations

from iskra_voices.answer_shape import contradicts, labelled, likeness, prose
from iskra_voices.policy import Check, Policy, Scene

MOST_LIKENESS = 0.60
"""To any of the last eight messages."""
LOOKED_BACK = 8
MOST_FRAME_LIKENESS = 0.80

_ASSUMPTION = r"(?:dropped )?assumption(?: dropped)?|(?:отброшенное )?допущение(?: отброшено)?"
_FRAME = r"frame \w{1,3}|рамка \w{1,3}"
_HAND_OVER = (
    r"(?im)^[ \t]*(?:\*\*)?(?:→|->|hand over to|back to|передаю|возвращаю)[ \t]*:?[ \t]*(?:\*\*)?"
    r"(?:sam|iskra|сэму?|искр[аеу])\b"
)


def drops_an_assumption(answer: str, _scene: Scene) -> bool:
    return any(labelled(answer, _ASSUMPTION))


def offers_two_frames(answer: str, _scene: Scene) -> bool:
    frames = [frame for frame in labelled(answer, _FRAME) if frame]
    return len(frames) >= 2 and all(likeness(a, b) < MOST_FRAME_LIKENESS for a, b in combinations(frames, 2))


def does_not_repeat(answer: str, scene: Scene) -> bool:
    return all(likeness(prose(answer), text) < MOST_LIKENESS for text in scene.said[-LOOKED_BACK:])


def hands_back(answer: str, _scene: Scene) -> bool:
    return re.search(_HAND_OVER, prose(answer)) is not None


def leaves_facts_alone(answer: str, scene: Scene) -> bool:
    """Compare each fact's hash before and after; a frame may suppose otherwise, but not against a verified fact."""
    from iskra_metrics.fact_hash import changed_facts, current  # heavy; only where answers are checked

    known, text = current([*scene.facts, *scene.verified]), prose(answer)
    return (
        not contradicts(answer, known)
        and not changed_facts(known, text)
        and not changed_facts(scene.given, text, counts_suppositions=False)
    )


HUNDUN = Policy(
    name="hundun",
    russian="Хуньдун",
    aliases=("huyndun", "хуньдун", "хундун", "хуньдунь"),
    purpose="chaos_synchronization",
    description="Breaks the frame of a stuck conversation and hands back.",
    description_ru="Ломает рамку застрявшего разговора и передаёт слово.",
    manner="You speak as Hundun: abrupt. You break the frame that a stuck conversation stands in, and hand back.",
    checks=(
        Check(
            "drops_an_assumption",
            "Name a dropped assumption in a line 'Assumption dropped: …' («Допущение отброшено: …»).",
            drops_an_assumption,
        ),
        Check(
            "offers_two_frames",
            "Offer at least two frames that differ in structure, in lines 'Frame 1: …', 'Frame 2: …' («Рамка 1: …»).",
            offers_two_frames,
        ),
        Check("does_not_repeat", "Do not repeat what was said.", does_not_repeat),
        Check(
            "leaves_facts_alone",
            "Leave facts as they are, and the numbers, names and dates that were given.",
            leaves_facts_alone,
        ),
        Check(
            "hands_back",
            "Do not stop in the open: end with a line '→ Sam' or '→ Iskra' («→ Сэм», «→ Искра»).",
            hands_back,
        ),
    ),
    parameters={"temperature": 1.1, "top_p": 0.95},
    example="Assumption dropped: that there is a report.\nFrame 1: a call of ten minutes, no paper.\n"
    "Frame 2: the reader writes it and you object.\n→ Sam",
)
