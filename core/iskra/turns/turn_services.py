"""What running turns need of the kernel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iskra.approvals import ApprovalPolicy, ApprovalService
from iskra.interceptors import Slot
from iskra.llm.router import LLMRouter
from iskra.plugin_host.catalog import Catalog, Owned
from iskra.session_log import SessionLogs
from iskra.settings import LimitSettings
from iskra_sdk.agent import Agent
from iskra_sdk.clock import Clock
from iskra_sdk.context_strategy import ContextBudget, ContextStrategy
from iskra_sdk.session_store import SessionStore
from iskra_sdk.tool import Tool


@dataclass(frozen=True, slots=True)
class TurnServices:
    """The parts of the kernel that a turn uses, and choices it leaves to others."""

    store: SessionStore
    logs: SessionLogs
    llm: LLMRouter
    approvals: ApprovalService
    policy: ApprovalPolicy
    clock: Clock
    tool_call: Slot
    tool_result: Slot
    turn: Slot
    context_budget: ContextBudget
    choose_context_strategy: Callable[[Catalog], tuple[ContextStrategy, str]]
    """Returns the strategy in use and the plugin it comes from."""
    choose_tools: Callable[[Catalog, Agent], Mapping[str, Owned[Tool]]]
    record_failure: Callable[[str, BaseException], None]
    limits: LimitSettings
