"""A command is split as a shell would, or refused; nothing in between."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.workspace.command_line import split_command
from iskra_sdk import ToolError
from plugins.workspace.space import MakeSpace, Space

# Each would create the file `pwned` if a shell saw it.
NEED_A_SHELL = [
    "true; touch pwned",
    "true;touch pwned",
    "true && touch pwned",
    "false || touch pwned",
    "true & touch pwned",
    "true | touch pwned",
    "true |& touch pwned",
    "true\ntouch pwned",
    "true\r\ntouch pwned",
    "true \\\n; touch pwned",
    "$(touch pwned)",
    "echo $(touch pwned)",
    'echo "$(touch pwned)"',
    "`touch pwned`",
    "echo `touch pwned`",
    'echo "`touch pwned`"',
    "echo ${x:-$(touch pwned)}",
    "echo $((`touch pwned`))",
    "echo hi > pwned",
    "echo hi>pwned",
    "echo hi >> pwned",
    "echo hi 2> pwned",
    "echo hi &> pwned",
    "> pwned",
    "true <(touch pwned)",
    "cat <<EOF >pwned\nx\nEOF",
    "(touch pwned)",
    "{ touch pwned; }",
    "! touch pwned",
    "if true; then touch pwned; fi",
    "for x in 1; do touch pwned; done",
    "while touch pwned; do break; done",
    "eval touch pwned",
    "exec touch pwned",
    ". ./pwn.sh",
    "source pwn.sh",
    "X=1 touch pwned",
    "touch pwne?",
    "touch *",
    "touch [p]wned",
    "touch {pwned,x}",
    "touch pwned$IFS",
    "touch $HOME/pwned",
    'touch "$HOME/pwned"',
    "touch $'pwned'",
    "touch ~/pwned",
    "touch pwned # comment",
    "touch pwned &",
    "bash -c 'touch pwned'",
    "sh -c 'touch pwned'",
    "/bin/sh -c 'touch pwned'",
    "bash -lc 'touch pwned'",
    "bash -x -c 'touch pwned'",
    "bash --norc -c 'touch pwned'",
    "b'a's\\h -c 'touch pwned'",
    "sh -s",
    "sh",
    "env sh -c 'touch pwned'",
    "env -i A=1 sh -c 'touch pwned'",
    "nohup sh -c 'touch pwned'",
    "timeout 5 sh -c 'touch pwned'",
    "nice -n 5 bash -c 'touch pwned'",
    "busybox sh -c 'touch pwned'",
    "xargs sh -c 'touch pwned'",
    "setsid dash -c 'touch pwned'",
]

# Quoted, the same characters are plain text for one program.
LITERAL = [
    ("echo 'true; touch pwned'", ["echo", "true; touch pwned"]),
    ('echo "a && b"', ["echo", "a && b"]),
    (r"echo \; touch pwned", ["echo", ";", "touch", "pwned"]),
    (r"echo \$\(touch pwned\)", ["echo", "$(touch", "pwned)"]),
    ("echo '$(touch pwned)'", ["echo", "$(touch pwned)"]),
    ("echo '`touch pwned`'", ["echo", "`touch pwned`"]),
    (r'echo "\$(touch pwned)"', ["echo", "$(touch pwned)"]),
    (r'echo "\`touch pwned\`"', ["echo", "`touch pwned`"]),
    ("echo '>' pwned", ["echo", ">", "pwned"]),
    ("echo '*'", ["echo", "*"]),
    ("echo 'a\ntouch pwned'", ["echo", "a\ntouch pwned"]),
    ("echo a\u00a0b", ["echo", "a\u00a0b"]),
    ("echo a\u2028touch", ["echo", "a\u2028touch"]),
    ("echo \uff1b touch pwned", ["echo", "\uff1b", "touch", "pwned"]),
    ("git show HEAD~1^ stash@{0}", ["git", "show", "HEAD~1^", "stash@{0}"]),
    ("echo a#b '' \"\"", ["echo", "a#b", "", ""]),
    ('echo "cost: 5$"', ["echo", "cost: 5$"]),
    ("echo \x1b[2Jx".replace("[", "\\["), ["echo", "\x1b[2Jx"]),
    ("git commit -m 'bash -c x'", ["git", "commit", "-m", "bash -c x"]),
    ("bash run.sh -c", ["bash", "run.sh", "-c"]),
    ("grep bash -c notes.txt", ["grep", "bash", "-c", "notes.txt"]),
]


ASSIGNMENT_OR_KEYWORD = re.compile(r"[ab]+=|\.(\s|$)")


def test_there_are_at_least_60_spellings() -> None:
    assert len(set(NEED_A_SHELL)) + len(LITERAL) >= 60


@pytest.mark.parametrize("command", NEED_A_SHELL)
async def test_what_needs_a_shell_is_refused_before_anybody_is_asked(space: Space, command: str) -> None:
    (space.root / "pwn.sh").write_text("touch pwned")
    for attempt in (space.preview, space.fingerprint, space.call):
        with pytest.raises(ToolError, match=r"needs a shell|shells are switched off|ends inside"):
            await attempt("execute_command", command=command)
    assert not (space.root / "pwned").exists()


@pytest.mark.parametrize(("command", "argv"), LITERAL)
async def test_quoted_characters_are_plain_text(space: Space, command: str, argv: list[str]) -> None:
    assert split_command(command) == argv
    preview = await space.preview("execute_command", command=command)
    assert len(preview.splitlines()) == len(argv) + 1
    assert "\x1b" not in preview
    assert "\u2028" not in preview


@pytest.mark.parametrize(
    "command", ["", "  ", "\n", "echo 'a", 'echo "a', "echo \\", "echo \0", "echo \ud800", "x" * 40_000]
)
async def test_what_is_no_command_is_refused(space: Space, command: str) -> None:
    with pytest.raises(ToolError):
        await space.call("execute_command", command=command)


@given(st.lists(st.text(max_size=10), min_size=1, max_size=6))
def test_quoted_arguments_come_back_as_they_were(argv: list[str]) -> None:
    argv = ["program", *argv]
    if any("\0" in word for word in argv):
        return
    assert split_command(shlex.join(argv)) == argv


@given(st.text(alphabet="ab '\"\\\t-=./", max_size=20))
def test_without_shell_syntax_it_splits_as_the_standard_library(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(ToolError):
            split_command(command)
        return
    if not expected or ASSIGNMENT_OR_KEYWORD.match(command.lstrip()):
        with pytest.raises(ToolError):
            split_command(command)
    else:
        assert split_command(command) == expected


@given(st.text(alphabet="ab $`;&|<>(){}*?[]~#!\n'\"\\", max_size=14))
def test_whatever_is_accepted_means_the_same_to_a_shell_or_is_literal(command: str) -> None:
    try:
        words = split_command(command)
    except ToolError:
        return
    assert words == shlex.split(command)


async def test_a_setting_allows_a_shell_for_some_commands(make_workspace: MakeSpace) -> None:
    space = make_workspace(shell=True, shell_commands=["echo *"])  # noqa: S604 - the setting under test
    result = await space.call("execute_command", command="echo one | tr o 0")
    assert result.content.startswith("0ne\n")
    assert 'in a shell (/bin/sh):\n"echo one | tr o 0"' in await space.preview(
        "execute_command", command="echo one | tr o 0"
    )
    with pytest.raises(ToolError, match="needs a shell"):
        await space.call("execute_command", command="ls | cat")


async def test_the_preview_shows_each_argument_without_doubt(space: Space) -> None:
    preview = await space.preview("execute_command", command="printf 'a b' \"q\\\"\" '\\x1b' '\x1b[8m\u202e'")
    assert preview.splitlines() == [
        "Runs in the workspace, without a shell:",
        '"printf"',
        '"a b"',
        r'"q\""',
        r'"\\x1b"',
        r'"\x1b[8m\u202e"',
    ]


async def test_the_fingerprint_follows_every_file_that_is_named(space: Space) -> None:
    (space.root / "run.py").write_text("print(1)")
    (space.root / "conf.toml").write_text("a = 1")
    command = "python3 run.py --config=conf.toml"
    first = await space.fingerprint("execute_command", command=command)
    assert first == await space.fingerprint("execute_command", command=command)
    (space.root / "run.py").write_text("print(2)")
    second = await space.fingerprint("execute_command", command=command)
    (space.root / "conf.toml").write_text("a = 2")
    third = await space.fingerprint("execute_command", command=command)
    assert len({first, second, third}) == 3


async def test_the_fingerprint_follows_the_program_itself(space: Space) -> None:
    (space.root / "tool").write_text("#!/bin/sh\necho 1")
    (space.root / "tool").chmod(0o755)
    first = await space.fingerprint("execute_command", command="./tool")
    (space.root / "tool").write_text("#!/bin/sh\necho 2")
    assert first != await space.fingerprint("execute_command", command="./tool")
    (space.root / "link").symlink_to("/bin/true")
    one = await space.fingerprint("execute_command", command="./link")
    (space.root / "link").unlink()
    (space.root / "link").symlink_to("/bin/false")
    assert one != await space.fingerprint("execute_command", command="./link")
