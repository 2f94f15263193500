"""Contracts for plugins of Iskra: what a plugin implements, and what the kernel gives it.

Start with :class:`Agent`, :func:`tool` and :data:`hookimpl`; test with :mod:`iskra_sdk.testing`; talk to a running
server with :mod:`iskra_sdk.client`.
"""

from iskra_sdk.agent import Agent
from iskra_sdk.approval import (
    Advice,
    ApprovalAdvisor,
    ApprovalRequest,
    ApprovalRule,
    Approvals,
    ApprovalState,
    CallFacts,
    TimeoutAction,
    Verdict,
)
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.command import Command
from iskra_sdk.context_strategy import ContextBudget, ContextStrategy
from iskra_sdk.errors import IskraError, LLMError, PluginError, ToolError, TurnError
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.event_bus import EventBus, EventHandler, Overflow, Subscription
from iskra_sdk.hookspecs import hookimpl
from iskra_sdk.interceptor import Interceptor, Point, Position
from iskra_sdk.llm import LLM, Caller, LLMAnswer, LLMChunk, LLMProvider, LLMRequest, ToolCallDelta, ToolSpec, Usage
from iskra_sdk.manifest import API_VERSION, PluginManifest, PluginPermission
from iskra_sdk.message import Message, ToolCall, ToolResult
from iskra_sdk.notifier import Notification, Notifier
from iskra_sdk.plugin_context import HTTPClient, HTTPResponse, KeyValueState, PluginContext, Tasks, Turns
from iskra_sdk.principal import PermissionSpec, Principal
from iskra_sdk.routes import DeferredApp, PluginRoutes
from iskra_sdk.session_store import SessionReader, SessionStore
from iskra_sdk.tool import Risk, Tool, ToolContext, tool
from iskra_sdk.turn import ReasoningDelta, TextDelta, Turn, TurnEvent
from iskra_sdk.voice import Voice

__all__ = [
    "API_VERSION",
    "LLM",
    "Advice",
    "Agent",
    "ApprovalAdvisor",
    "ApprovalRequest",
    "ApprovalRule",
    "ApprovalState",
    "Approvals",
    "CallFacts",
    "Caller",
    "Clock",
    "Command",
    "ContextBudget",
    "ContextStrategy",
    "DeferredApp",
    "Event",
    "EventBus",
    "EventHandler",
    "EventType",
    "HTTPClient",
    "HTTPResponse",
    "Interceptor",
    "IskraError",
    "KeyValueState",
    "LLMAnswer",
    "LLMChunk",
    "LLMError",
    "LLMProvider",
    "LLMRequest",
    "Message",
    "Notification",
    "Notifier",
    "Overflow",
    "PermissionSpec",
    "PluginContext",
    "PluginError",
    "PluginManifest",
    "PluginPermission",
    "PluginRoutes",
    "Point",
    "Position",
    "Principal",
    "ReasoningDelta",
    "Risk",
    "SessionReader",
    "SessionStore",
    "Severity",
    "Subscription",
    "SystemClock",
    "Tasks",
    "TextDelta",
    "TimeoutAction",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "Turn",
    "TurnError",
    "TurnEvent",
    "Turns",
    "Usage",
    "Verdict",
    "Voice",
    "hookimpl",
    "tool",
]
