"""The balance of chaos and stability: tension, its controller, the cause gate, calibration and alerts."""

from iskra_chaos.balance.alerts import Alert, AlertMonitor, packaged_alert_rules
from iskra_chaos.balance.calibration import Calibration, TenantBalance
from iskra_chaos.balance.causes import CauseGate, Circumstances, stabilisers
from iskra_chaos.balance.controller import ControllerState, Intensity, PIController
from iskra_chaos.balance.gain import GainEstimate
from iskra_chaos.balance.tension import TensionAverage, status_of, tension

__all__ = [
    "Alert",
    "AlertMonitor",
    "Calibration",
    "CauseGate",
    "Circumstances",
    "ControllerState",
    "GainEstimate",
    "Intensity",
    "PIController",
    "TenantBalance",
    "TensionAverage",
    "packaged_alert_rules",
    "stabilisers",
    "status_of",
    "tension",
]
