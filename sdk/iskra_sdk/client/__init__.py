"""Talks to a running server: sessions, streamed turns, approvals, administration.

:class:`IskraClient` is for ordinary code, :class:`AsyncIskraClient` for asyncio; their surfaces are the same.
Needs httpx.
"""

from iskra_sdk.client.async_client import AsyncIskraClient
from iskra_sdk.client.async_turn_stream import AsyncTurnStream
from iskra_sdk.client.models import (
    AgentInfo,
    ApprovalInfo,
    ContextInfo,
    HealthInfo,
    MessageInfo,
    ModelInfo,
    PluginInfo,
    ProviderInfo,
    QuestionInfo,
    ReceiptInfo,
    ReplayInfo,
    SessionInfo,
    StepInfo,
    ToolInfo,
    TurnInfo,
)
from iskra_sdk.client.reconnect import ReconnectPolicy
from iskra_sdk.client.sync_client import IskraClient
from iskra_sdk.client.turn_progress import Decision
from iskra_sdk.client.turn_stream import TurnStream

__all__ = [
    "AgentInfo",
    "ApprovalInfo",
    "AsyncIskraClient",
    "AsyncTurnStream",
    "ContextInfo",
    "Decision",
    "HealthInfo",
    "IskraClient",
    "MessageInfo",
    "ModelInfo",
    "PluginInfo",
    "ProviderInfo",
    "QuestionInfo",
    "ReceiptInfo",
    "ReconnectPolicy",
    "ReplayInfo",
    "SessionInfo",
    "StepInfo",
    "ToolInfo",
    "TurnInfo",
    "TurnStream",
]
