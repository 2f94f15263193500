"""What one user decided, and the rules that follow from it."""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

MOST_SHAPES = 500
"""Shapes remembered of a user; those that were decided longest ago are forgotten first."""
_LONGEST_REMARK = 200


class ShapeRecord(BaseModel):
    """Decisions on calls of one shape."""

    text: str
    tool: str
    approvals: int = 0
    """In a row, up to the window."""
    rejections: int = 0
    """Since the last accepted rule."""
    last_remark: str = ""


class LearnedRule(BaseModel):
    """A rule in force."""

    id: str
    text: str
    tool: str
    created_at: datetime
    expires_at: datetime
    is_silent: bool = False
    """In force because an admin allows silent learning, and not because the user accepted it."""


class Thresholds(BaseModel):
    """How much is needed for what."""

    offer_after: int = 5
    window: int = 10
    caution_after: int = 3
    lifetime: timedelta = timedelta(days=30)


class UserLedger(BaseModel):
    """One user's decisions and rules, by the shape's id."""

    shapes: dict[str, ShapeRecord] = Field(default_factory=dict)
    rules: dict[str, LearnedRule] = Field(default_factory=dict)
    expired: list[LearnedRule] = Field(default_factory=list)
    """Rules whose end is not in the audit log yet."""

    def approved(self, shape_id: str, text: str, tool: str, thresholds: Thresholds) -> None:
        """Note an approval."""
        record = self._touched(shape_id, text, tool)
        record.approvals = min(record.approvals + 1, thresholds.window)

    def rejected(self, shape_id: str, text: str, tool: str, remark: str) -> None:
        """Note a rejection: it takes back what was learned."""
        record = self._touched(shape_id, text, tool)
        record.approvals = 0
        record.rejections += 1
        record.last_remark = remark[:_LONGEST_REMARK]
        self.rules.pop(shape_id, None)

    def offers(self, shape_id: str, thresholds: Thresholds) -> bool:
        """Return whether enough approvals came in a row to offer a rule.

        After several rejections it takes the whole window.
        """
        record = self.shapes.get(shape_id)
        if record is None:
            return False
        needed = thresholds.window if record.rejections >= thresholds.caution_after else thresholds.offer_after
        return record.approvals >= needed

    def accept(self, shape_id: str, now: datetime, thresholds: Thresholds, *, is_silent: bool = False) -> LearnedRule:
        """Put the rule for a shape in force.

        Raises:
            KeyError: Nothing is known of the shape.
        """
        record = self.shapes[shape_id]
        rule = LearnedRule(
            id=shape_id,
            text=record.text,
            tool=record.tool,
            created_at=now,
            expires_at=now + thresholds.lifetime,
            is_silent=is_silent,
        )
        self.rules[shape_id] = rule
        record.rejections = 0
        return rule

    def rule_for(self, shape_id: str, now: datetime) -> LearnedRule | None:
        """Return the rule in force for a shape; one that has expired must be earned and accepted anew."""
        rule = self.rules.get(shape_id)
        if rule is not None and rule.expires_at <= now:
            self.expired.append(self.rules.pop(shape_id))
            if (record := self.shapes.get(shape_id)) is not None:
                record.approvals = 0
            return None
        return rule

    def expire(self, now: datetime) -> None:
        """Take the rules whose time is over out of force."""
        for shape_id in list(self.rules):
            self.rule_for(shape_id, now)

    def revoke(self, shape_id: str) -> LearnedRule | None:
        """Take a rule back, and return it; its shape has to earn a new one."""
        rule = self.rules.pop(shape_id, None)
        if rule is not None and (record := self.shapes.get(shape_id)) is not None:
            record.approvals = 0
        return rule

    def _touched(self, shape_id: str, text: str, tool: str) -> ShapeRecord:
        record = self.shapes.pop(shape_id, None) or ShapeRecord(text=text, tool=tool)
        self.shapes[shape_id] = record
        for oldest in list(self.shapes)[:-MOST_SHAPES]:
            if oldest not in self.rules:
                del self.shapes[oldest]
        return record
