import logging
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files.variables import Variables, load_configuration, load_secrets
from iskra_chaos.experiments.redaction import HIDDEN, RedactingFilter, Redactor


def test_names_are_replaced_in_depth_and_unknown_ones_stay() -> None:
    variables = Variables({"host": "h", "port": 80, "deep": {"a": 1}}, {"t": {"token": "s3"}})
    filled = variables.fill({"u": "http://${host}:${port}", "n": "${port}", "l": ["${token}", "${no}"], "d": "${deep}"})
    assert filled == {"u": "http://h:80", "n": 80, "l": ["s3", "${no}"], "d": {"a": 1}}


def test_the_configuration_comes_before_secrets() -> None:
    assert Variables({"x": "c"}, {"t": {"x": "s"}}).fill("${x}") == "c"


def test_values_from_the_environment_are_converted() -> None:
    declared = {
        "n": {"type": "env", "key": "N", "env_var_type": "int"},
        "b": {"type": "env", "key": "B", "env_var_type": "bool"},
        "j": {"type": "env", "key": "J", "env_var_type": "json"},
        "d": {"type": "env", "key": "GONE", "default": 0},
        "plain": {"type": "else", "key": 1},
    }
    assert load_configuration(declared, {"N": "7", "B": "Yes", "J": "[1]"}, {"new": 1}) == {
        "n": 7, "b": True, "j": [1], "d": 0, "plain": {"type": "else", "key": 1}, "new": 1
    }  # fmt: skip


def test_given_values_win_even_over_missing_variables() -> None:
    assert load_configuration({"x": {"type": "env", "key": "GONE"}}, {}, {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"x": {"type": "env", "key": "GONE"}}, "GONE"),
        ({"x": {"type": "env", "key": "TEXT", "env_var_type": "int"}}, "cannot be read as 'int'"),
        ({"x": {"type": "env", "key": "TEXT", "env_var_type": "odd"}}, "cannot be read as 'odd'"),
    ],
)
def test_variables_that_cannot_be_had_are_named_and_not_quoted(declared: dict[str, object], text: str) -> None:
    with pytest.raises(ExperimentError, match=text) as caught:
        load_configuration(declared, {"TEXT": "hidden-thing"})
    assert "hidden-thing" not in str(caught.value)


def test_secrets_come_from_the_file_or_the_environment_and_from_no_vault() -> None:
    declared = {"a": {"x": {"type": "env", "key": "X"}, "y": "inline"}}
    assert load_secrets(declared, {"X": "1"}) == {"a": {"x": "1", "y": "inline"}}
    with pytest.raises(ExperimentError, match="vault"):
        load_secrets({"a": {"x": {"type": "vault", "key": "k"}}}, {})


def test_secrets_are_handed_out_by_target() -> None:
    variables = Variables(secrets={"a": {"x": 1}, "b": {"y": 2}})
    assert variables.secrets_of(["a", "b"]) == {"x": 1, "y": 2}
    assert variables.secrets_of("b") == {"y": 2}
    assert variables.secrets_of(None) == {}


def texts_of(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from (key, *texts_of(value))
    elif isinstance(tree, list):
        for item in tree:
            yield from texts_of(item)


@example("\ud800\udc80 ab", None, "")
@given(
    st.text(st.characters(exclude_characters="*"), min_size=4, max_size=30),
    st.recursive(
        st.text() | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.text(),
)
def test_no_secret_is_left_in_any_tree(secret: str, tree: object, around: str) -> None:
    planted = {"tree": tree, "text": f"{around}{secret}{around}", secret: [secret, {"x": secret * 2}]}
    assert not any(secret in text for text in texts_of(Redactor([secret]).tree(planted)))


def test_quoted_and_encoded_secrets_are_hidden_too() -> None:
    redactor = Redactor(["pass word/1", 12345, True, None, "", "ab"])
    assert redactor.text("http://x/?p=pass%20word%2F1") == f"http://x/?p={HIDDEN}"
    assert redactor.text("pass+word%2F1") == HIDDEN
    assert redactor.text("cGFzcyB3b3JkLzE=") == HIDDEN
    assert redactor.tree({"n": 12345, "m": 1234, "b": True}) == {"n": HIDDEN, "m": 1234, "b": True}
    assert redactor.text("a cab, ab") == f"a cab, {HIDDEN}"


def test_log_records_of_the_http_client_are_cleaned(caplog: pytest.LogCaptureFixture) -> None:
    client = logging.getLogger("httpx")
    with caplog.at_level(logging.INFO, logger="httpx"):
        with RedactingFilter(Redactor(["top-secret"])):
            client.info("GET %s", "http://x/?key=top-secret")
        client.info("GET %s", "free again")
    assert caplog.messages == [f"GET http://x/?key={HIDDEN}", "GET free again"]


def test_a_secret_that_stands_alone_is_a_target_of_its_own() -> None:
    declared = {"pw": "hunter2", "token": {"type": "env", "key": "TOKEN"}}
    secrets = load_secrets(declared, {"TOKEN": "abc"})
    assert secrets == {"pw": {"pw": "hunter2"}, "token": {"token": "abc"}}
    assert Variables({}, secrets).fill("${pw} ${token}") == "hunter2 abc"
    with pytest.raises(ExperimentError, match="vault"):
        load_secrets({"token": {"type": "vault", "key": "secrets/something"}}, {})
