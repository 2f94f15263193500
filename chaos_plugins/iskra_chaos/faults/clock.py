"""A wall clock that is wrong. Durations, deadlines and leases run on the monotonic clock, which stays right."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from iskra_chaos.faults.fault import Fault, Passage
from iskra_chaos.faults.parameters import Skew

_NOBODY = Passage("")


def skewed(faults: Sequence[Fault], now: datetime, proceed: Callable[[datetime], datetime]) -> datetime:
    """Tell the time as the faults that hit this call have it."""
    told = proceed(now)
    for fault in faults:
        shot = fault.take(_NOBODY)
        if shot is None:
            continue
        seconds = shot.parameters(Skew).seconds
        if seconds:
            told += timedelta(seconds=seconds)
            shot.observe()
    return told
