"""Which voices there are, and how they are found by any of their names."""

from collections.abc import Iterable, Mapping, Sequence

from iskra_sdk import Voice
from iskra_sdk.errors import BadInputError
from iskra_voices.definitions.anhantha import ANHANTHA
from iskra_voices.definitions.hundun import HUNDUN
from iskra_voices.definitions.iskra import ISKRA
from iskra_voices.definitions.iskriv import ISKRIV
from iskra_voices.definitions.kain import KAIN
from iskra_voices.definitions.maki import MAKI
from iskra_voices.definitions.pino import PINO
from iskra_voices.definitions.sam import SAM
from iskra_voices.definitions.sibyl import SIBYL
from iskra_voices.policy import Policy, plain_name

SEVEN: Sequence[Policy] = (SAM, KAIN, PINO, ISKRIV, ANHANTHA, HUNDUN, ISKRA)
"""In the order in which they speak in a sequential round; Iskra closes."""
OPTIONAL: Mapping[str, Policy] = {"maki": MAKI, "sibyl": SIBYL}

AUTO = "auto"
AUTO_PREAMBLE = "Answer clearly and kindly, in the manner that the conversation needs now."
"""Stands in the prompt of ``voice:auto`` until the voice of the turn takes its place."""
DEFAULT = ISKRA.name
SWITCH_ON = "An admin can name it in `optional_voices` of the plugin `voices`."


class VoiceCatalogue:
    """The voices of one server.

    Args:
        optional: Names of the optional voices that are switched on.
    """

    def __init__(self, optional: Iterable[str] = ()) -> None:
        wanted = set(optional)
        self._optional = {
            plain_name(each)
            for name, policy in OPTIONAL.items()
            if name not in wanted
            for each in (name, policy.russian, *policy.aliases)
        }
        extra = [policy for name, policy in OPTIONAL.items() if name in wanted]
        self.policies: Sequence[Policy] = (*SEVEN[:-1], *extra, SEVEN[-1])
        self._by_name = {
            plain_name(name): policy
            for policy in self.policies
            for name in (policy.name, policy.russian, *policy.aliases)
        }

    @property
    def names(self) -> list[str]:
        """The canonical ids, in speaking order."""
        return [policy.name for policy in self.policies]

    def get(self, name: str) -> Policy | None:
        """Return the voice of a name in any script and case, or ``None``."""
        return self._by_name.get(plain_name(name))

    def named(self, name: str) -> Policy:
        """Return the voice of a name in any script and case.

        Raises:
            BadInputError: There is none.
        """
        policy = self.get(name)
        if policy is None:
            is_off = plain_name(name) in self._optional
            choice = f"Pick one of: {', '.join(self.names)}."
            raise BadInputError(
                f"The voice {name[:40]!r} is switched off." if is_off else f"There is no voice {name[:40]!r}.",
                mend=f"{choice} {SWITCH_ON}" if is_off else choice,
                facts={"voices": self.names},
            )
        return policy

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Return ids without repetition in speaking order."""
        wanted = set(names)
        return [name for name in self.names if name in wanted]

    def voices(self, *, with_parameters: bool) -> list[Voice]:
        """Return the voices as the kernel offers them, ``auto`` last, and after it those that are switched off."""
        made = [
            Voice(
                name=policy.name,
                preamble=policy.preamble,
                description=f"{policy.description} {policy.description_ru}",
                aliases=_spellings(policy),
                parameters=policy.parameters if with_parameters else {},
            )
            for policy in self.policies
        ]
        off = [
            Voice(policy.name, "", policy.description, aliases=_spellings(policy), switched_off=SWITCH_ON)
            for name, policy in OPTIONAL.items()
            if name not in self.names
        ]
        chosen = "Chooses the voice that the conversation needs now. Сам выбирает голос, который нужен разговору."
        auto = Voice(name=AUTO, preamble=AUTO_PREAMBLE, description=chosen, aliases=("авто", "Авто", "Auto"))
        return [*made, auto, *off]


def _spellings(policy: Policy) -> tuple[str, ...]:
    """Return every alias, also capitalised: the kernel compares names letter by letter."""
    names = [policy.name, policy.russian, *policy.aliases]
    spelled = [form for name in names for form in (name, name.lower(), name.title(), name.upper())]
    return tuple(dict.fromkeys(form for form in spelled if form != policy.name))
