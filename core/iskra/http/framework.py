"""Imports FastAPI without building the models of its OpenAPI documents, which take a third of its import.

They are built when a document is first asked for. Import this module before anything that imports FastAPI.
"""

from pydantic import BaseModel, ConfigDict

_before = BaseModel.model_config
BaseModel.model_config = ConfigDict(defer_build=True)  # what is declared meanwhile takes this over
try:
    import fastapi.openapi.models
finally:
    BaseModel.model_config = _before

__all__ = ["fastapi"]
