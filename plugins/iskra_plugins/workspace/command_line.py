"""Splits a command into its arguments as a POSIX shell would, and refuses what only a shell could carry out."""

import os
import re
from collections.abc import Sequence

from iskra_plugins.workspace.visible_text import printable_path, quoted
from iskra_sdk import ToolError

_OPERATORS = {
    "|": "a pipe",
    "&": "running in the background or chaining with &&",
    ";": "chaining with ;",
    "<": "a redirection",
    ">": "a redirection",
    "(": "a subshell",
    ")": "a subshell",
    "`": "command substitution",
    "*": "a file pattern",
    "?": "a file pattern",
    "[": "a file pattern",
    "\n": "a second line",
    "\r": "a second line",
}
_BRACES = re.compile(r"\{[^{}\s]*(,|\.\.)[^{}\s]*\}")
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS = frozenset({"!", "{", "}", "[[", "case", "do", "done", "elif", "else", "esac", "exec", "eval", "fi", "for"})
_MORE_KEYWORDS = frozenset({"function", "if", "in", "select", "source", "then", "until", "while", ".", "cd", "export"})
_SHELLS = frozenset(
    {"ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "pwsh", "rbash", "sh", "tcsh", "xonsh", "zsh"}
)
# Programs that only run another one: what follows them is looked at in their place.
_WRAPPERS = frozenset(
    {"busybox", "chronic", "command", "doas", "env", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "time"}
    | {"timeout", "toybox", "unbuffer", "xargs"}
)
_LONGEST = 32_768
_MOST_WORDS = 1000


def split_command(command: str) -> list[str]:
    """Return the arguments of a command that needs no shell.

    Quotes and backslashes mean what they mean to a POSIX shell. Nothing is expanded.

    Raises:
        ToolError: It is empty, unbalanced, or uses a feature of shells; the message says which.
    """
    if len(command) > _LONGEST:
        raise ToolError(f"A command has at most {_LONGEST} characters.")
    if "\0" in command:
        raise ToolError("The command holds a NUL character.")
    try:
        command.encode()
    except UnicodeEncodeError as exc:
        raise ToolError("The command holds half a character (a lone surrogate).") from exc
    words = _Splitter(command.lstrip().rstrip("\r\n")).words()
    if not words:
        raise ToolError("The command is empty.")
    if len(words) > _MOST_WORDS:
        raise ToolError(f"A command has at most {_MOST_WORDS} arguments.")
    return words


def refuse_shell_program(argv: Sequence[str]) -> None:
    """Refuse a call of a shell with commands in its arguments or from its input.

    Running a script file by a shell is no such call. Wrappers such as ``env`` are looked through; a program that
    starts a shell by itself is not found this way, which is one reason why commands need approval.

    Raises:
        ToolError: It is such a call.
    """
    for position, word in enumerate(argv):
        name = os.path.basename(word)  # noqa: PTH119 - a word, no path
        if name in _SHELLS:
            if _has_script(argv[position + 1 :]):
                return
            raise ToolError(
                f"The command runs the shell {quoted(name)}, and shells are switched off.",
                mend="Run the program itself, or a script file; an admin can change the setting `shell`.",
            )
        is_part_of_wrapper = position > 0 and (word.startswith("-") or "=" in word or word[:1].isdigit())
        if name not in _WRAPPERS and not is_part_of_wrapper:
            return


def _has_script(words: Sequence[str]) -> bool:
    for word in words:
        if not word.startswith(("-", "+")):
            return True
        if word == "-" or (not word.startswith("--") and ("c" in word or "s" in word)) or word == "--command":
            return False
    return False


class _Splitter:
    def __init__(self, command: str) -> None:
        self._text = command
        self._position = 0

    def words(self) -> list[str]:
        words: list[str] = []
        while True:
            while self._peek() in (" ", "\t"):
                self._position += 1
            if not self._peek():
                return words
            start = self._position
            word = self._word()
            raw = self._text[start : self._position]
            if not words:
                _refuse_first_word(raw)
            words.append(word)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _word(self) -> str:
        start = self._position
        parts: list[str] = []
        while (character := self._peek()) not in ("", " ", "\t"):
            if character == "'":
                parts.append(self._single_quoted())
            elif character == '"':
                parts.append(self._double_quoted())
            elif character == "\\":
                parts.append(self._escaped())
            else:
                parts.append(self._plain(character, is_first=self._position == start))
        return "".join(parts)

    def _plain(self, character: str, *, is_first: bool) -> str:
        if character in _OPERATORS:
            raise _refusal(_OPERATORS[character], character)
        if character == "$":
            raise _refusal("a variable or substitution", "$")
        if is_first and character == "~":
            raise _refusal("a home folder", "~")
        if is_first and character == "#":
            raise _refusal("a comment", "#")
        if character == "{" and (found := _BRACES.match(self._text, self._position)):
            raise _refusal("a brace expansion", found[0])
        self._position += 1
        return character

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position + 1)
        if end < 0:
            raise _unbalanced("'")
        text = self._text[self._position + 1 : end]
        self._position = end + 1
        return text

    def _double_quoted(self) -> str:
        self._position += 1
        parts: list[str] = []
        while (character := self._peek()) != '"':
            following = self._text[self._position + 1 : self._position + 2]
            if not character:
                raise _unbalanced('"')
            if character == "`":
                raise _refusal("command substitution", "`")
            if character == "$" and (following.isalnum() or (following and following in "_({*@#?$!-")):
                raise _refusal("a variable or substitution", f"${following}")
            if character == "\\" and following and following in '$`"\\':
                self._position += 1
                character = following
            elif character == "\\" and following == "\n":
                raise _refusal("a continued line", "\\")
            parts.append(character)
            self._position += 1
        self._position += 1
        return "".join(parts)

    def _escaped(self) -> str:
        following = self._text[self._position + 1 : self._position + 2]
        if not following:
            raise _unbalanced("\\")
        if following in "\n\r":
            raise _refusal("a continued line", "\\")
        self._position += 2
        return following


class ShellNeededError(ToolError):
    """The command uses a feature of shells; where the settings allow a shell, it gets one."""


def _refuse_first_word(raw: str) -> None:
    if _ASSIGNMENT.match(raw):
        raise _refusal("a variable assignment", raw, "Use `env NAME=value program`.")
    if raw in _KEYWORDS or raw in _MORE_KEYWORDS:
        raise _refusal("a word of shells", raw)


def _refusal(what: str, text: str, mend: str = "") -> ShellNeededError:
    return ShellNeededError(
        f"The command needs a shell for {what} ({printable_path(text)}), and runs without one.",
        mend=mend
        or "Run one program per call and put quotes around characters meant literally; an admin can change the setting "
        "`shell`.",
    )


def _unbalanced(mark: str) -> ToolError:
    return ToolError(f"The command ends inside {mark}…; close it.")
