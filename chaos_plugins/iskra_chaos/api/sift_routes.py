"""``/api/v1/sift``: build, analyse, unsettle and restore SIFT blocks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.api.access import caller, require_level
from iskra_chaos.api.bodies import AnalyzeRequest, ClearanceRequest, InjectRequest, RevertRequest
from iskra_chaos.api.refusal import REFUSED
from iskra_chaos.ethics import Review
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.session_blocks import SessionBlocks
from iskra_chaos.sift.analysis import ChaosAnalysisResult, SurfaceAnalysis
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.building import blocks_from_document
from iskra_chaos.sift.depths.comprehensive import comprehensive
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.depths.surface import surface
from iskra_chaos.sift.injections.injection import inject, revert
from iskra_chaos.sift.injections.result import SIFTChaosInjectionResult
from iskra_metrics.utterance import Utterance
from iskra_sdk.llm import Caller, LLMRequest
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal

_Id = Annotated[str, Path(max_length=100)]
_NEIGHBOURS = 20
_COMPREHENSIVE_SECONDS = 10.0


class DocumentBody(BaseModel):
    """A document to cut into blocks."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=500_000)]
    origin: Annotated[str, Field(min_length=1, max_length=2000)]
    author: Annotated[str, Field(max_length=200)] = ""
    date: Annotated[str, Field(max_length=40)] = ""


class Blocks(BaseModel):
    """SIFT blocks, oldest first."""

    data: list[SIFTBlock]


class InjectionClearance(BaseModel):
    """A review, and the token that lets the injection happen once, for a minute."""

    review: Review
    token: str = ""


def sift_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``, each route for what it needs beyond that."""
    app = FastAPI(title="SIFT blocks", openapi_url=None, docs_url=None, redoc_url=None)
    session_blocks = SessionBlocks(parts.context.sessions)

    @app.get("/sessions/{session_id}", tags=["sift"])
    async def blocks_of_session(request: Request, session_id: _Id) -> Blocks:
        """Return a session's latest turns as blocks."""
        return Blocks(data=await session_blocks.of(caller(request), session_id))

    @app.post("/documents", tags=["sift"])
    async def blocks_of_document(request: Request, body: DocumentBody) -> Blocks:
        """Cut a document into blocks; nothing is kept."""
        principal = caller(request)
        require_level(principal, "intermediate")
        now = parts.context.clock.now()
        found = await asyncio.to_thread(
            lambda: blocks_from_document(
                body.text, origin=body.origin, author=body.author, date=body.date, as_of=now, actor=principal.id
            )
        )
        return Blocks(data=found)

    @app.post("/chaos_analyze", tags=["sift"])
    async def analyze(request: Request, body: AnalyzeRequest) -> ChaosAnalysisResult:
        """Analyse a block at one of three depths: alone, beside its neighbours, or with a model's samples."""
        principal = caller(request)
        require_level(principal, "intermediate")
        recent: list[Utterance] = []
        others: list[SIFTBlock] = []
        goal = body.goal
        if body.session_id:
            conversation = await parts.measuring.conversation(principal, body.session_id)
            recent = conversation.utterances[-_NEIGHBOURS:]
            goal = goal or conversation.goal
            if body.analysis_depth != "surface":
                others = await session_blocks.of(principal, body.session_id)
        began = parts.context.clock.monotonic()
        analysis: SurfaceAnalysis
        if body.analysis_depth == "surface":
            analysis = await asyncio.to_thread(surface, body.sift_block, recent)
        elif body.analysis_depth == "deep":
            analysis = await asyncio.to_thread(deep, body.sift_block, others, recent, goal)
        else:
            analysis = await comprehensive(
                body.sift_block,
                others,
                _sampler(parts, principal, body) if parts.context.llm.has_language_model("default") else None,
                seed=body.seed,
                recent=recent,
                goal=goal,
                timeout=_COMPREHENSIVE_SECONDS,
            )
        return ChaosAnalysisResult.of(analysis, round(1000 * (parts.context.clock.monotonic() - began), 3))

    @app.post("/clearance", tags=["sift"])
    async def clearance(request: Request, body: ClearanceRequest) -> InjectionClearance:
        """Have an injection reviewed; an approved one gets a token that works once."""
        principal = caller(request)
        require_level(principal, "intermediate")
        review, token = await parts.clearing.review_injection(
            principal,
            body.sift_block,
            body.injection_type,
            body.intensity,
            seed=body.seed,
            session_id=body.session_id,
        )
        return InjectionClearance(review=review, token=token)

    @app.post("/chaos_inject", tags=["sift"], responses=REFUSED)
    async def chaos_inject(request: Request, body: InjectRequest) -> SIFTChaosInjectionResult:
        """Put chaotic elements into a block; the patches there and back are in its trace."""
        principal = caller(request)
        require_level(principal, "intermediate")
        sandbox = await parts.clearing.redeem_injection(
            principal,
            body.ethical_clearance.token,
            body.sift_block,
            body.injection_type,
            body.intensity,
            seed=body.seed,
            session_id=body.session_id,
        )
        done = await asyncio.to_thread(
            lambda: inject(
                body.sift_block,
                body.injection_type,
                body.intensity,
                seed=body.seed,
                at=parts.context.clock.now(),
                actor=principal.id,
                sandbox=sandbox,
            )
        )
        return SIFTChaosInjectionResult.of(body.sift_block, done)

    @app.post("/chaos_revert", tags=["sift"])
    async def chaos_revert(request: Request, body: RevertRequest) -> SIFTBlock:
        """Take an injection back; the block's content is byte for byte what it was."""
        principal = caller(request)
        require_level(principal, "intermediate")
        now = parts.context.clock.now()
        return await asyncio.to_thread(
            lambda: revert(body.sift_block, body.intervention_id, at=now, actor=principal.id)
        )

    return app


def _sampler(parts: ChaosParts, principal: Principal, body: AnalyzeRequest) -> Callable[[str, int], Awaitable[str]]:
    """Return what asks the model; the same seed and number ask with the same seed."""

    async def sample(prompt: str, index: int) -> str:
        asked = LLMRequest(
            [Message.user(prompt)],
            parameters={"temperature": 0.9, "seed": body.seed + index, "max_tokens": 400},
            caller=Caller(principal.id, session_id=body.session_id),
        )
        return (await parts.context.llm.complete(asked)).message.text

    return sample
