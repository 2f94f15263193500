"""Approvals that adapt: decisions teach which calls need no question any more.

Nothing comes into force by itself. After five approvals in a row of calls of one shape the next question offers a rule;
the user accepts it with "always", over HTTP, or not at all. A rejection takes a rule back, and every rule expires.
"""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from iskra_plugins.adaptive_approvals.advisor import Learner
from iskra_plugins.adaptive_approvals.command import learned_rules
from iskra_plugins.adaptive_approvals.routes import learned_rule_routes
from iskra_plugins.adaptive_approvals.settings import AdaptiveSettings
from iskra_sdk import ApprovalAdvisor, Command, EventHandler, PluginContext, hookimpl
from iskra_sdk.errors import IskraError
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.routes import PluginRoutes

__all__ = ["AdaptiveSettings", "settings_schema"]

_EXPIRY_SECONDS = 3600.0
"""Between two looks for rules whose time is over; none of them allows anything meanwhile."""

logger = logging.getLogger(__name__)

_learners: "WeakKeyDictionary[PluginContext, Learner]" = WeakKeyDictionary()


def _learner_of(context: PluginContext) -> Learner:
    """Return the learner that all hooks of one generation share."""
    if context not in _learners:
        _learners[context] = Learner(context, AdaptiveSettings.model_validate(context.settings.model_dump()))
    return _learners[context]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return AdaptiveSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    learner = _learner_of(context)

    async def record_expired() -> None:
        while True:
            try:
                await learner.record_expired()
            except IskraError as exc:
                logger.warning("expired rules are not recorded yet", extra={"error": exc.code})
            await context.clock.sleep(_EXPIRY_SECONDS)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await learner.load()
        context.tasks.start(record_expired, name="record expired rules")
        yield

    return running()


@hookimpl
def register_approval_advisors(context: PluginContext) -> Iterable[ApprovalAdvisor]:
    return (_learner_of(context),)


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    learner = _learner_of(context)
    return (EventHandler("approval.requested", learner.offer), EventHandler("approval.decided", learner.learn))


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    return (learned_rule_routes(_learner_of(context)),)


@hookimpl
def register_commands() -> Iterable[Command]:
    return (Command("learned-rules", "Rules learned from your decisions: list, accept ID, revoke ID.", learned_rules),)
