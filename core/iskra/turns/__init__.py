"""Turns: from the acceptance of a message through model calls, tool calls and questions to the last event."""
