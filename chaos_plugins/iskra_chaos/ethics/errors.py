"""Errors of the ethics check; both are answered with HTTP 403."""

from typing import Literal

from iskra_sdk.errors import PermissionDeniedError

ClearanceFault = Literal["missing", "unknown", "expired", "used", "other_operation", "tampered"]

_WHY: dict[ClearanceFault, str] = {
    "missing": "no token came with it",
    "unknown": "this server process never issued it",
    "expired": "its time is over",
    "used": "it was used before, and each works once",
    "other_operation": "it was issued for another operation, or the operation was changed since",
    "tampered": "its signature does not fit",
}


class EthicsRefusedError(PermissionDeniedError):
    """The review did not approve the operation; the facts carry its violations and the modifications that help."""

    code = "ethics_refused"


class ClearanceError(PermissionDeniedError):
    """A clearance cannot be redeemed.

    Attributes:
        reason: Which of the six faults it has.
    """

    code = "clearance"

    def __init__(self, reason: ClearanceFault) -> None:
        super().__init__(
            f"The ethics clearance was refused: {_WHY[reason]}.",
            mend=(
                "Ask for a new review of the operation as it is now, and use its clearance once; "
                "for a SIFT block: POST /api/v1/sift/clearance."
            ),
            facts={"reason": reason},
        )
        self.reason = reason
