"""The HTTP routes of the voices and of the metrics of sessions."""

from typing import Annotated

from fastapi import FastAPI, Header, Request

from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_voices.assembly import Assembly
from iskra_voices.wire import (
    CollaborationRequest,
    CollaborationResponse,
    ConversationMetricsResponse,
    VoiceActivationRequest,
    VoiceActivationResponse,
    VoiceCoordination,
    reading_wire,
)

_SessionHeader = Annotated[str, Header(alias="X-Session-ID", max_length=100, description="The session.")]


def voice_app(context: PluginContext, assembly: Assembly) -> FastAPI:
    """Return what is mounted at ``/api/v1/voices``; the list itself is the kernel's."""
    app = FastAPI(title="Voices", openapi_url=None, docs_url=None, redoc_url=None)

    @app.post("/activate", tags=["voices"])
    async def activate_voice(
        request: Request, wanted: VoiceActivationRequest, header: _SessionHeader = ""
    ) -> VoiceActivationResponse:
        """Let a voice answer the coming turns of `voice:auto` in a session."""
        session_id = wanted.context.session_id or wanted.session_id or header or _chat_session(request)
        return await (await assembly.parts()).activation.activate(_principal(request), session_id, wanted)

    @app.post("/collaborate", tags=["voices"])
    async def collaborate(
        request: Request, wanted: CollaborationRequest, header: _SessionHeader = ""
    ) -> CollaborationResponse:
        """Have several voices work on a task; Iskra closes each round."""
        session_id = wanted.session_id or header or _chat_session(request)
        return await (await assembly.parts()).collaboration.run(_principal(request), session_id, wanted)

    @app.get("/coordination/{session_id}", tags=["voices"])
    async def read_coordination(request: Request, session_id: str) -> VoiceCoordination:
        """Read which voices take part in a session, and how they work together."""
        session = await context.sessions.session(_principal(request), SessionId(session_id))
        parts = await assembly.parts()
        return await parts.activation.coordination(session.id)

    return app


def metric_app(assembly: Assembly) -> FastAPI:
    """Return what is mounted at ``/api/v1/conversation_metrics``."""
    app = FastAPI(title="Conversation metrics", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/{session_id}", tags=["sessions"])
    async def read_conversation_metrics(request: Request, session_id: str) -> ConversationMetricsResponse:
        """Read the metrics of a session, as of its last turn that has ended."""
        parts = await assembly.parts()
        found = await parts.readings.of_session(_principal(request), session_id)
        return ConversationMetricsResponse(
            session_id=session_id,
            turn=(await parts.records.of(session_id)).counted,
            metrics={name: reading_wire(reading) for name, reading in found.items()},
        )

    return app


def _principal(request: Request) -> Principal:
    principal: Principal = request.scope["state"]["principal"]
    return principal


def _chat_session(request: Request) -> str:
    """Return the session that a chat client names."""
    return request.headers.get("x-iskra-session") or ""
