"""What all models of SIFT have in common."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Refuses members it does not know, is not changed once made, and is built when first used, not at import."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
