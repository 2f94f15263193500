"""Writes to the audit log which rules began and ended, and through whom."""

from iskra_plugins.adaptive_approvals.ledger import LearnedRule
from iskra_sdk import PluginContext, Principal
from iskra_sdk.principal import SYSTEM


class RuleRecording:
    """The entries ``adaptive_approvals.rule_*``.

    The target is the shape's id. Its text stays out: of a command it is the command itself.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def accepted(self, by: Principal, user: str, rule: LearnedRule, *, approval_id: str = "") -> None:
        """Record that a rule of ``user`` holds from now on."""
        facts = {"expires_at": rule.expires_at.isoformat(), "silent": rule.is_silent, **_asked(approval_id)}
        await self._record("rule_accepted", by, user, rule, facts)

    async def revoked(self, by: Principal, user: str, rule: LearnedRule, *, approval_id: str = "") -> None:
        """Record that a rule was taken back, by a refusal if there is an ``approval_id``."""
        await self._record("rule_revoked", by, user, rule, _asked(approval_id))

    async def expired(self, user: str, rule: LearnedRule) -> None:
        """Record that the time of a rule was over."""
        await self._record("rule_expired", SYSTEM, user, rule, {"expires_at": rule.expires_at.isoformat()})

    async def _record(self, action: str, by: Principal, user: str, rule: LearnedRule, facts: dict[str, object]) -> None:
        data = {"user": user, "tool": rule.tool, **facts}
        await self._context.audit(action, principal=by, target=rule.id, data=data)


def _asked(approval_id: str) -> dict[str, object]:
    return {"approval_id": approval_id} if approval_id else {}
