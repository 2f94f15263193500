"""What a session's agent would see with the next message: for people who wonder why it answers as it does."""

from collections.abc import Mapping

from iskra.plugin_host.catalog import Catalog
from iskra.turns.context_strategy import with_missing_results
from iskra.turns.turn_services import TurnServices
from iskra_sdk.context_strategy import estimated_tokens
from iskra_sdk.ids import SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal

_PAGE = 1000
_SHOWN = 500  # characters of a message


async def view_context(
    services: TurnServices, catalog: Catalog, principal: Principal, session_id: SessionId
) -> Mapping[str, object]:
    """Return the agent, its tools, every agent's structured context, and the messages a model call would hold.

    Raises:
        SessionNotFoundError: No such session for this principal.
    """
    session = await services.store.session(principal, session_id)
    turns = await services.store.turns(principal, session_id, limit=1)
    name = (turns[0].agent if turns else "") or session.agent.removeprefix("agent:")
    owned = catalog.agents.get(name)
    messages = await _messages(services, principal, session_id)
    strategy, _ = services.choose_context_strategy(catalog)
    sent = await strategy.fit(messages, services.context_budget)
    return {
        "session_id": session_id,
        "agent": name,
        "prompt": owned.value.prompt if owned is not None else "",
        "tools": sorted(services.choose_tools(catalog, owned.value)) if owned is not None else [],
        "contexts": dict(session.contexts),
        "strategy": strategy.name,
        "budget_tokens": services.context_budget.tokens,
        "left_out": max(0, len(messages) - len(sent)),
        "messages": [_shown(message) for message in sent],
    }


async def _messages(services: TurnServices, principal: Principal, session_id: SessionId) -> list[Message]:
    messages: list[Message] = []
    after = -1
    while True:
        page = await services.store.messages(principal, session_id, after=after, limit=_PAGE)
        messages.extend(stored.message.with_id(stored.id) for stored in page)
        if len(page) < _PAGE:
            return with_missing_results(messages, "(no result yet)")
        after = page[-1].position


def _shown(message: Message) -> Mapping[str, object]:
    text = message.text
    return {
        "role": message.role,
        "tokens": estimated_tokens(message),
        "text": text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…",
        "tool_calls": [{"name": call.name, "arguments": call.arguments[:_SHOWN]} for call in message.tool_calls],
    }
