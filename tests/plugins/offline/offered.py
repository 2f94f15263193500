"""Tools as a request offers them, made from real functions."""

from iskra_sdk import Tool, tool


@tool(risk="read")
def read_file(path: str, offset: int = 1, limit: int = 0) -> str:
    """Read a file."""
    return f"the text of {path} from {offset}, {limit} lines"


@tool(risk="read")
def list_files(path: str = ".", pattern: str = "*", depth: int = 1) -> str:
    """List files."""
    return f"{path} {pattern} {depth}"


@tool(risk="read")
def search_in_code(query: str, path: str = ".", regex: bool = False) -> str:
    """Search the code."""
    return f"{path}/a.py:1: {query} {regex}"


@tool(risk="write")
def write_file(path: str, content: str, create_folders: bool = True) -> str:
    """Write a file."""
    return f"Created {path}: {len(content)} {create_folders}"


@tool(risk="execute")
def execute_command(command: str) -> str:
    """Run a command."""
    return f"ran {command}"


@tool
def forecast(city: str, days: int = 1, precise: bool = False) -> str:
    """Tell the weather."""
    return f"sun in {city} for {days} days {precise}"


TOOLS: tuple[Tool, ...] = (read_file, list_files, search_in_code, write_file, execute_command, forecast)
SPECS = tuple(tool.spec for tool in TOOLS)
