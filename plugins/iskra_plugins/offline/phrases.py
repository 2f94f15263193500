"""What the provider says, in English and Russian. Texts in braces are filled in."""

from collections.abc import Mapping

Phrases = Mapping[str, str]

ENGLISH: Phrases = {
    "who": (
        "I am Iskra's offline provider. I am **not a language model**: I follow fixed rules, so that you can try the "
        "server before you connect a model."
    ),
    "connect": (
        "To connect a model, start the server with its address: `ISKRA_MODEL_URL=http://127.0.0.1:11434/v1 "
        "ISKRA_MODEL=<name> make run`. More is in `docs/how-to/connect-a-model.md`."
    ),
    "can": "What I can do:",
    "can_docs": "answer questions about Iskra from its docs, e.g. *What is a lease?*",
    "can_list": "list files: *list files in docs*",
    "can_read": "read files: *read README.md*",
    "can_search": "search the code: *search for CircuitBreaker*",
    "can_execute": "run a command, after you approve it: *run `python -V`*",
    "can_write": "write a file, after you approve it: *write `hello` to notes.txt*",
    "can_call": "call any tool by its name: *call {tool} with name=value*",
    "can_steps": "several steps: *read a.txt and then run `ls`*",
    "no_tools": "This model id has no tools. Pick the model `iskra` or an agent, such as `agent:coder`, to use some.",
    "hello": "Hello!",
    "not_found": "I looked in the docs and found nothing about that.",
    "no_docs": "The docs are not installed with this server, so I cannot look that up.",
    "from_docs": "From the docs, **{title}** (`{path}`):",
    "see_also": "See also: {pages}.",
    "quoted": "*Found by a word search, quoted as it is; no language model has read your question.*",
    "forbidden": "Understood, I did nothing: I read this as something not to do.",
    "forbidden_too": "Left alone, as you said: {said}.",
    "unfinished_read": "Which file should I read? Say it like this: *read README.md*.",
    "unfinished_write": (
        "I cannot compose a text, only write one that you give me. Put it in quotes or backticks and name the file: "
        "*write `hello` to notes.txt*."
    ),
    "unfinished_execute": "Which command exactly? Put it in backticks: *run `python -V`*.",
    "unfinished_search": "What should I search for? Say it like this: *search for CircuitBreaker*.",
    "ambiguous": "I am not sure what you want with “{said}”, so I did nothing. Please say it in one simple order.",
    "needs_a_model": "“{said}” needs a language model, and I am none.",
    "not_understood": "I did not understand: “{said}”.",
    "missing_tool": "I understood “{said}”, but none of the tools here does that. Tools here: {tools}.",
    "missing_any_tool": "I understood “{said}”, but no tools are offered here.",
    "unknown_tool": "There is no tool `{tool}` here. Tools here: {tools}.",
    "bad_arguments": (
        "I could not read the arguments for `{tool}`. Write them as `name=value` pairs or as one JSON object. "
        "It takes: {parameters}."
    ),
    "done_read": "`{path}`:",
    "done_list": "Files in `{folder}`:",
    "done_list_all": "Files in the workspace:",
    "done_search": "Found for `{term}`:",
    "done_search_in": "Found for `{term}` in `{folder}`:",
    "done_execute": "Output of `{command}`:",
    "done_write": "Writing to `{path}`:",
    "done_call": "`{tool}` answered:",
    "empty": "(nothing)",
    "cut": "*The first {shown} of {total} lines.*",
    "cut_line": "*The beginning; the whole has {total} characters.*",
    "failed": "`{tool}` failed: {why}",
    "denied": "`{tool}` was not allowed: {why}",
    "stopped": "I stopped there. Not done: {said}.",
    "too_many": "That are more than {limit} calls; please ask for less at once.",
    "nothing_said": "Your message is empty. Ask me something, or say *help*.",
}

RUSSIAN: Phrases = {
    "who": (
        "Я — автономный провайдер Iskra. Я **не языковая модель**: я действую по твёрдым правилам, чтобы сервер можно "
        "было попробовать до подключения модели."
    ),
    "connect": (
        "Чтобы подключить модель, запустите сервер с её адресом: `ISKRA_MODEL_URL=http://127.0.0.1:11434/v1 "
        "ISKRA_MODEL=<имя> make run`. Подробнее: `docs/how-to/connect-a-model.md`."
    ),
    "can": "Что я умею:",
    "can_docs": "отвечать на вопросы об Iskra по её документации (она на английском), например *Что такое сессия?*",
    "can_list": "показывать файлы: *что лежит в docs*",
    "can_read": "читать файлы: *прочитай README.md*",
    "can_search": "искать в коде: *найди CircuitBreaker*",
    "can_execute": "выполнить команду, когда вы её одобрите: *выполни `python -V`*",
    "can_write": "записать файл, когда вы это одобрите: *запиши `привет` в notes.txt*",
    "can_call": "вызвать любой инструмент по имени: *вызови {tool} с имя=значение*",
    "can_steps": "несколько шагов подряд: *прочитай a.txt, затем выполни `ls`*",
    "no_tools": "У этой модели нет инструментов. Выберите модель `iskra` или агента, например `agent:coder`.",
    "hello": "Здравствуйте!",
    "not_found": "Я поискал в документации и ничего об этом не нашёл.",
    "no_docs": "Документация не установлена вместе с этим сервером, поэтому я не могу в ней поискать.",
    "from_docs": "Из документации, **{title}** (`{path}`):",
    "see_also": "См. также: {pages}.",
    "quoted": "*Найдено поиском по словам и приведено как есть; языковая модель ваш вопрос не читала.*",
    "forbidden": "Понял, ничего не делаю: я прочёл это как запрет.",
    "forbidden_too": "Не тронуто, как вы и сказали: {said}.",
    "unfinished_read": "Какой файл прочитать? Скажите так: *прочитай README.md*.",
    "unfinished_write": (
        "Сочинить текст я не могу, только записать данный вами. Возьмите его в кавычки и назовите файл: "
        "*запиши `привет` в notes.txt*."
    ),
    "unfinished_execute": "Какую именно команду? Возьмите её в обратные кавычки: *выполни `python -V`*.",
    "unfinished_search": "Что искать? Скажите так: *найди CircuitBreaker*.",
    "ambiguous": "Я не уверен, что вы хотите: «{said}», поэтому ничего не сделал. Скажите одним простым поручением.",
    "needs_a_model": "Для «{said}» нужна языковая модель, а я не модель.",
    "not_understood": "Я не понял: «{said}».",
    "missing_tool": "Я понял «{said}», но подходящего инструмента здесь нет. Есть инструменты: {tools}.",
    "missing_any_tool": "Я понял «{said}», но инструментов здесь нет.",
    "unknown_tool": "Инструмента `{tool}` здесь нет. Есть инструменты: {tools}.",
    "bad_arguments": (
        "Я не смог прочитать аргументы для `{tool}`. Запишите их парами `имя=значение` или одним объектом JSON. "
        "Он принимает: {parameters}."
    ),
    "done_read": "`{path}`:",
    "done_list": "Файлы в `{folder}`:",
    "done_list_all": "Файлы в рабочей папке:",
    "done_search": "Найдено по `{term}`:",
    "done_search_in": "Найдено по `{term}` в `{folder}`:",
    "done_execute": "Вывод `{command}`:",
    "done_write": "Запись в `{path}`:",
    "done_call": "`{tool}` ответил:",
    "empty": "(пусто)",
    "cut": "*Первые {shown} строк из {total}.*",
    "cut_line": "*Начало; всего символов: {total}.*",
    "failed": "`{tool}` не сработал: {why}",
    "denied": "`{tool}` не разрешён: {why}",
    "stopped": "На этом я остановился. Не сделано: {said}.",
    "too_many": "Это больше {limit} вызовов; попросите меньше за один раз.",
    "nothing_said": "Сообщение пустое. Спросите что-нибудь или скажите *помощь*.",
}

LANGUAGES: Mapping[str, Phrases] = {"en": ENGLISH, "ru": RUSSIAN}
