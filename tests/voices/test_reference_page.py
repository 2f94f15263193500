"""The reference page on voices says what the code does."""

import re
from pathlib import Path

from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.settings import VoicesSettings
from iskra_voices.wire import CollaborationResponse, VoiceActivationResponse
from voices.company import Company

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "voices.md").read_text(encoding="utf-8")
CATALOGUE = VoiceCatalogue(("maki", "sibyl"))


def section(title: str) -> str:
    """Return the text below a heading, up to the next of its level or above."""
    depth = len(title.split(" ")[0])
    return re.split(rf"^#{{2,{depth}}} ", PAGE.partition(f"\n{title}\n")[2], flags=re.MULTILINE)[0]


def test_it_lists_every_voice_with_its_names() -> None:
    rows = re.findall(r"^\| `voice:(\w+)` \| (\w+) \| (.*?) \| `(\w+)` \| ([\d.]+) \|", section("## The voices"), re.M)
    assert rows == [
        (
            policy.name,
            policy.russian,
            ", ".join(f"`{alias}`" for alias in policy.aliases if alias != policy.russian.lower()) or "–",
            policy.purpose,
            str(policy.parameters["temperature"]),
        )
        for policy in CATALOGUE.policies
    ]


def test_it_lists_every_demand_word_for_word() -> None:
    for policy in CATALOGUE.policies:
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section(f"### {policy.name}"), re.MULTILINE)
        assert rows == [(check.name, check.demand.replace("|", "&#124;")) for check in policy.checks]


def test_it_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section("## Settings"), re.MULTILINE)
    fields = VoicesSettings.model_fields
    assert [name for name, _, _ in rows] == list(fields)
    shown = VoicesSettings()
    for name, default, meaning in rows:
        described = fields[name].description or ""
        assert meaning == described[0].lower() + described[1:].rstrip("."), name
        value = getattr(shown, name)
        if isinstance(value, bool):
            assert default == f"`{str(value).lower()}`", name
    assert shown.crisis_help_en in PAGE
    assert shown.crisis_help_ru in PAGE


def test_it_names_the_fields_of_the_answers() -> None:
    for answer in (VoiceActivationResponse, CollaborationResponse):
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"`{answer.__name__}`: ")]
        named = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", line))[1:]
        assert named == list(answer.model_fields)


async def test_it_lists_every_route(company: Company) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\S+)` \| (.*) \|$", section("## Routes"), re.MULTILINE)
    paths = (await company.get("/openapi.json"))["paths"]
    ours = {
        (method.upper(), path, operation["description"])
        for path, operations in paths.items()
        if path.startswith(("/api/v1/voices/", "/api/v1/conversation_metrics"))
        for method, operation in operations.items()
    }
    assert {(method, path, text) for method, path, _, text in rows} == ours
