import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.adaptive_approvals.shapes import shape_of
from iskra_sdk import Risk


def written(path: object, content: object = "text") -> str | None:
    shape = shape_of("write_file", Risk.WRITE, {"path": path, "content": content})
    return shape.text if shape else None


def run(command: object) -> str | None:
    shape = shape_of("execute_command", Risk.EXECUTE, {"command": command})
    return shape.text if shape else None


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("docs/a.md", "docs/**/*.md"),
        ("docs/deep/er/b.md", "docs/**/*.md"),
        ("книга/глава-1.md", "книга/**/*.md"),
        ("TODO.md", "TODO.md"),
        ("src/api/orders.py", "src/**/*.py"),
    ],
)
def test_of_a_path_the_topmost_folder_and_the_ending_count(path: str, place: str) -> None:
    assert written(path) == f"write_file (content=any text, path={place})"


@pytest.mark.parametrize(
    "path",
    [
        "docs/../x.md", "../x.md", "/etc/x.md", "~/x.md", ".env", "docs/.hidden.md",
        ".github/workflows/ci.yml", "docs//x.md", "docs/run.sh", "docs/conf", "Makefile", "docs/Makefile",
        "package.json", "src/__init__.py", "tests/conftest.py", "docs\\..\\x.md", "docs/x.md\n", "docs/x\0.md",
        "docs/x.md\u202e", "docs\uff0fx.md", "-docs/x.md", "docs /x.md", "", "a" * 300 + ".md", None, 7,
        ["docs/a.md"], {"path": "docs/a.md"}, "docs/key.PEM", "docs/$HOME.md", "docs/*.md",
    ],
)  # fmt: skip
def test_nothing_is_learned_about_a_path_that_could_lead_elsewhere(path: object) -> None:
    assert written(path) is None


@pytest.mark.parametrize(
    "command", ["pytest -q", "ruff check .", "git status", "npm test", "python -m pytest -q", "make test"]
)
def test_of_a_command_every_word_counts(command: str) -> None:
    assert run(command) == f"execute_command (command={command})"
    assert run(f"{command} now") != run(command)
    assert run(command.replace(" ", "   ")) == run(command)


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf build", "git push", "git reset --hard", "curl https://a.example", "sudo pytest", "bash -c pytest",
        "python x.py", "python -c pass", "python -m http.server", "node x.js", "./pytest", "/tmp/pytest", "pytest; ls",
        "pytest && ls", "pytest | tee x", "pytest > x", "pytest `id`", "pytest $(id)", "pytest\nls", "pytest \u00a0 x",
        "pip install x", "docker ps", "'unclosed", "", "   ", ["rm", "-rf", "/"], ["pytest", "; rm"], None, 7, [7],
        "env X=1 pytest", "npm publish", "pytest -c evil.cfg", "RM -rf x",
    ],
)  # fmt: skip
def test_nothing_is_learned_about_a_command_that_can_do_harm(command: object) -> None:
    assert run(command) is None


def test_a_call_to_another_server_has_no_shape_but_itself() -> None:
    one = shape_of("send", Risk.EXTERNAL, {"to": "a@example.org", "text": "hello"})
    other = shape_of("send", Risk.EXTERNAL, {"to": "a@example.org", "text": "hello!"})
    assert one is not None
    assert other is not None
    assert one != other


def test_tool_risk_and_further_arguments_count() -> None:
    arguments = {"path": "docs/a.md", "content": "x"}
    shapes = {
        shape_of("write_file", Risk.WRITE, arguments),
        shape_of("append_file", Risk.WRITE, arguments),
        shape_of("write_file", Risk.WRITE, {**arguments, "mode": "0777"}),
        shape_of("write_file", Risk.WRITE, {**arguments, "mode": "0644"}),
        shape_of("write_file", Risk.EXTERNAL, arguments),
    }
    assert None not in shapes
    assert len(shapes) == 5
    assert shape_of("write_file", Risk.WRITE, {**arguments, "command": "ls"}) is None
    assert shape_of("write_file", Risk.WRITE, {**arguments, "content": "x" * 100_001}) is None
    assert shape_of("do_it", Risk.WRITE, {}) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_shape_never_covers_a_place_outside_its_folder(path: str, content: str) -> None:
    text = written(path, content)
    if text is not None:
        assert ".." not in path.split("/")
        assert not path.startswith(("/", "~", "-", "."))
        assert "\0" not in path
        assert "\\" not in path
