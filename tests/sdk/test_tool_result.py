from iskra_sdk import ToolResult


def test_a_model_is_told_the_content_of_a_result() -> None:
    assert ToolResult("sunny").model_text == "sunny"


def test_a_model_is_told_that_and_how_a_call_failed() -> None:
    assert (
        ToolResult("Too late.", is_error=True, error_code="tool_denied").model_text == "Error (tool_denied): Too late."
    )
    assert ToolResult("Broken.", is_error=True).model_text == "Error (tool_failed): Broken."
