"""Conversation metrics: what can be said of a conversation without a language model, as pure functions."""
