"""Which messages of a conversation a voice sees when it sees only what it attended."""

from collections.abc import Collection, Sequence

from iskra_sdk.message import Message


def attended_messages(
    messages: Sequence[Message], *, attended: Collection[str], turn_id: str, session_id: str
) -> list[Message]:
    """Return the messages of the turns that a voice attended, and of the present one.

    The id of a stored message is ``<turn id>.<number>``. System messages stay, and so does what a client brought along
    when the session began (``<session id>.<number>``), of which nobody knows who attended it. A message without an id
    stands for others, as a summary does, and goes. Turns stay or go whole, so that no call is torn from its result.
    """
    visible = {*attended, turn_id, session_id}
    begun = next((place for place, message in enumerate(messages) if _turn_of(message) == turn_id), len(messages))
    return [
        message
        for place, message in enumerate(messages)
        # Within the present turn an agent may add messages that are not stored.
        if place >= begun or message.role == "system" or (message.id and _turn_of(message) in visible)
    ]


def _turn_of(message: Message) -> str:
    return message.id.rpartition(".")[0]
