"""The kernel of Iskra: event bus, session store, LLM router, approvals, plugin host, HTTP and CLI."""

__all__ = ["__version__"]

__version__ = "0.1.0"
