"""The HTTP layer: OpenAI's protocols, the native API, the plugins' routes."""

from iskra.http.app import HTTPLayer, create_app

__all__ = ["HTTPLayer", "create_app"]
