"""Rules and word lists as data: what is found in words, and which files are refused."""

from importlib.resources import files

import pytest

from iskra_chaos.ethics.private_data import redacted
from iskra_chaos.ethics.rules import Rules, packaged_rules
from iskra_chaos.ethics.terms import TermList, Terms
from iskra_sdk.errors import ConfigurationError

_RULES_TEXT = (files("iskra_chaos.ethics") / "rules.toml").read_text("utf-8")
_TERMS_TEXT = (files("iskra_chaos.ethics") / "terms.toml").read_text("utf-8")


def _found(text: str, *phrases: str, exceptions: tuple[str, ...] = (), is_negatable: bool = False) -> str | None:
    return Terms({"list": TermList(phrases, exceptions, is_negatable)}).found(text).get("list")


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("Our hackathon", "hack", None),
        ("a hack!", "hack", "hack"),
        ("Дозагрузка", "доза", None),
        ("МАЛЕНЬКАЯ ДОЗА", "доза", "доза"),
        ("взломаешь", "взлом*", "взломаешь"),
        ("kill the old process", "kill ~2 process", "kill the old process"),
        ("kill the very old process", "kill ~2 process", None),
        ("ёлка", "елка", "елка"),
        ("don't go", "dont go", "dont go"),
        ("don’t go", "dont go", "dont go"),
        ("I'm sad", "i am sad", "i am sad"),
        ("cамо", "само", "само"),
        ("ki\u200bll", "kill", "kill"),
        ("", "kill", None),
    ],
)
def test_phrases_are_found_by_whole_words_and_stems(text: str, phrase: str, found: str | None) -> None:
    assert _found(text, phrase) == found


def test_a_negation_counts_within_its_clause_and_not_when_it_insists() -> None:
    for harmless in ("do not flatter them", "never, ever… no: don't flatter them", "не льсти"):
        assert _found(harmless, "flatter", "льсти", is_negatable=True) is None
    for meant in (
        "don't forget to flatter them",
        "Do not wait, flatter them",
        "не забудь: льсти",
        "flatter, not blame",
    ):
        assert _found(meant, "flatter", "льсти", is_negatable=True) is not None


def test_an_exception_lifts_only_what_it_overlaps() -> None:
    assert _found("make a bath bomb", "make ~2 bomb", exceptions=("bath bomb",)) is None
    assert _found("a bath bomb, then make a bomb", "make ~2 bomb", exceptions=("bath bomb",)) == "make a bomb"


@pytest.mark.parametrize("phrase", ["", "~2", "~1 word", "a b* c", "two-words"])
def test_a_malformed_phrase_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="phrase"):
        Terms({"list": TermList((phrase,))})


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('mentions = "crisis"', 'mentions = "crises"', "crises"),
        ('fact = "is_certain"', 'fact = "is_sure"', "is_sure"),
        ('path = "/memory"', 'path = "/session"', "/session"),
        ('id = "consent.tenant"', 'id = "consent.stopped"', "two rules"),
        ('outcome = "modify"', 'outcome = "reject"', "mend"),
        ("equals = true", "equals = true, above = 1", "one comparison"),
        ('kind = "privacy"', 'kind = "secrecy"', "kind"),
        ("[[rule]]", "[[rule", "ethics rules"),
    ],
)
def test_a_rules_file_with_a_mistake_is_refused_whole(old: str, new: str, named: str) -> None:
    assert old in _RULES_TEXT
    with pytest.raises(ConfigurationError, match=named):
        Rules(_RULES_TEXT.replace(old, new, 1), _TERMS_TEXT)


def test_every_change_of_the_data_changes_the_version() -> None:
    changed = Rules(_RULES_TEXT + "\n# a remark\n", _TERMS_TEXT)
    assert changed.version != packaged_rules().version
    assert Rules(_RULES_TEXT, _TERMS_TEXT).version == packaged_rules().version


@pytest.mark.parametrize(
    "secret",
    [
        "anna.petrova@example.org",
        "+7 (916) 123-45-67",
        "8 916 123 45 67",
        "+44 20 7946 0958",
        "4111 1111 1111 1111",
        "078-05-1120",
        "112-233-445 95",
        "паспорт 45 10 123456",
        "sk-abcdefghijklmnopqrstuvwx",
        "ghp_0123456789abcdefghij",
        "AKIAABCDEFGHIJKLMNOP",
        "password: correcthorse",
        "пароль = секрет123",
        "Bearer abcdefghijklmnop1234",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_private_data_is_blotted_out_and_blotting_twice_changes_nothing(secret: str) -> None:
    clean = redacted(f"Ask {secret} about it")
    assert secret not in clean
    assert clean.startswith("Ask ")
    assert clean.endswith(" about it")
    assert redacted(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "version 3.11.4 of 2024-05-17",
        "1234567890123456 nanoseconds",
        "8 из 10 случаев, 100000 токенов",
        "token budget: low, secret of success",
        "a@b",
        "git clone git@example.org:owner/name.git",
        "8000 requests in 12:30:45",
    ],
)
def test_numbers_and_words_that_only_look_private_stay(text: str) -> None:
    assert redacted(text) == text
