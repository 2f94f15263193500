"""The reference page on hooks has an entry for every hook, and its examples are one working plugin."""

from collections.abc import Iterator
from pathlib import Path

from iskra.plugin_host import PluginState
from iskra.plugin_host.contributions import Hooks
from iskra.plugin_host.preflight_child import StandIn
from iskra_sdk import hookspecs
from iskra_sdk.manifest import PluginManifest, PluginPermission
from markdown_pages import code_blocks
from plugin_workshop import workshop

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "hooks.md"
HOOKS = [name for name, value in vars(hookspecs).items() if hasattr(value, "iskra_spec")]


def sections() -> Iterator[tuple[str, int]]:
    """Yield the headings of the second level and their lines."""
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("## "):
            yield line.removeprefix("## "), number


def test_every_hook_has_an_entry_with_an_example() -> None:
    found = list(sections())
    assert sorted(name for name, _ in found) == sorted(HOOKS)
    ends = [line for _, line in found[1:]] + [10**6]
    for (name, begin), end in zip(found, ends, strict=True):
        examples = [block for block in code_blocks(PAGE) if block.info == "python" and begin < block.first_line < end]
        assert any(f"def {name}(" in block.text for block in examples), name


async def test_the_examples_are_one_plugin_that_uses_every_hook(tmp_path: Path) -> None:
    source = "\n".join(block.text for block in code_blocks(PAGE) if block.info == "python")
    header = 'permissions = ["approval_rules", "interceptors", "routes"]'
    async with workshop(tmp_path) as shop:
        status = await shop.drop("tea", source, header=header)
        assert status.state is PluginState.RUNNING, status.error
        offered = {"agents", "tools", "voices", "providers", "interceptors", "event_handlers", "rules", "notifiers"}
        assert set(status.offers) == offered | {"advisors", "context_strategies", "routes", "permissions"}
        assert status.settings == {"minutes": 3.0}
        assert await shop.call("brew", kind="green", cups=2) == "2 of green tea after 3 minutes"
        assert "tea.tick" in shop.event_types()


def test_the_example_command_runs() -> None:
    namespace: dict[str, object] = {"__name__": "tea"}
    for block in code_blocks(PAGE):
        if block.info == "python":
            exec(compile(block.text, str(PAGE), "exec"), namespace)  # noqa: S102 - running the docs is the test
    plugin = type("Tea", (), {"register_commands": staticmethod(namespace["register_commands"])})()  # type: ignore[arg-type]
    (command,) = Hooks(plugin, PluginManifest(name="tea")).commands(StandIn()).values()  # type: ignore[arg-type]
    assert command.run([]) == 0


def test_the_manifest_page_lists_every_field_and_permission() -> None:
    text = (DOCS / "reference" / "manifest.md").read_text(encoding="utf-8")
    for name in [*PluginManifest.model_fields, *PluginPermission]:
        assert f"\n| `{name}` |" in text, name
