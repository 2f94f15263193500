"""The grammar of plain requests, as data: what can be asked for, in which words, and what kind of tool does it.

A template matches a whole clause, without regard to case. Its elements, one space apart:

==================  ===================================================================================
``a|b*|c_d``        one of these words; ``b*`` is any word that begins with ``b``; ``c_d`` is two words
``[x y]``           may be left out; may hold any elements
``<slot:kind>``     something to take out, see :data:`KINDS`; ``<slot>`` is of the kind ``word``
``{NAME}``          the text of :data:`MACROS` under this name
==================  ===================================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

QUOTED = "\ue000[0-9]+\ue001"
"""What stands for a quoted text after masking: private-use characters around its number."""

_BARE_FILES = "readme|makefile|dockerfile|license|licence|changelog|notice|authors|procfile|justfile|gemfile|rakefile"
_PATH = rf"(?:{QUOTED}|(?!-)(?=\S*[./\\])[^\s,]+|(?:{_BARE_FILES})(?![^\s,]))"
_ANY_NAME = rf"(?:{QUOTED}|(?!-)[^\s,]+)"
_SEPARATOR = r"(?: ,)?(?: and| и| &| а также| as well as)?"
_NO_NAME = (
    r"(?!(?:the|a|an|it|its|this|that|there|here|out|my|your|me|how|what|why|all|some|any|more|about|"
    r"это|этого|его|там|тут|здесь|как|что|почему|все|мне|информацию|ответ|способ|о|про)(?![^\s,]))"
)
_PROGRAMS = (
    "python|python3|pip|pip3|pytest|ls|pwd|git|make|echo|cat|head|tail|wc|grep|rg|find|date|uname|whoami|which|du|df|"
    "ps|env|node|npm|npx|yarn|cargo|rustc|go|gcc|java|ruff|mypy|uv|poetry|docker|curl|wget|mkdir|touch|cp|mv|rm|tree|"
    "sort|uniq|diff|sed|awk|id|hostname|uptime|sleep|true|false|iskra"
)

KINDS: Mapping[str, str] = {
    "word": rf"{_NO_NAME}(?:{QUOTED}|(?!-)[^\s,]+)",
    "name": _ANY_NAME,
    "names": rf"{_ANY_NAME}(?:(?: ,| and| и| , and| , и) {_ANY_NAME})*",
    "path": _PATH,
    "paths": rf"{_PATH}(?:(?: ,| and| и| &| , and| , и| а также| , а также) {_PATH})*",
    "file": rf"(?:{QUOTED}|[^\s,]*\w\.\w{{1,10}}(?![^\s,])|(?:{_BARE_FILES})(?![^\s,]))",
    "folder": rf"(?!\S*\w\.\w{{1,10}}(?!\S)){_NO_NAME}(?:{QUOTED}|(?!-)[^\s,]+)",
    "bare": r"(?!(?:it|this|that|there|here|store|memory|common|iskra)(?!\S))(?-i:[a-z][a-z0-9_-]*)",
    "folder_path": r"(?:[^\s,]+/(?![^\s,])|\.{1,2}(?![^\s,]))",
    "quoted": QUOTED,
    "identifier": rf"(?:{QUOTED}|(?-i:\w*[a-z0-9][A-Z]\w*|\w+_\w+|\w+\(\)|\w+(?:\.\w+)+))",
    "program_line": rf"(?:{_PROGRAMS})(?: \S+)*",
    "rest": r".+",
}
"""Slot kind → regular expression over a masked clause whose words are one space apart."""

MACROS: Mapping[str, str] = {
    # English
    "SHOW": "read|show|show_me|open|print|print_out|display|view|cat|give_me|let_me_see|read_me|read_out",
    "THE": "[the|this|that|my|our]",
    "FILE": "[file|files|document|documents]",
    "FILES": "files|folders|entries|files_and_folders|everything|all_files|directories",
    "FOLDER": "[folder|directory|dir|subfolder]",
    "IN": "in|inside|of|under|from|at|within",
    "TAIL": "[for_me|to_me|again|now|please|aloud|carefully|in_full|too|first]",
    "CODE": "[the|this|my|our] code|codebase|project|repo|repository|workspace|files|sources|source_code",
    "KIND_OF_NAME": (
        "[all] [the] [word|text|string|symbol|class|function|method|variable|name|phrase|term|usages_of|uses_of|"
        "occurrences_of|references_to|mentions_of|definition_of|where]"
    ),
    # Russian
    "ПОКАЖИ": (
        "прочитай|прочитайте|прочти|прочтите|прочитать|прочесть|читай|почитай|покажи|покажите|показать|открой|"
        "откройте|открыть|выведи|выведите|вывести|напечатай|дай|дайте"
    ),
    "МНЕ": "[мне|нам] [пожалуйста]",
    "ФАЙЛ": "[файл|файла|файлы|файлов|документ|документы|этот_файл]",
    "ФАЙЛЫ": "файлы|файлов|папки|содержимое|список_файлов|список_папок|все_файлы|структуру",
    "ПАПКА": "[папке|папки|папку|каталоге|каталога|каталог|директории|директорию|подпапке]",
    "В": "в|во|внутри|из|по",
    "КОНЕЦ": "[пожалуйста|целиком|полностью|вслух|ещё_раз|сначала|теперь|внимательно]",
    "КОД": "коде|проекте|репозитории|файлах|исходниках|кодовой_базе|рабочей_папке|коду|проекту|файлам",
    "РОД": (
        "[все] [слово|текст|строку|строки|символ|класс|функцию|метод|переменную|имя|фразу|вхождения|упоминания|"
        "использования|определение|где]"
    ),
}


@dataclass(frozen=True, slots=True)
class Intent:
    """Something that can be asked for and that a tool does.

    Attributes:
        name: Also the key of its texts in :mod:`~iskra_plugins.offline.phrases`.
        templates: By language; the first that matches counts.
        unfinished: Templates of requests that want this but do not say enough to do it.
        tool_words: A tool fits if its name holds all the words of one of these sets; earlier sets fit better.
        roles: Slot → the names its parameter may have, best first. A tool must have a parameter for each slot
            that was filled, and none required besides.
        changes: It may change something, so it runs in a step of its own.
    """

    name: str
    templates: Mapping[str, Sequence[str]]
    tool_words: Sequence[frozenset[str]] = ()
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unfinished: Mapping[str, Sequence[str]] = field(default_factory=dict)
    changes: bool = False


def _sets(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(name.split()) for name in names)


_PATH_NAMES = ("path", "file_path", "filepath", "filename", "file_name", "file", "name", "uri")
_FOLDER_NAMES = ("path", "folder", "directory", "dir", "dir_path", "root", "under", "in_path")

INTENTS: Sequence[Intent] = (
    Intent(
        "list",
        templates={
            "en": (
                "list|show|show_me|print|display [me] [all] {THE} {FILES} [here|there|please]",
                "list|show|show_me|print|display [me] [all] {THE} {FILES} {IN} {THE} [folder|directory] <folder> "
                "{FOLDER}",
                "list|show|show_me|print|display [me] {THE} contents|content "
                "{IN} {THE} [folder|directory] <folder:folder> {FOLDER}",
                "list|show|show_me|open {THE} folder|directory <folder:name>",
                "{SHOW} <folder:folder_path>",
                "list <folder:folder_path>",
                "list <folder:path>",
                "list in|inside <folder>",
                "ls|dir [<folder>]",
                "what|which files|folders [are|exist|do_we_have|do_you_see|can_you_see] [there|here]",
                "what|which files|folders [are|are_there|exist|do_we_have] {IN} {THE} [folder|directory] <folder> "
                "{FOLDER}",
                "what_is|what's|whats in|inside {THE} folder|directory <folder:name>",
                "what_is|what's|whats in|inside the|this|my <folder:name> folder|directory",
                "what_is|what's|whats in|inside <folder:folder_path>",
                "what_is|what's|whats in|inside <folder:bare>",
                "what_is|what's|whats in|inside here|there|the_workspace|this_folder|the_folder|the_current_folder",
            ),
            "ru": (
                "что [лежит|находится|есть|хранится] {В} папке|каталоге|директории <folder:name>",
                "что лежит|находится|хранится {В} <folder>",
                "что [лежит|есть|находится] {В} <folder:folder_path>",
                "что [есть] в|внутри <folder:bare>",
                "что лежит|находится тут|здесь|в_рабочей_папке|в_текущей_папке|в_папке",
                "какие [тут|здесь] файлы [есть|лежат|находятся|имеются] [тут|здесь]",
                "какие файлы [есть|лежат|находятся|имеются] {В} {ПАПКА} <folder>",
                "{ПОКАЖИ} {МНЕ} [все] {ФАЙЛЫ} [тут|здесь|пожалуйста]",
                "перечисли|перечислите|перечислить [мне] [все] {ФАЙЛЫ} [тут|здесь|пожалуйста]",
                "{ПОКАЖИ} {МНЕ} [все] {ФАЙЛЫ} {В} {ПАПКА} <folder>",
                "{ПОКАЖИ} {МНЕ} содержимое папки|каталога|директории <folder>",
                "{ПОКАЖИ} {МНЕ} [папку|каталог|директорию] <folder:folder_path>",
                "{ПОКАЖИ} {МНЕ} папку|каталог|директорию <folder>",
                "перечисли|перечислите|перечислить [мне] [все] {ФАЙЛЫ} {В} {ПАПКА} <folder>",
                "перечисли|перечислите <folder:folder_path>",
                "список файлов [{В} {ПАПКА} <folder>]",
                "содержимое папки|каталога|директории <folder>",
            ),
        },
        tool_words=_sets(
            "list files", "list directory", "list folder", "list dir", "directory tree", "ls", "read directory"
        ),
        roles={"folder": _FOLDER_NAMES},
    ),
    Intent(
        "read",
        templates={
            "en": (
                "{SHOW} {THE} [contents_of|content_of|text_of] {THE} {FILE} <path:paths> [file] {TAIL}",
                "{SHOW} {THE} file|files|document <path:names> {TAIL}",
                "what_is|what's|whats in|inside {THE} [file] <path:file>",
                "what does {THE} [file] <path:file> say|contain",
                "[the] contents|content|text of {THE} [file] <path:paths>",
            ),
            "ru": (
                "{ПОКАЖИ} {МНЕ} [содержимое|текст|содержание] {ФАЙЛ} <path:paths> {КОНЕЦ}",
                "{ПОКАЖИ} {МНЕ} [содержимое|текст|содержание] файл|файла|файлы|документ <path:names> {КОНЕЦ}",
                "что [написано|содержится|лежит|есть|находится] в [файле] <path:file>",
                "[содержимое|текст] файла <path:paths>",
            ),
        },
        unfinished={
            "en": ("read|open|cat {THE} [a] [file|document|it|them|files]",),
            "ru": ("прочитай|прочти|открой|прочитайте|прочтите [файл|его|документ|файлы|их]",),
        },
        tool_words=_sets("read file", "open file", "view file", "get file", "show file", "cat", "read text", "read"),
        roles={"path": _PATH_NAMES},
    ),
    Intent(
        "write",
        templates={
            "en": (
                "write|save|put|store|record [the|this] [text|line|word|words|content] <content:quoted> "
                "to|into|in|as|under [a|the] [new] [file] [called|named] <path:name> {TAIL}",
                "create|make|write|add [a|the] [new] [file] [called|named] <path:path> "
                "with|containing|saying [the|this] [text|content|contents|line] <content:quoted>",
                "create|make [a|the] [new] file [called|named] <path:name> "
                "with|containing|saying [the|this] [text|content|contents|line] <content:quoted>",
                "write|save to|into|in [the|a] [new] [file] <path:path> [the|this] [text] <content:quoted>",
            ),
            "ru": (
                "запиши|запишите|записать|сохрани|сохраните|сохранить|напиши|напишите|помести|впиши|положи "
                "[текст|строку|слово|слова] <content:quoted> в|во [новый] [файл] <path:name> {КОНЕЦ}",
                "создай|создайте|создать|сделай [новый] [файл] <path:path> "
                "с [текстом|содержимым|содержанием|таким_текстом|таким_содержимым|строкой] <content:quoted>",
                "создай|создайте|создать|сделай [новый] файл <path:name> "
                "с [текстом|содержимым|содержанием|таким_текстом|таким_содержимым|строкой] <content:quoted>",
                "запиши|запишите|записать|сохрани|сохраните|напиши в [новый] [файл] <path:path> "
                "[текст|строку|слово] <content:quoted>",
            ),
        },
        unfinished={
            "en": (
                "write|save|put|store <rest:rest>",
                "create|make [a|the] [new] [empty] file [<rest:rest>]",
                "write|save",
            ),
            "ru": (
                "запиши|запишите|записать|сохрани|сохраните|напиши|напишите [<rest:rest>]",
                "создай|создайте|создать|сделай [новый] [пустой] файл [<rest:rest>]",
            ),
        },
        tool_words=_sets("write file", "save file", "create file", "put file", "write text", "write"),
        roles={"path": _PATH_NAMES, "content": ("content", "contents", "text", "data", "body", "file_text")},
        changes=True,
    ),
    Intent(
        "execute",
        templates={
            "en": (
                "run|execute|launch|exec {THE} [shell] [command|script|program] <command:quoted> {TAIL}",
                "run|execute|launch|exec [the] [shell] [command] <command:program_line>",
                "run|execute|launch|exec [the] [shell] command <command:rest>",
                "what does <command:quoted> print|output|say|return",
            ),
            "ru": (
                "выполни|выполните|выполнить|запусти|запустите|запустить|исполни|прогони "
                "[команду|скрипт|программу|мне] <command:quoted> {КОНЕЦ}",
                "выполни|выполните|выполнить|запусти|запустите|запустить|исполни|прогони [команду] "
                "<command:program_line>",
                "выполни|выполните|выполнить|запусти|запустите|запустить|исполни команду <command:rest>",
            ),
        },
        unfinished={
            "en": ("run|execute|launch|exec [<rest:rest>]",),
            "ru": ("выполни|выполните|выполнить|запусти|запустите|запустить|исполни|прогони [<rest:rest>]",),
        },
        tool_words=_sets(
            "execute command",
            "run command",
            "run shell",
            "execute shell",
            "shell",
            "bash",
            "terminal",
            "exec",
            "execute",
        ),
        roles={"command": ("command", "cmd", "commands", "command_line", "script", "argv", "args")},
        changes=True,
    ),
    Intent(
        "search",
        templates={
            "en": (
                "search|search_for|look_for|look_up|find|find_all|grep|grep_for|locate {KIND_OF_NAME} <term> "
                "[is] [defined|used|declared|mentioned]",
                "search|search_for|look_for|find|find_all|grep|grep_for|locate {KIND_OF_NAME} <term> "
                "[is] [defined|used|declared|mentioned] in|inside|within|across|throughout {CODE}",
                "search|search_for|look_for|find|find_all|grep|grep_for|locate {KIND_OF_NAME} <term> "
                "[is] [defined|used|declared|mentioned] in|inside|within|under|across {THE} [folder|directory|file] "
                "<folder> {FOLDER}",
                "search|grep [in] {CODE} for {KIND_OF_NAME} <term>",
                "search|grep [in|inside] <folder:path> for {KIND_OF_NAME} <term>",
                "search|grep in|inside <folder> for {KIND_OF_NAME} <term>",
                "grep <term> <folder:path>",
                "where is|are [the] [class|function|method|variable|constant] <term:identifier> "
                "[defined|used|declared|called|mentioned]",
            ),
            "ru": (
                "найди|найдите|найти|ищи|поищи|поищите|поискать|разыщи {МНЕ} {РОД} <term>",
                "найди|найдите|найти|ищи|поищи|поищите|поискать|разыщи {МНЕ} {РОД} <term> {В} {КОД}",
                "найди|найдите|найти|ищи|поищи|поищите|поискать|разыщи {МНЕ} {РОД} <term> "
                "{В} [папке|каталоге|директории|файле|папку] <folder>",
                "найди|найдите|найти|ищи|поищи|поищите|поискать {В} {КОД} {РОД} <term>",
                "найди|найдите|найти|ищи|поищи|поищите|поискать {В} [папке|каталоге|директории|файле] <folder> "
                "{РОД} <term>",
                "где [определен|определена|определён|объявлен|объявлена|используется|вызывается|упоминается] "
                "[класс|функция|метод|переменная] <term:identifier> "
                "[определен|определена|определён|объявлен|объявлена|используется|вызывается|упоминается]",
                "поиск {РОД} <term> [{В} <folder>]",
            ),
        },
        unfinished={
            "en": ("search|find|grep [for|something|it]",),
            "ru": ("найди|найдите|найти|поищи|ищи [что-нибудь|это|его]",),
        },
        tool_words=_sets("search code", "grep", "search files", "find code", "search text", "search workspace", "rg"),
        roles={
            "term": ("query", "text", "term", "pattern", "needle", "string", "regex", "search"),
            "folder": (*_FOLDER_NAMES, "glob"),
        },
    ),
    Intent(
        "call",
        templates={
            "en": (
                "call|use|invoke [the] [tool] <tool:name> [tool] [with] [the] [arguments|parameters] [<rest:rest>]",
            ),
            "ru": (
                "вызови|вызовите|используй|вызвать [инструмент] <tool:name> [с] [аргументами|параметрами] "
                "[<rest:rest>]",
            ),
        },
        changes=True,
    ),
)

EXPLAIN: Mapping[str, Sequence[str]] = {
    "en": ("explain|summarize|summarise|tell_me|describe|compare|analyze|analyse|review [<rest:rest>]",),
    "ru": ("объясни|объясните|перескажи|расскажи|расскажите|опиши|сравни|проанализируй [<rest:rest>]",),
}
"""Orders that need a model, unless the docs hold the explanation."""

NEEDS_A_MODEL: Mapping[str, Sequence[str]] = {
    "en": (
        "translate|fix|refactor|improve|rewrite|rename|implement|think|compose|draft|suggest|plan|design|debug|change|"
        "edit|update|delete|remove|move|add|append|sort|count|convert|generate|check|test|install|build|deploy|send "
        "[<rest:rest>]",
    ),
    "ru": (
        "переведи|исправь|отрефактори|улучши|перепиши|переименуй|реализуй|подумай|сочини|предложи|спланируй|"
        "спроектируй|отладь|измени|поменяй|обнови|удали|сотри|перемести|добавь|допиши|отсортируй|посчитай|преобразуй|"
        "сгенерируй|проверь|протестируй|установи|собери|отправь|пришли [<rest:rest>]",
    ),
}
"""Orders that are understood as orders, and cannot be carried out without a model."""

GREETINGS: Mapping[str, Sequence[str]] = {
    "en": (
        "hi|hello|hey|good_morning|good_evening|good_afternoon|greetings|howdy|yo "
        "[there|everyone|iskra|bot] [how_are_you]",
        "how are you [today|doing]",
        "thanks|thank_you|thx|cheers [a_lot|very_much|so_much|again|iskra]",
        "bye|goodbye|see_you",
        "test|ping|ok|okay|cool|great|nice",
    ),
    "ru": (
        "привет|здравствуй|здравствуйте|добрый_день|добрый_вечер|доброе_утро|хай|приветствую "
        "[искра|всем|бот] [как_дела]",
        "как дела",
        "спасибо|благодарю [большое|тебе|вам|огромное]",
        "пока|до_свидания",
        "тест|пинг|ок|окей|ладно|хорошо|отлично|круто",
    ),
}

ABOUT_ITSELF: Mapping[str, Sequence[str]] = {
    "en": (
        "help [me]",
        "what can you do [for_me|here]",
        "what are you able to do",
        "what|who are you",
        "are you [a|an|really] [real|large|big] [language] model|llm|ai|bot|human|gpt|chatgpt|offline|robot",
        "what|which model is this|are_you|do_you_use|am_i_talking_to|is_running",
        "what tools do you have|are_there|can_you_use",
        "introduce yourself",
    ),
    "ru": (
        "помощь|помоги|помогите|справка [мне]",
        "что ты|вы умеешь|умеете|можешь|можете [делать|сделать]",
        "кто|что ты|вы [такой|такая|такое]",
        "ты|вы [настоящая|большая] [языковая] модель|нейросеть|бот|человек|ии|робот|gpt|chatgpt",
        "какая [это|ты] модель",
        "какие [у_тебя] [есть] инструменты [есть|у_тебя|у_тебя_есть|доступны]",
        "представься",
    ),
}

POLITE: Sequence[str] = (
    "please", "could you", "can you", "would you", "will you", "kindly", "hey", "hi", "hello", "iskra", "now", "just",
    "then", "next", "also", "finally", "first", "second", "third", "afterwards", "i want you to", "i need you to",
    "i would like you to", "i'd like you to", "let's", "let us", "go ahead and", "ok", "okay", "so", "well", "only",
    "may i ask you to", "and", "would you mind", "you should", "you must", "you can",
    "пожалуйста", "можешь", "можете", "можешь ли ты", "не мог бы ты", "не могла бы ты", "не могли бы вы", "мог бы ты",
    "могли бы вы", "будь добр", "будь добра", "будьте добры", "прошу", "прошу тебя", "давай", "давай-ка", "искра",
    "привет", "теперь", "сначала", "сперва", "затем", "потом", "далее", "также", "ну", "а", "и", "так", "только",
    "просто", "нужно", "надо", "хочу", "я хочу", "чтобы ты", "мне нужно", "во-первых", "во-вторых", "наконец", "ладно",
)  # fmt: skip
"""Words before an order that change nothing about it."""

NEGATIONS: Sequence[str] = (
    "not", "don't", "dont", "doesn't", "never", "no", "nothing", "without", "avoid", "stop", "cannot", "can't", "cant",
    "won't", "shouldn't", "mustn't", "neither", "nor", "refrain", "unless", "forbid", "forbidden", "refuse", "except",
    "не", "нельзя", "никогда", "нет", "ни", "без", "запрещаю", "запрещено", "перестань", "прекрати", "незачем",
    "воздержись", "кроме", "ничего", "хватит",
)  # fmt: skip
"""Words that forbid: a clause with one of them never runs anything."""
