import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.offline import Handbook, find_docs
from iskra_plugins.offline.handbook import split_page
from iskra_plugins.offline.lookup import excerpt
from iskra_plugins.offline.terms import query_of, stem, terms_of, translate

PAGES = {
    "how-to/connect-a-model.md": (
        "# Connect a model\n\nSet `ISKRA_MODEL_URL` to the address of an OpenAI-compatible server.\n\n"
        "## Ollama\n\nStart Ollama, then run:\n\n```console\n# a comment, no heading\n$ make run\n```\n"
    ),
    "explanation/approvals.md": (
        "# How approvals work\n\nA call that writes waits for a decision.\n\n"
        "## Codes\n\nReply `approve K7Q2` to the code in the chat.\n"
    ),
    "how-to/write-a-plugin.md": "# Write a plugin\n\nSave a file in the plugin folder and it is loaded.\n",
    "glossary.md": (
        "# Glossary\n\n- **lease** — A turn's hold on a generation.\n- **turn** — All that follows a message.\n"
    ),
    "changelog.md": ("# Changelog\n\n## Unreleased\n\n- Approvals, plugins, models, leases, turns, sessions, codes.\n"),
    "explanation/sessions.md": (
        "# Sessions\n\nA session holds messages. A session is stored.\n\n## Weather\n\nNot here.\n"
    ),
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    for name, text in PAGES.items():
        page = tmp_path / name
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("question", "path", "heading"),
    [
        ("how do I connect a model?", "docs/how-to/connect-a-model.md", "Connect a model"),
        ("connecting models", "docs/how-to/connect-a-model.md", "Connect a model"),
        ("Can I use Ollama?", "docs/how-to/connect-a-model.md", "Ollama"),
        ("What is a lease?", "docs/glossary.md", "lease"),
        ("how do approvals work", "docs/explanation/approvals.md", "How approvals work"),
        ("explain approval codes", "docs/explanation/approvals.md", "Codes"),
        ("writing plugins", "docs/how-to/write-a-plugin.md", "Write a plugin"),
        ("ISKRA_MODEL_URL", "docs/how-to/connect-a-model.md", "Connect a model"),
        ("как подключить модель?", "docs/how-to/connect-a-model.md", "Connect a model"),
        ("Подключение моделей", "docs/how-to/connect-a-model.md", "Connect a model"),
        ("как работают одобрения?", "docs/explanation/approvals.md", "How approvals work"),
        ("как написать плагин", "docs/how-to/write-a-plugin.md", "Write a plugin"),
        ("что такое сессия?", "docs/explanation/sessions.md", "Sessions"),
    ],
)
async def test_a_question_finds_the_section_that_answers_it(docs: Path, question: str, path: str, heading: str) -> None:
    best = (await Handbook(docs).search(question))[0]
    assert (best.path, best.heading) == (path, heading)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "the",
        "weather in Berlin tomorrow",
        "какая погода в Москве",
        "tell me a joke about bears",
        "🙂",
        "K" * 10_000,
    ],
)
async def test_a_question_about_something_else_finds_nothing(docs: Path, question: str) -> None:
    assert not await Handbook(docs).search(question)


async def test_questions_asked_at_once_build_the_index_once(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handbook = Handbook(docs)
    built: list[int] = []
    build = handbook.build
    monkeypatch.setattr(handbook, "build", lambda: built.append(build()))
    answers = await asyncio.gather(*(handbook.search("lease") for _ in range(5)))
    assert len(built) == 1
    assert len({section.heading for answer in answers for section in answer[:1]}) == 1


async def test_without_docs_nothing_is_found() -> None:
    assert not await Handbook(None).search("what is a lease?")


async def test_a_page_that_cannot_be_read_does_not_hide_the_others(docs: Path) -> None:
    (docs / "broken.md").write_bytes(b"# Lease \xff\xfe")
    assert (await Handbook(docs).search("lease"))[0].path == "docs/glossary.md"


def test_a_page_is_cut_at_its_headings_and_not_inside_code() -> None:
    sections = list(split_page(PAGES["how-to/connect-a-model.md"], path="docs/how-to/connect-a-model.md"))
    assert [section.title for section in sections] == ["Connect a model", "Connect a model › Ollama"]
    assert "# a comment, no heading" in sections[1].text


def test_a_long_section_is_quoted_from_where_it_fits() -> None:
    text = "\n\n".join([*(f"Paragraph {number} about nothing at all." * 3 for number in range(40)), "The lease ends."])
    assert excerpt(text, "lease") == "…\n\nThe lease ends."
    assert len(excerpt(text, "nothing")) < 1400


def test_of_a_long_table_the_head_and_the_fitting_rows_are_quoted() -> None:
    rows = [f"| `name{number}` | {'filler ' * 10} |" for number in range(60)]
    table = "\n".join(["| name | reason |", "|---|---|", *rows, "| `uvloop` | fast |"])
    assert excerpt(table, "why uvloop?") == "| name | reason |\n|---|---|\n| `uvloop` | fast |"


@given(st.text(max_size=500), st.text(max_size=50))
def test_any_page_and_question_can_be_read(page: str, question: str) -> None:
    for section in split_page(page, path="docs/a.md"):
        excerpt(section.text * 20, question)
    assert all(query_of(question))


@pytest.mark.parametrize(
    "forms",
    [
        ("connect", "connects", "connecting", "connected"),
        ("plugin", "plugins"),
        ("setting", "settings"),
        ("approve", "approved", "approves", "approving"),
        ("dependency", "dependencies"),
        ("configuration", "configurations"),
        ("run", "running"),
        ("class", "classes"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(("one", "other"), [("session", "sense"), ("model", "mode"), ("this", "thin")])
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_compound_names_are_found_by_their_parts() -> None:
    assert {"circuit", "breaker"} <= set(terms_of("The CircuitBreaker opens."))
    assert query_of("CircuitBreaker") == [("circuit",), ("breaker",)]


@pytest.mark.parametrize("form", ["модель", "модели", "моделей", "моделями"])
def test_all_forms_of_a_russian_word_are_translated(form: str) -> None:
    assert translate(form) == ["model"]


def test_the_docs_of_this_project_are_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "iskra" or name.startswith("iskra.")]:
        monkeypatch.delitem(sys.modules, name)
    folder = find_docs()
    assert folder is not None
    assert (folder / "glossary.md").is_file()
    assert "iskra" not in sys.modules


def test_docs_inside_the_installed_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = tmp_path / "iskra" / "packaged_docs"
    packaged.mkdir(parents=True)
    (tmp_path / "iskra" / "__init__.py").touch()
    for name in [name for name in sys.modules if name == "iskra" or name.startswith("iskra.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_docs() == packaged
