"""Alerts: rules as data, fired once per cause, and over only when the cause clearly is."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iskra_sdk.errors import ConfigurationError

Severity = Literal["low", "medium", "high", "critical"]
AlertState = Literal["firing", "resolved"]
MetricValue = float | str | bool

_MOST_TRACKED = 10_000


class AlertCondition(BaseModel):
    """A comparison of one metric. Exactly one of ``above``, ``below`` and ``equals`` is given.

    Attributes:
        until: For a firing alert, the bound that has to be passed back before it is over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    metric: str = Field(min_length=1)
    above: float | None = None
    below: float | None = None
    equals: bool | str | None = None
    until: float | None = None

    @model_validator(mode="after")
    def _is_one_comparison(self) -> Self:
        if sum(part is not None for part in (self.above, self.below, self.equals)) != 1:
            raise ValueError(f"{self.metric}: exactly one of above, below and equals is needed")
        too_high = self.above is not None and self.until is not None and self.until > self.above
        too_low = self.below is not None and self.until is not None and self.until < self.below
        if too_high or too_low or (self.equals is not None and self.until is not None):
            raise ValueError(f"{self.metric}: until is on the wrong side of the bound")
        return self

    def holds(self, value: MetricValue, *, is_firing: bool) -> bool:
        """Return whether the condition holds; a firing alert keeps to its ``until``."""
        if self.equals is not None:
            return value == self.equals and isinstance(value, bool) == isinstance(self.equals, bool)
        if isinstance(value, str | bool):
            return False
        if self.above is not None:
            return value > (self.until if is_firing and self.until is not None else self.above)
        bound = self.until if is_firing and self.until is not None else self.below
        return bound is not None and value < bound


class AlertRule(BaseModel):
    """When to alert, how badly, and what to do.

    Attributes:
        severity: ``critical`` and ``high`` alerts are also told through the notifiers.
        action: What is done, or only advised; ``iskra_chaos.watching`` knows which.
        held_for: Seconds all conditions have to hold (``for`` in the file).
        dedupe: Labels that tell one cause from another; one alert fires for each combination.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    severity: Severity
    action: str = Field(min_length=1)
    held_for: float = Field(alias="for", default=0.0, ge=0.0)
    when: tuple[AlertCondition, ...] = Field(min_length=1)
    dedupe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that begins or ends."""

    rule: AlertRule
    key: str
    state: AlertState
    values: Mapping[str, MetricValue]


@dataclass(slots=True)
class _Tracked:
    since: float
    is_firing: bool = False


class _AlertFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: tuple[AlertRule, ...]


class AlertMonitor:
    """Watches metrics and tells of each alert once when it begins and once when it ends.

    A metric that is missing or no number says nothing: it neither begins nor ends an alert, nor breaks off the time it
    has held.

    Args:
        rules: From :func:`read_alert_rules`.
    """

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        self._rules = tuple(rules)
        self._tracked: dict[str, _Tracked] = {}

    def observe(
        self, metrics: Mapping[str, MetricValue], *, at: float, labels: Mapping[str, str] | None = None
    ) -> list[Alert]:
        """Take in metrics and return the alerts that begin or end by them.

        Args:
            at: Monotonic seconds.
            labels: Where the metrics come from, e.g. the session.
        """
        alerts = []
        for rule in self._rules:
            values = {condition.metric: metrics.get(condition.metric) for condition in rule.when}
            known = {name: value for name, value in values.items() if value is not None and not _is_nan(value)}
            if len(known) < len(values):
                continue
            alert = self._judge(rule, known, at, labels or {})
            if alert is not None:
                alerts.append(alert)
        return alerts

    @property
    def firing(self) -> list[str]:
        """Keys of the alerts that have begun and not ended."""
        return [key for key, tracked in self._tracked.items() if tracked.is_firing]

    def forget(self, label: str, value: str) -> None:
        """Drop what is tracked of a source that is gone, such as a session."""
        part = f"{label}={value}"
        self._tracked = {key: kept for key, kept in self._tracked.items() if part not in key.split("|")}

    def _judge(
        self, rule: AlertRule, values: Mapping[str, MetricValue], at: float, labels: Mapping[str, str]
    ) -> Alert | None:
        key = "|".join((rule.name, *(f"{name}={labels.get(name, '')}" for name in rule.dedupe)))
        tracked = self._tracked.get(key)
        is_firing = tracked is not None and tracked.is_firing
        if not all(condition.holds(values[condition.metric], is_firing=is_firing) for condition in rule.when):
            self._tracked.pop(key, None)
            return Alert(rule, key, "resolved", values) if is_firing else None
        if tracked is None:
            self._make_room()
            tracked = self._tracked[key] = _Tracked(since=at)
        if is_firing or at - tracked.since < rule.held_for:
            return None
        tracked.is_firing = True
        return Alert(rule, key, "firing", values)

    def _make_room(self) -> None:
        """Drop the oldest tracked cause, rather one that has not fired: the memory is bounded."""
        if len(self._tracked) < _MOST_TRACKED:
            return
        waiting = (key for key, tracked in self._tracked.items() if not tracked.is_firing)
        del self._tracked[next(waiting, next(iter(self._tracked)))]


def read_alert_rules(text: str) -> tuple[AlertRule, ...]:
    """Read alert rules from TOML.

    Raises:
        ConfigurationError: They are malformed.
    """
    try:
        rules = _AlertFile.model_validate(tomllib.loads(text)).rule
    except (ValidationError, ValueError) as exc:
        raise ConfigurationError(f"The alert rules cannot be used: {exc}", mend="Mend the rules file.") from exc
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        raise ConfigurationError("Two alert rules have one name.", mend="Give each its own.")
    return rules


def packaged_alert_rules() -> tuple[AlertRule, ...]:
    """Read the rules that come with the plugin."""
    return read_alert_rules((files("iskra_chaos.balance") / "alert_rules.toml").read_text("utf-8"))


def _is_nan(value: MetricValue) -> bool:
    return isinstance(value, float) and math.isnan(value)
