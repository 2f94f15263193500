"""paradox_generation: turn the conversation's own claims into tensions that the next answer has to resolve."""

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.intensity import level_of, pick
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.quoting import quoted
from iskra_chaos.sift.sensitivity import TOPIC, sensitive_topics
from iskra_metrics.negation import negate
from iskra_sdk.errors import BadInputError, PermissionDeniedError

_AMONG = 12  # newest claims that are chosen from
_LONGEST_CLAIM = 240
_LATEST = 8  # messages whose subject counts
_READ = 8_000  # characters of each


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Question k = 1 + round(3 i) claims: by an edge case (L1), a counterfactual (L2) or the goal turned round (L3).

    Raises:
        BadInputError: The conversation claims nothing yet.
        PermissionDeniedError: Unsettling its subject could do harm (``chaos_sensitivity`` of .5 or more).
    """
    _require_harmless(conversation)
    claims = [(source, text) for source, text in conversation.claims() if len(text) <= _LONGEST_CLAIM][:_AMONG]
    if not claims:
        raise BadInputError(
            "The conversation claims nothing yet that could be questioned.",
            mend="Ask for it after an answer that states something.",
            facts={"why": "no_claims"},
        )
    count = min(1 + round(3 * intensity), len(claims))
    chosen = []
    for number in range(count):
        chosen.append(claims.pop(pick(seed, f"claim {number}", len(claims)))[1])
    tensions = [_tension(conversation, claim, intensity) for claim in chosen]
    listed = quoted(
        [f"{number}. {tension}" for number, tension in enumerate(tensions, 1)], "conversation", conversation.language
    )
    if conversation.language == "ru":
        instruction = (
            "Ниже — противоречия, собранные из этого разговора. Это гипотезы [HYP], а не факты. Для каждого дай тезис, "
            f"антитезис, условия, при которых верно то и другое, и решение. {listed}"
        )
    else:
        instruction = (
            "Below are tensions made of this conversation's own claims. They are hypotheses [HYP], not facts. For each "
            f"give thesis, counter-thesis, the conditions under which both hold, and a decision. {listed}"
        )
    return Perturbation(turns=1, instruction=instruction, inputs=tuple(chosen), changes=tuple(tensions))


def _require_harmless(conversation: Conversation) -> None:
    """Refuse subjects on which people act at their peril; pain and crises are for the ethics check, which helps."""
    said = [message.text for message in conversation.messages[-_LATEST:]]
    topics = sorted({topic for text in said for topic in sensitive_topics(text[:_READ])})
    if topics:
        raise PermissionDeniedError(
            f"No paradox is made of this subject ({', '.join(topics)}): unsettling it could do harm.",
            mend="Ask for a micro_disturbance at a low intensity.",
            facts={"why": "sensitive_subject", "chaos_sensitivity": TOPIC, "topics": topics},
        )


def _tension(conversation: Conversation, claim: str, intensity: float) -> str:
    level = level_of(intensity)
    if conversation.language == "ru":
        return {
            "L1": f"«{claim}» — в каком крайнем случае это перестаёт быть верным?",
            "L2": f"«{claim}» — а если наоборот: «{negate(claim)}»?",
            "L3": f"«{claim}» — а если цель противоположна: «{conversation.goal}» нужно избежать?",
        }[level]
    return {
        "L1": f'"{claim}" - in which edge case does it stop being true?',
        "L2": f'"{claim}" - and if it is the other way round: "{negate(claim)}"?',
        "L3": f'"{claim}" - and if the goal is the reverse, to avoid "{conversation.goal}"?',
    }[level]
