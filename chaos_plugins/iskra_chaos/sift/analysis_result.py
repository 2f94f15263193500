"""The answer of `/sift/chaos_analyze`, at whichever depth."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.sift.comprehensive import ComprehensiveAnalysis
from iskra_chaos.sift.deep import DeepAnalysis
from iskra_chaos.sift.surface import SurfaceAnalysis

Depth = Literal["surface", "deep", "comprehensive"]


class ChaosAnalysisResult(BaseModel):
    """An analysis with its depth and what it cost; each depth includes the ones before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    analysis_depth: Depth = Field(description="The depth that was asked for.")
    chaos_potential: float = Field(ge=0, le=1, description="How much the block could gain from being unsettled.")
    elapsed_ms: float = Field(ge=0, description="How long the analysis took, in milliseconds.")
    analysis: ComprehensiveAnalysis | DeepAnalysis | SurfaceAnalysis = Field(
        description="What was found; its members grow with the depth."
    )

    @classmethod
    def of(cls, analysis: SurfaceAnalysis, elapsed_ms: float) -> "ChaosAnalysisResult":
        """Return an analysis as it goes over the wire."""
        depth: Depth = "surface"
        if isinstance(analysis, DeepAnalysis):
            depth = "comprehensive" if isinstance(analysis, ComprehensiveAnalysis) else "deep"
        return cls(
            analysis_depth=depth, chaos_potential=analysis.chaos_potential, elapsed_ms=elapsed_ms, analysis=analysis
        )
