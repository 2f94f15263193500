"""The approval policy: rules in, ruling out; no state, no side effects."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from iskra.plugin_host.catalog import Owned
from iskra.settings import ApprovalSettings
from iskra_sdk.approval import Advice, ApprovalAdvisor, ApprovalRule, CallFacts, Ruling, TimeoutAction, Verdict
from iskra_sdk.tool import Risk

logger = logging.getLogger(__name__)

_STRICTNESS = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}

DEFAULT_ALLOW = ApprovalRule("default:read", Verdict.ALLOW, risks=(Risk.READ,))
DEFAULT_ASK = ApprovalRule("default:ask", Verdict.ASK)


class ApprovalPolicy:
    """Decides *allow*, *ask* or *deny* for a tool call.

    The admin's rules come first, in their order, and the first that matches decides. Then plugins' rules: of those
    that match, the strictest decides, and one about another plugin's tool can only be stricter than the default.
    Then the defaults: reading is allowed, everything else asks.

    Args:
        settings: The admin's rules and the default timeout.
        record_failure: Told when an advisor raises.
    """

    def __init__(
        self, settings: ApprovalSettings, record_failure: Callable[[str, BaseException], None] = lambda _, __: None
    ) -> None:
        self._settings = settings
        self._record_failure = record_failure
        self._rules = tuple(ApprovalRule(**rule.model_dump()) for rule in settings.rules)

    def rule(self, call: CallFacts, plugin_rules: Sequence[Owned[ApprovalRule]] = ()) -> Ruling:
        """Return the ruling on a call."""
        for rule in self._rules:
            if rule.matches(call):
                return self._ruling(rule, f"settings:{rule.name}")
        default = DEFAULT_ALLOW if DEFAULT_ALLOW.matches(call) else DEFAULT_ASK
        decided, name = default, default.name
        candidates = [
            (owned.value, f"{owned.plugin}:{owned.value.name}")
            for owned in plugin_rules
            if owned.value.matches(call)
            and (owned.plugin == call.plugin or _STRICTNESS[owned.value.verdict] >= _STRICTNESS[default.verdict])
        ]
        if candidates:
            decided, name = max(candidates, key=lambda candidate: _STRICTNESS[candidate[0].verdict])
        return self._ruling(decided, name)

    def advised(self, call: CallFacts, ruling: Ruling, advisors: Sequence[Owned[ApprovalAdvisor]]) -> Ruling:
        """Let advisors speak where no rule decided; the strictest is heard, one that raises is not."""
        if ruling.rule != DEFAULT_ASK.name:
            return ruling
        heard = [(advice, owned.plugin) for owned in advisors if (advice := self._hear(owned, call)) is not None]
        if not heard:
            return ruling
        advice, plugin = max(heard, key=lambda item: _STRICTNESS[item[0].verdict])
        return replace(ruling, verdict=advice.verdict, rule=advice.ruling_name(plugin), reason=advice.reason)

    def _hear(self, owned: Owned[ApprovalAdvisor], call: CallFacts) -> Advice | None:
        try:
            return owned.value.advise(call)
        except Exception as exc:
            self._record_failure(owned.plugin, exc)
            logger.warning("approval advisor failed", extra={"plugin": owned.plugin}, exc_info=exc)
            return None

    def kernel_ruling(self, name: str, reason: str) -> Ruling:
        """Return a ruling of the kernel's own to ask a person; without a decision the call is not run."""
        return Ruling(Verdict.ASK, f"kernel:{name}", reason, self._settings.timeout, TimeoutAction.REJECT)

    def _ruling(self, rule: ApprovalRule, name: str) -> Ruling:
        return Ruling(
            verdict=rule.verdict,
            rule=name,
            reason=rule.reason,
            timeout=self._settings.timeout if rule.timeout is None else rule.timeout,
            on_timeout=rule.on_timeout or self._settings.on_timeout,
            arguments=tuple(rule.arguments.values()),
            even_untrusted=rule.even_untrusted,
        )
