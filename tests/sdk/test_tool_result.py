from iskra_sdk import ToolCall, ToolResult
from iskra_sdk.untrusted import unmark

CALL = ToolCall("call_1", "forecast")


def test_a_model_is_told_what_a_tool_returned_as_untrusted_text() -> None:
    message = ToolResult("sunny").message(CALL)
    assert (message.role, message.tool_call_id) == ("tool", "call_1")
    assert message.text == '<untrusted from="forecast">\nsunny\n</untrusted>'


def test_a_model_is_told_why_a_call_was_refused_as_the_servers_own_words() -> None:
    result = ToolResult("Too late.", is_error=True, error_code="tool_denied", is_trusted=True)
    assert result.message(CALL).text == "Error (tool_denied): Too late."


def test_a_model_is_told_that_a_call_failed() -> None:
    message = ToolResult("Broken.", is_error=True).message(CALL)
    assert message.text.startswith("Error (tool_failed): <untrusted")
    assert unmark(message.text) == "Error (tool_failed): Broken."
