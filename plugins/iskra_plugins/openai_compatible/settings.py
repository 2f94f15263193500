"""Settings of the plugin ``openai_compatible``."""

import os
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _check_base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:11434/v1")
    if parts.username or parts.password:
        raise ValueError("must hold no user name or password; use `api_key` or `headers`")
    return url


def _check_header(value: SecretStr) -> SecretStr:
    if any(character in value.get_secret_value() for character in "\r\n\0"):
        raise ValueError("must be a single line")
    return value


HeaderValue = Annotated[SecretStr, AfterValidator(_check_header)]


class EndpointSettings(BaseModel):
    """One server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, AfterValidator(_check_base_url)]
    """What comes before ``/chat/completions``, e.g. ``http://127.0.0.1:11434/v1``."""
    api_key: HeaderValue = SecretStr("")
    """Sent as a bearer token; empty for none."""
    api_key_env: str = ""
    """Environment variable that holds the key, instead of ``api_key``."""
    headers: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], HeaderValue] = Field(default_factory=dict)
    """More headers for every request."""
    stream_usage: bool = True
    """Ask for token counts in streams (``stream_options``); turn it off for a server that refuses the question."""

    @property
    def key(self) -> str | None:
        """The key, empty for none; ``None`` when it should be in the environment and is not."""
        if self.api_key_env:
            return os.environ.get(self.api_key_env)
        return self.api_key.get_secret_value()


class OpenAICompatibleSettings(BaseModel):
    """Servers by the name that targets call them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")], EndpointSettings] = Field(
        default_factory=dict
    )
    """Endpoint name → server; a target is ``<endpoint name>/<model>``."""
