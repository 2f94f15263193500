"""The answer of `/sift/chaos_inject`."""

from pydantic import Field

from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.trace import ChaosIntervention, InjectionType
from iskra_chaos.sift.wire_model import WireModel


class SIFTChaosInjectionResult(WireModel):
    """The answer of `/sift/chaos_inject`."""

    sift_block: SIFTBlock = Field(description="The block with the elements; a shadow copy for `contradiction_points`.")
    intervention: ChaosIntervention = Field(description="What was changed, with the patches there and back.")
    injection_type: InjectionType = Field(description="What kind of element was injected.")
    added_paths: list[str] = Field(description="JSON Pointers that the injection wrote to.")
    chaos_potential_before: float = Field(ge=0, le=1, description="The potential that the block stated before.")
    chaos_potential_after: float = Field(ge=0, le=1, description="The potential that it states now.")
    confidence_before: float = Field(ge=0, le=1, description="The confidence before.")
    confidence_after: float = Field(ge=0, le=1, description="The confidence now.")
    verify: str = Field(description="The effect that shows in the answer when the injection works.")

    @classmethod
    def of(cls, before: SIFTBlock, injection: tuple[SIFTBlock, ChaosIntervention]) -> "SIFTChaosInjectionResult":
        """Return an injection as it goes over the wire."""
        block, intervention = injection
        return cls(
            sift_block=block,
            intervention=intervention,
            injection_type=intervention.injection_type,
            added_paths=[step.path for step in intervention.forward],
            chaos_potential_before=before.inference.chaos_potential,
            chaos_potential_after=block.inference.chaos_potential,
            confidence_before=before.inference.confidence_level,
            confidence_after=block.inference.confidence_level,
            verify=intervention.verify,
        )
