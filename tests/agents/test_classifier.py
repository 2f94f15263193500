import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_agents.routing.classifier import MODEL_FILE, DamagedModelError, LocalClassifier
from iskra_agents.routing.features import features_of

ROOT = Path(__file__).parents[2]
HELD_OUT = ROOT / "benchmarks" / "data" / "routing_messages.tsv"
SECOND_HELD_OUT = ROOT / "benchmarks" / "data" / "routing_messages_second.tsv"
MODEL = LocalClassifier.load()


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The script that makes the model."""
    spec = importlib.util.spec_from_file_location("train", ROOT / "agents_builtin" / "routing_training" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_out(file: Path = HELD_OUT) -> list[tuple[str, str, str]]:
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    return [(label, context, text) for label, context, text in rows]


def test_the_model_is_made_from_what_lies_in_the_repository(training: ModuleType) -> None:
    assert MODEL.source == training.source_digest(), "run agents_builtin/routing_training/train.py"


def letters(text: str) -> frozenset[str]:
    text = " ".join(re.findall(r"\w+", text.lower().replace("ё", "е")))
    return frozenset(text[at : at + 4] for at in range(max(1, len(text) - 3)))


@pytest.mark.parametrize("file", [HELD_OUT, SECOND_HELD_OUT], ids=lambda file: file.stem)
def test_no_held_out_message_is_trained_on(file: Path, training: ModuleType) -> None:
    trained = [letters(message) for _, message in training.read_messages()]
    rows = held_out(file)
    assert len(rows) >= 310
    close = []
    for number, (_, _, text) in enumerate(rows, 1):
        own = letters(text)
        alike = (theirs for theirs in trained if 0.75 * len(own) <= len(theirs) <= len(own) / 0.75)
        if any(len(own & theirs) / len(own | theirs) >= 0.75 for theirs in alike):
            close.append(number)
    assert not close, "messages much like these lines are trained on; whoever trains must not see more than the numbers"


def test_every_author_writes_to_every_agent(training: ModuleType) -> None:
    authors = training.read_authors()
    assert len(authors) >= 20
    for author, messages in authors.items():
        assert {label for label, _ in messages} == set(training.LABELS), author
        assert all(text.strip() and not text.startswith("==") for _, text in messages), author


def test_most_held_out_messages_go_to_the_right_agent() -> None:
    rows = [(label, text) for label, context, text in held_out() if not context]
    assert len(rows) >= 290
    assert min(Counter(label for label, _ in rows).values()) >= 60
    right = 0
    for label, text in rows:
        chances = MODEL.probabilities(text)
        right += max(chances, key=lambda name: chances[name]) == label
    assert right / len(rows) > 0.9


@given(st.text(max_size=3000))
def test_any_text_gets_probabilities(text: str) -> None:
    chances = MODEL.probabilities(text)
    assert set(chances) == {"architect", "ask", "coder", "debug"}
    assert sum(chances.values()) == pytest.approx(1)
    assert all(0 <= chance <= 1 for chance in chances.values())


def test_of_a_huge_text_only_the_ends_are_looked_at() -> None:
    huge = "Why does it crash? " + "filler words " * 200_000 + "please help"
    short = "Why does it crash? " + "filler words " * 2_000 + "please help"
    assert features_of(huge).keys() == features_of(short).keys()


def test_what_is_quoted_does_not_count_by_its_words() -> None:
    assert features_of("write `hello` to it") == features_of("write `why does it crash` to it")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"ANOTHER-FORMAT\n" + data,
        lambda data: data.replace(b'"labels"', b'"lobels"'),
        lambda data: data.replace(b'"bits": 18', b'"bits": 17'),
    ],
)
def test_a_damaged_model_is_told_from_a_whole_one(damage: "type", tmp_path: Path) -> None:
    file = tmp_path / "classifier.bin"
    file.write_bytes(damage(MODEL_FILE.read_bytes()))
    with pytest.raises(DamagedModelError, match=r"classifier\.bin"):
        LocalClassifier.load(file)
