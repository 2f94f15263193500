"""``POST /v1/chat/completions``: decides who answers."""

from iskra.http.chat_turns import ChatTurns
from iskra.http.chat_wire import messages_of, model_of
from iskra.http.exchange import Exchange
from iskra.http.gateway import PREFIX, Gateway
from iskra.http.side_calls import side_call_client

SIDE_CALL_ALIAS = "default"


class ChatCompletions:
    """The endpoint: ``llm:`` models go through the gateway, side calls of user interfaces too, the rest are turns."""

    def __init__(self, gateway: Gateway, turns: ChatTurns) -> None:
        self._gateway = gateway
        self._turns = turns

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.read_json()
        model = model_of(body)
        messages = messages_of(body)
        if model.startswith(PREFIX):
            await self._gateway.answer(exchange, body, model=model, messages=messages)
        elif side_call_client(messages):
            await self._gateway.answer(exchange, body, model=model, messages=messages, alias=SIDE_CALL_ALIAS)
        else:
            await self._turns.answer(exchange, body, model=model, messages=messages)
