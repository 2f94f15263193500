"""Keeps retries from multiplying the load on an upstream that is already in trouble."""

_PER_CALL = 1.0
_CAPACITY = 4.0


class RetryBudget:
    """Allows about one retry for each call over time, whatever every single call may do.

    Each first attempt brings a credit, each retry costs one, and only a few can be saved up. So the requests that reach
    a target stay below about twice the calls made, as in the retry throttling of gRPC (gRFC A6).
    """

    __slots__ = ("_credits",)

    def __init__(self) -> None:
        self._credits = 1.0

    def record_call(self) -> None:
        """A first attempt begins."""
        self._credits = min(self._credits + _PER_CALL, _CAPACITY)

    def spend(self) -> bool:
        """Take a credit for a retry; ``False`` when there is none."""
        if self._credits < 1.0:
            return False
        self._credits -= 1.0
        return True
