"""The kit for testing plugins: a harness, and real parts in memory instead of mocks."""

from iskra_sdk.testing.bus_conformance import EventBusConformance
from iskra_sdk.testing.harness import TESTER, PluginHarness
from iskra_sdk.testing.harness_turn import AskedCall, FinishedTurn
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.memory_bus import MemoryEventBus
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.testing.provider_conformance import ProviderConformance
from iskra_sdk.testing.scripted_model import Pause, ScriptedModel
from iskra_sdk.testing.store_conformance import StoreConformance

__all__ = [
    "TESTER",
    "AskedCall",
    "EventBusConformance",
    "FinishedTurn",
    "ManualClock",
    "MemoryEventBus",
    "MemoryStore",
    "Pause",
    "PluginHarness",
    "ProviderConformance",
    "ScriptedModel",
    "StoreConformance",
]
