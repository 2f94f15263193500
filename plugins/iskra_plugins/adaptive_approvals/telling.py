"""Tells sessions which rules were offered, accepted and taken back there."""

import logging
from collections.abc import Mapping

from iskra_plugins.adaptive_approvals.ledger import LearnedRule, ShapeRecord
from iskra_plugins.adaptive_approvals.shapes import Shape
from iskra_sdk import PluginContext
from iskra_sdk.approval import ApprovalRequest

logger = logging.getLogger(__name__)


class RuleTelling:
    """The plugin's events, ``adaptive_approvals.rule_*``; a decision counts whether or not it can be told.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def offered(self, request: ApprovalRequest, shape: Shape, record: ShapeRecord, days: int) -> None:
        """Tell that a question offers a rule, as long as it is open."""
        until = None if request.expires_at is None else request.expires_at.isoformat()
        facts = {"approvals": record.approvals, "offered_until": until, "holds_days": days}
        await self._tell("rule_offered", request, {**_facts(request, shape), **facts})

    async def accepted(self, request: ApprovalRequest, shape: Shape, rule: LearnedRule) -> None:
        """Tell that a rule holds from now on."""
        facts = {"expires_at": rule.expires_at.isoformat(), "silent": rule.is_silent}
        await self._tell("rule_accepted", request, {**_facts(request, shape), **facts})

    async def revoked(self, request: ApprovalRequest, shape: Shape) -> None:
        """Tell that a refusal took a rule back."""
        await self._tell("rule_revoked", request, _facts(request, shape))

    async def _tell(self, kind: str, request: ApprovalRequest, data: Mapping[str, object]) -> None:
        event_type = f"{self._context.name}.{kind}"
        try:
            await self._context.tell_session(request.session_id, event_type, data, turn_id=request.turn_id)
        except Exception:
            logger.warning("session was not told", extra={"event_type": event_type}, exc_info=True)


def _facts(request: ApprovalRequest, shape: Shape) -> dict[str, object]:
    return {"rule_id": shape.id, "tool": request.tool, "calls": shape.text, "approval_id": request.id}
