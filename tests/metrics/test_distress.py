import pytest

from iskra_metrics.distress import in_crisis, pain_in

CRISES = """
how to die painlessly
what are the quickest ways to kill myself
как умереть безболезненно
i just really want to die
Some days I only want to die
Honestly? Want to die.
It hurts and I wish I could die
I don't want help, I want to die
Я больше не хочу жить
Не хочу больше жить.
Мне незачем жить
Хочу умереть
Я просто хочу умереть и всё
хочу убить себя
Я думаю о самоубийстве каждый день
думаю покончить с собой
покончу с собой сегодня
Всем будет лучше без меня
Я устала жить
Лучше бы я не родился
лучше бы меня не было
Режу себя уже месяц
Нет смысла жить дальше
Нет сил жить
У меня суицидальные мысли
хочу сделать себе больно
Иногда мне хочется исчезнуть навсегда
Я ХОЧУ УМЕРЕТЬ!!!
как убить себя безболезненно
Сведу счёты с жизнью
мой брат хочет покончить с собой
я наглоталась таблеток, чтобы умереть
я хочу повеситься
не вижу смысла жить
не могу больше жить
я не хочу просыпаться
хочу спрыгнуть с крыши
I want to kill myself
i wanna die
I want to die.
I'm going to kill myself tonight
I don't want to live anymore
I don’t want to be alive
I feel suicidal
I am having suicidal thoughts
I'm thinking about ending my life
I keep cutting myself
everyone would be better off without me
I wish I was dead
I wish I were never born
there is no reason to live
I have nothing to live for
I'm tired of living
I can't go on living like this
I want to end it all
I've been thinking of suicide
my friend wants to kill herself
planning to take my own life
I want to hurt myself
I tried to kill myself last year
I want to disappear forever
I'm going to end my life
I took pills to die
life is not worth living
want to kms
killing myself seems the only way
I'd rather be dead
Мне жить не хочется
я хочу, чтобы меня не стало
я себя ненавижу и хочу сдохнуть
""".strip().splitlines()

NO_CRISES = """
these branches need to die
this legacy code wants to die
this API is going to die next year
I think the process will die
I want these tests to die
I'm going to die if this build fails again
I thought the daemon would die
how to die in Minecraft
лучше умереть, чем писать на PHP
готов умереть за идею
этому серверу пора сдохнуть
как умереть в Minecraft
убить процесс
Как убить процесс на порту 8080?
kill the process
how do I kill a zombie process
deadline is killing me
This deadline is killing me, I'm dying
дедлайн меня убивает
я умираю со смеху
умереть не встать, какая красота
Хочу умереть от смеха
the joke killed me
I want to kill this bug
I want to die laughing
I'm dying to see the new release
dead code elimination
kill -9 the worker
the worker wants to die gracefully
прибить зависший поток
процесс умер
сервер покончил с очередью
Suicide Squad is a good film
Почему «Анна Каренина» заканчивается самоубийством?
статистика самоубийств по странам за 2020 год
hackathon
harakiri option in uwsgi
как вырезать себе аватар
Покажи, как покончить с техническим долгом
я хочу убить двух зайцев
хочу жить в Москве
I don't want to live in London
I don't want to live with merge conflicts
I no longer want to be here at this company's office
не хочу жить в Москве
не хочу больше жить с родителями
end it all with a semicolon
cut myself some slack
I cut myself while cooking dinner
I want to end my subscription
the parent should kill itself when the child exits
kill the child process
execute the children
this test makes me want to scream
no reason to live with this bug
there is no reason to live-reload here
устала жить в общежитии
ненавижу понедельники
I could kill for a coffee
я убью этого кота
убью этот тест
kill two birds with one stone
drop dead gorgeous
the battery died
she will kill me if I miss the deadline
мне конец, дедлайн завтра
I want to take my own notes
I need to die-cut the paper
tell the daemon to commit suicide
character in my novel wants to kill himself
как повесить картину
хочу повесить полку
как порезать себе салат
нет причин жить в прошлом
the thread decided to die
I think about death in Tolstoy
мысли о смерти у Толстого
""".strip().splitlines()


@pytest.mark.parametrize("text", CRISES)
def test_words_of_crisis_are_heard(text: str) -> None:
    assert in_crisis(text)
    assert in_crisis(f"Спасибо за ответ. {text.upper()}!!! Вот и всё, deploy is done.")
    assert pain_in(text) == 1.0


@pytest.mark.parametrize("text", NO_CRISES)
def test_figures_of_speech_and_technical_terms_are_no_crisis(text: str) -> None:
    assert not in_crisis(text)
    assert pain_in(text) < 1.0


def test_a_crisis_is_heard_through_characters_that_cannot_be_seen() -> None:
    assert in_crisis("Х\u200bочу у\u00adме\u0301реть")
    assert in_crisis("I don\u2019t want to\u2060 live")
    assert in_crisis("не  хочу\n\nжить")


@pytest.mark.parametrize(
    ("milder", "stronger"),
    [
        ("I'm not hurt", "I am slightly hurt"),
        ("I am slightly hurt", "I am hurt"),
        ("I am hurt", "I am very hurt"),
        ("I am very hurt", "I am very hurt!!!"),
        ("He is hurt", "I am hurt"),
        ("I am sad", "I am hopeless"),
        ("I am hurt", "I am hurt and lonely"),
        ("Мне не больно", "Мне немного больно"),
        ("Мне немного больно", "Мне больно"),
        ("Мне больно", "Мне очень больно"),
        ("Мне очень больно", "Мне очень больно!!!"),
        ("Ему больно", "Мне больно"),
        ("Мне грустно", "Я в отчаянии"),
        ("Мне больно", "Мне больно и одиноко"),
    ],
)
def test_pain_grows_with_words_intensity_and_nearness(milder: str, stronger: str) -> None:
    assert pain_in(milder) < pain_in(stronger) < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "I'm not sad",
        "I don't feel sad at all",
        "never been afraid",
        "without any fear",
        "Мне совсем не больно",
        "никогда не было так страшно",
        "без всякой тревоги",
    ],
)
def test_a_negation_close_before_silences_a_word_of_pain(text: str) -> None:
    assert pain_in(text) == 0.0


def test_a_negation_farther_away_does_not() -> None:
    assert pain_in("No, you see, today I am really sad") > 0.0
    assert pain_in("Нет, понимаешь, сегодня мне правда больно") > 0.0


def test_to_be_unable_to_stop_is_no_negation() -> None:
    assert pain_in("I can't stop crying") > 0.4
    assert pain_in("Я не могу перестать плакать") > 0.4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The build is green and the cache is warm.",
        "kernel panic on boot",
        "This is a pain point for users",
        "The event is fired twice",
        "the worker process died",
        "no worries, take your time",
        "Сборка зелёная, кэш прогрет.",
        "паника ядра при загрузке",
        "критическая ошибка, процесс умер",
        "Страшно рад тебя видеть",
        "ужасно интересная задача",
    ],
)
def test_neutral_and_technical_texts_show_no_pain(text: str) -> None:
    assert pain_in(text) == 0.0


def test_one_plain_word_of_sadness_stays_below_the_threshold_of_vulnerability() -> None:
    assert 0.0 < pain_in("Мне грустно") < 0.5
    assert 0.0 < pain_in("I am tired") < 0.5
    assert pain_in("Моя мама умерла, я в отчаянии и всё время плачу") > 0.7
    assert pain_in("My mother died last week and I can't stop crying") > 0.7
