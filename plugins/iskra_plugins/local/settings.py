"""Settings of the local model plugin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class LocalModel(BaseModel):
    """A GGUF file and how to run it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
    """The GGUF file."""
    context: Annotated[int, Field(ge=0)] = 4096
    """Tokens of prompt and answer together; 0 for as many as the model was trained with."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads; 0 leaves the choice to llama.cpp."""
    gpu_layers: Annotated[int, Field(ge=-1)] = 0
    """Layers on the GPU, if llama.cpp was built with one; -1 for all."""
    chat_format: str = ""
    """A chat format of llama-cpp-python; by default the chat template in the file is used."""


class LocalSettings(BaseModel):
    """What an admin may turn; see ``docs/how-to/run-a-local-model.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")], LocalModel] = Field(
        default_factory=dict
    )
    """Name → model; ``local/<name>`` is its target."""
    queue: Annotated[int, Field(ge=0)] = 8
    """Calls that may wait for one model while it answers another."""
    load_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Longest time loading a model may take."""
    idle_seconds: Annotated[float, Field(ge=0)] = 900.0
    """Seconds without a call after which a model is unloaded; 0 for never."""
