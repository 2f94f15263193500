"""Settings of the plugin ``mcp``."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, model_validator

from iskra_sdk import Risk

ServerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,23}$")]


class RemoteServer(BaseModel):
    """An MCP server whose tools are offered: a program that is started, or an address."""

    model_config = ConfigDict(extra="forbid")

    command: list[str] = Field(default_factory=list, description="Program and arguments; it speaks MCP on stdio.")
    env: dict[str, SecretStr] = Field(default_factory=dict, description="Environment variables for the program.")
    folder: str | None = Field(default=None, description="Where the program runs; the server's own folder by default.")
    url: HttpUrl | None = Field(default=None, description="Address of a server that speaks streamable HTTP.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Sent with every request, e.g. a token.")
    tools: list[str] = Field(default_factory=lambda: ["*"], description="Globs of the tools that are offered.")
    risks: dict[str, Risk] = Field(
        default_factory=dict,
        description="Glob of tools → risk; the first that matches counts, without one `external`.",
    )
    trusts_annotations: bool = Field(
        default=False, description="Believe the server when it says that a tool only reads or is harmless."
    )
    timeout: float = Field(default=60.0, gt=0, le=3600, description="Seconds one call may take.")

    @model_validator(mode="after")
    def _has_one_way(self) -> "RemoteServer":
        if bool(self.command) == (self.url is not None):
            raise ValueError("give either a command or a url")
        return self


class OfferedServer(BaseModel):
    """What MCP clients find at ``/mcp``."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(default=True, description="Whether MCP clients are let in.")
    agents: list[str] = Field(default_factory=lambda: ["*"], description="Globs of the agents that are offered.")
    tools: list[str] = Field(default_factory=list, description="Globs of the tools that are offered; none by default.")
    wait: float = Field(
        default=50.0, gt=0, le=3600, description="Seconds a call waits for its turn before it says how to go on."
    )


class MCPSettings(BaseModel):
    """MCP in both directions."""

    model_config = ConfigDict(extra="forbid")

    servers: dict[ServerName, RemoteServer] = Field(
        default_factory=dict, description="MCP servers by name; their tools are named `<server>_<tool>`."
    )
    offer: OfferedServer = Field(default_factory=OfferedServer, description="Iskra as an MCP server.")
