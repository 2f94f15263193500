"""The HTTP layer: OpenAI's protocols, the native API, the plugins' routes."""

import iskra.http.framework  # noqa: F401  # first: it has FastAPI imported in its own way
from iskra.http.app import HTTPLayer, create_app

__all__ = ["HTTPLayer", "create_app"]
