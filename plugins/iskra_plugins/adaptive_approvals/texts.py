"""What a question says about earlier decisions, in the user's language."""

from collections.abc import Mapping
from typing import Literal, Protocol

from iskra_plugins.adaptive_approvals.ledger import ShapeRecord
from iskra_plugins.adaptive_approvals.shapes import Shape


class Texts(Protocol):
    """One language."""

    def refused(self, record: ShapeRecord) -> str:
        """Say that calls of this shape were refused before."""

    def offer(self, record: ShapeRecord, shape: Shape, days: int) -> str:
        """Say what a rule would cover, and for how long."""


class _English:
    def refused(self, record: ShapeRecord) -> str:
        remark = f", last with the remark: {record.last_remark}" if record.last_remark else ""
        return f"You refused {record.rejections} calls like this one{remark}."

    def offer(self, record: ShapeRecord, shape: Shape, days: int) -> str:
        return (
            f"You approved the last {record.approvals} calls of this kind: {shape.text}. "
            f"If you accept the rule, they run without a question for {days} days; you can take it back."
        )


class _Russian:
    def refused(self, record: ShapeRecord) -> str:
        remark = f", последний раз с замечанием: {record.last_remark}" if record.last_remark else ""
        return f"Такие вызовы вы отклонили {_times(record.rejections)}{remark}."

    def offer(self, record: ShapeRecord, shape: Shape, days: int) -> str:
        return (
            f"Такие вызовы вы разрешили {_times(record.approvals)} подряд: {shape.text}. "
            f"Если принять правило, они будут выполняться без вопросов, срок в днях: {days}; его можно отозвать."
        )


def _times(count: int) -> str:
    is_few = count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14)
    return f"{count} {'раза' if is_few else 'раз'}"


TEXTS: Mapping[Literal["en", "ru"], Texts] = {"en": _English(), "ru": _Russian()}
