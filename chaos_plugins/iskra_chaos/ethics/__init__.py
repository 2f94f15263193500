"""The ethics check: rules as data, a review of an operation, and single-use clearances."""

from iskra_chaos.ethics.clearance import Clearances
from iskra_chaos.ethics.errors import ClearanceError, EthicsRefusedError
from iskra_chaos.ethics.operation import Insertion, Operation, SessionFacts, operation_hash
from iskra_chaos.ethics.review import Audit, Review, Violation, audit, modified, review, tightened
from iskra_chaos.ethics.rules import Rules, packaged_rules

__all__ = [
    "Audit",
    "ClearanceError",
    "Clearances",
    "EthicsRefusedError",
    "Insertion",
    "Operation",
    "Review",
    "Rules",
    "SessionFacts",
    "Violation",
    "audit",
    "modified",
    "operation_hash",
    "packaged_rules",
    "review",
    "tightened",
]
