"""Advises on calls by what their user decided before, and learns from each decision."""

import asyncio
from datetime import timedelta

from pydantic_core import from_json

from iskra_plugins.adaptive_approvals.ledger import LearnedRule, Thresholds, UserLedger
from iskra_plugins.adaptive_approvals.recording import RuleRecording
from iskra_plugins.adaptive_approvals.settings import AdaptiveSettings
from iskra_plugins.adaptive_approvals.shapes import Shape, shape_of
from iskra_plugins.adaptive_approvals.telling import RuleTelling
from iskra_plugins.adaptive_approvals.texts import TEXTS
from iskra_sdk import Advice, ApprovalAdvisor, Event, PluginContext, Risk, Verdict
from iskra_sdk.approval import ApprovalRequest, CallFacts
from iskra_sdk.ids import ApprovalId
from iskra_sdk.principal import SYSTEM, Principal

_PREFIX = "user:"


class Learner(ApprovalAdvisor):
    """Keeps the ledgers of all users.

    Args:
        context: The plugin's.
        settings: When a rule is offered, and how long it holds.
    """

    def __init__(self, context: PluginContext, settings: AdaptiveSettings) -> None:
        self._context = context
        self._silent = frozenset(settings.silent_risks)
        self._thresholds = Thresholds(
            offer_after=settings.offer_after,
            caution_after=settings.caution_after,
            lifetime=timedelta(days=settings.expires_days),
        )
        self._ledgers: dict[str, UserLedger] = {}
        self._writing = asyncio.Lock()
        self._telling = RuleTelling(context)
        self._recording = RuleRecording(context)

    async def load(self) -> None:
        """Read what was learned before."""
        for key in await self._context.state.keys(_PREFIX):
            self._ledgers[key.removeprefix(_PREFIX)] = UserLedger.model_validate(await self._context.state.get(key))

    async def record_expired(self) -> None:
        """Write the rules whose time is over to the audit log, each at least once."""
        for user, ledger in list(self._ledgers.items()):
            ledger.expire(self._context.clock.now())
            if not ledger.expired:
                continue
            while ledger.expired:
                await self._recording.expired(user, ledger.expired[0])
                ledger.expired.pop(0)
            await self._write(user)

    def ledger(self, user: str) -> UserLedger:
        """Return a user's ledger."""
        return self._ledgers.setdefault(user, UserLedger())

    def advise(self, call: CallFacts) -> Advice | None:
        ledger = self._ledgers.get(call.principal_id)
        shape = shape_of(call.tool, call.risk, call.arguments) if ledger is not None else None
        if ledger is None or shape is None:
            return None
        rule = ledger.rule_for(shape.id, self._context.clock.now())
        if rule is not None and not (rule.is_silent and str(call.risk) not in self._silent):
            return Advice(Verdict.ALLOW, shape.id, _why(rule))
        record = ledger.shapes.get(shape.id)
        if record is None:
            return None
        say, reasons = TEXTS[call.language], []
        if record.rejections >= self._thresholds.caution_after:
            reasons.append(say.refused(record))
        offers = ledger.offers(shape.id, self._thresholds)
        if offers:
            reasons.append(say.offer(record, shape, self._thresholds.lifetime.days))
        return Advice(Verdict.ASK, shape.id, " ".join(reasons), offers_rule=offers) if reasons else None

    async def learn(self, event: Event) -> None:
        """Learn from a decision that a user made about their own call."""
        request = await self._context.approvals.get(SYSTEM, ApprovalId(str(event.data["approval_id"])))
        shape = self._shape_to_learn(request)
        if shape is None:
            return
        ledger, now = self.ledger(request.principal_id), self._context.clock.now()
        before = ledger.rule_for(shape.id, now)
        if event.data["decision"] == "denied":
            ledger.rejected(shape.id, shape.text, request.tool, request.remark)
        else:
            ledger.approved(shape.id, shape.text, request.tool, self._thresholds)
            if event.data.get("remember") and self._was_offered(request, shape):
                ledger.accept(shape.id, now, self._thresholds)
            elif str(request.risk) in self._silent and ledger.offers(shape.id, self._thresholds):
                ledger.accept(shape.id, now, self._thresholds, is_silent=True)
        await self._write(request.principal_id)
        after, user = ledger.rule_for(shape.id, now), Principal(request.principal_id)
        if after is not None and after != before:
            await self._recording.accepted(user, user.id, after, approval_id=request.id)
            await self._telling.accepted(request, shape, after)
        elif after is None and before is not None:
            await self._recording.revoked(user, user.id, before, approval_id=request.id)
            await self._telling.revoked(request, shape)

    async def offer(self, event: Event) -> None:
        """Tell the session of a question that offers a rule."""
        if not event.data.get("offers_rule"):
            return
        request = await self._context.approvals.get(SYSTEM, ApprovalId(str(event.data["approval_id"])))
        if not request.rule.startswith(f"{self._context.name}:"):
            return
        shape = shape_of(request.tool, Risk(request.risk), from_json(request.arguments))
        record = None if shape is None else self.ledger(request.principal_id).shapes.get(shape.id)
        if shape is not None and record is not None:
            await self._telling.offered(request, shape, record, self._thresholds.lifetime.days)

    def _was_offered(self, request: ApprovalRequest, shape: Shape) -> bool:
        """Return whether the question offered the rule for this shape, and not for that of the call as it was asked."""
        offer = Advice(Verdict.ASK, shape.id, offers_rule=True)
        return request.rule == offer.ruling_name(self._context.name)

    def _shape_to_learn(self, request: ApprovalRequest) -> Shape | None:
        """Return the shape, unless the question came from elsewhere or somebody else answered it."""
        is_ours = request.rule == "default:ask" or request.rule.startswith(f"{self._context.name}:")
        if not is_ours or request.decided_by != request.principal_id:
            return None
        return shape_of(request.tool, Risk(request.risk), from_json(request.arguments))

    async def accept(self, by: Principal, shape_id: str) -> LearnedRule | None:
        """Put a rule that is offered to somebody in force; ``None`` if none is offered for the shape."""
        user = by.id
        ledger = self.ledger(user)
        if not ledger.offers(shape_id, self._thresholds):
            return None
        rule = ledger.accept(shape_id, self._context.clock.now(), self._thresholds)
        await self._write(user)
        await self._recording.accepted(by, user, rule)
        return rule

    async def revoke(self, by: Principal, shape_id: str, *, user: str = "") -> bool:
        """Take a rule of ``user`` back, or one of one's own; return whether it was in force."""
        user = user or by.id
        ledger = self.ledger(user)
        ledger.expire(self._context.clock.now())
        rule = ledger.revoke(shape_id)
        if rule is None:
            return False
        await self._write(user)
        await self._recording.revoked(by, user, rule)
        return True

    def offered(self, user: str) -> dict[str, str]:
        """Return what is offered to a user: shape id → its text."""
        ledger, now = self.ledger(user), self._context.clock.now()
        return {
            shape_id: record.text
            for shape_id, record in ledger.shapes.items()
            if ledger.offers(shape_id, self._thresholds) and ledger.rule_for(shape_id, now) is None
        }

    def in_force(self, user: str) -> list[LearnedRule]:
        """Return a user's rules."""
        ledger, now = self.ledger(user), self._context.clock.now()
        return [rule for shape_id in list(ledger.rules) if (rule := ledger.rule_for(shape_id, now)) is not None]

    async def _write(self, user: str) -> None:
        async with self._writing:
            await self._context.state.put(f"{_PREFIX}{user}", self.ledger(user).model_dump(mode="json"))


def _why(rule: LearnedRule) -> str:
    how = "learned silently, as an admin allows" if rule.is_silent else "accepted by you"
    return f"A rule {how} on {rule.created_at:%Y-%m-%d} allows it until {rule.expires_at:%Y-%m-%d}: {rule.text}."
