"""What words and phrases are about, in English and Russian: the groups that the local classifier counts by.

It learns from a few thousand messages, so a verb that none of them holds would say nothing to it; its group does.
A word ending in ``*`` stands for every word that begins with it, because Russian words have many endings; of several
that fit, the longest counts. A word may be in several groups.
"""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "change": (
        "adapt add adjust align allow annotate append apply attach bump cache capitalise center centre change clean "
        "clear code color colour convert copy correct cover create crop cut deduplicate delete disable display "
        "document draw drop duplicate edit embed enable encrypt erase escape expand export extend extract fill flip "
        "format generate give handle hardcode hash hide highlight hook implement import include increase indent "
        "inject inline insert integrate join kill let limit link localise localize log lower make merge migrate "
        "minify mock modify move normalise normalize optimise optimize override overwrite pad paginate paint "
        "parametrise parse paste patch pin port prepend print put raise redo reduce refactor reformat remove rename "
        "reorder replace resize restore restructure reverse revert rewrite rotate round sanitise sanitize save "
        "scaffold set shorten shrink simplify skip sort speed split squeeze stick store stretch strip stub stuff "
        "style swap switch throttle throw tidy toggle trim truncate turn type uncomment undo unify unwrap update "
        "upgrade use validate wire wrap write "
        "бросай* верни* вернуть включи* вкрути* внеси* возвращай* восстанови* впили* вписать впиши* вставить "
        "вставь* выбрось* выводи* выгружай выгрузи* выдели* выкинь* выключи* вынеси* вынести выпили* выровняй* "
        "выстави* вычисти* дай добавим добавить добавь* доделай* доделать докинь* допили* дописать допиши* дополни* "
        "заведи* завернуть задай* задокументируй* закинь* закодируй* закодь* закомменти* закэшируй* залогируй* "
        "замени замени* заменить замокай* запили* записать запиши* заполни* запрети* застаби* засунь* зафигачь* "
        "захэшируй* зашифруй* заэкранируй* заюзай* измени* изменить интегрируй* исключи* используй* кидай* кинь* "
        "конвертируй* копируй* лови логируй* менять наверстай* накати* накидай* наклепай* накодить накодь* налепи* "
        "написать напишем напиши* напишите настроить настрой* оберни* обернуть обнови* обновить обнули* обработай* "
        "обработать обрежь* объедини* объединить ограничь* округли* оптимизируй* отдавай* откати* откатить отключи* "
        "отмени* отменить отображай* отрефактор* отсортируй* отформатируй* оформи* очисти* перевед* передвинь* "
        "переделай* переделать перезапиши* переименова* переименуй* переключи* перекрась* перелож* перемести* "
        "перенеси* перенести переписать перепишем перепиши* переставь* печатай* писать пиши подгони* подключи* "
        "подключить подкрась* подкрути* подправ* подсвети* подставь* показывай* поменяем поменяй* поменять помести* "
        "пометь* помечай поправить поправь* портируй* поставить поставь* почисти* преобразуй* приведи* приделай* "
        "прикрепи* прикрути* прикрутить прилепи* причеши* пробрось* проверяй* проиндексируй* прокинь* "
        "прокомментируй* пропиши* проставь* протипизируй* разбей* раздели* разреши* раскидай* раскрась* распарси* "
        "расширь* реализовать реализуй* рефактори* сверстай* свяжи* сгенери* сгруппируй* сдвинь* сделаем сделай* "
        "сделать склей* сконвертируй* скопируй* скрой* скрывай* слей* смени* сменить снеси* соедини* сожми* создай* "
        "создать сократи* состряпай* сотри* сохрани* сохранить спарси* спрячь* типизируй* убери* убрать увеличить "
        "увеличь* удали* удалить укороти* уменьши* упрости* ускорить ускорь* установи* шли экспортируй* юзай*"
    ),
    "run": (
        "amend bisect build checkout cherry-pick clone commit compile deploy downgrade download execute fetch flash "
        "fork format install launch lint publish pull push rebase rebuild release rerun restart run ship squash "
        "start stash stop tag uninstall upload "
        "вмержи* выкати* выкатить выполни* выполнить деплой дерни* заархивируй* задеплоить задеплой* закоммит* "
        "закоммить* залей* залить запускай* запусти* запустить запушить запушь* застэшь* затегай* зачерипик* "
        "коммитни* компилируй* опубликуй* останови* отправь* отребейз* перезапусти* перезапустить пересобери* "
        "подними поднять подтяни* прогнать прогони* прошей* пушни* распакуй* скачай* сквошни* склонируй* скомпил* "
        "смержи* смержить собери* собрать стартани* стартуй* убей* установить"
    ),
    "mend": (
        "cure fix heal mend repair resolve solve "
        "залечи* зафикс* исправ* наладь* пофикси* почин* ремонтир* устрани* фикс* чини*"
    ),
    "look": (
        "cat clarify count define describe display elaborate enumerate explain find grep guess list lookup name "
        "open outline paraphrase print quote read recap recite recommend remind search show summarise summarize "
        "teach tell tldr translate view "
        "выведи* выпиши* глян* глянь* грепни* зачитай* назови* найди* найти напомни* объясни* объяснить описать "
        "опиши* ответь* открой* переведи* перескажи* перечисли* подскаж* подытожь* поищи* покажи* показать "
        "посоветуй* посчитай* поясни* просвети* просмотри* процитируй* прочита* прочти* разъясни* раскрой расскажи* "
        "рассказать растолкуй* резюмируй* скажи* сформулируй*"
    ),
    "inspect": (
        "check examine inspect look see view watch "
        "взгляни* глянь* гляньте изучи* погляди* посмотреть посмотри* проверить проверь*"
    ),
    "probe": (
        "analyse analyze bisect debug diagnose dig discover investigate locate monitor narrow pinpoint profile "
        "reproduce trace troubleshoot "
        "анализируй* воспроизвед* вычисли* выясни* выяснить дебаж* диагност* диагностируй* докопайся* задебаж* "
        "исследуй* локализуй* определи* отлад* отлаж* отслед* отыщи* подебаж* поймай* проанализируй* "
        "продиагностируй* разбери* разберись* раздебаж* разобраться расследуй* спрофилируй* узнай*"
    ),
    "design": (
        "architect assess assume brainstorm challenge choose compare conceive conceptualise consider contrast "
        "critique debate decide decompose design discuss draft elaborate envision estimate evaluate imagine judge "
        "justify lay model organise organize outline pick plan prepare prioritise prioritize propose rank rate "
        "recommend redesign rethink review schedule sketch structure suggest suppose think weigh "
        "аргументируй* взвесь* выбери* выбираем выбрать декомпозируй* допустим запланир* зафиксируй* набросай* "
        "накидай* наметь* обоснуй* обрисуй* обсуди* обсудим обсудить определи* организова* отревьюй* оцени* оценить "
        "переосмысл* планир* побрейншторм* подбери* подготовь* подобрать подумаем подумай* покритикуй* поразмысли* "
        "порекомендуй* посоветуй* предлагаешь предложи* предложил представь придумай* прикинь* продумай* продумать "
        "проектир* разложи* разложить разработай* раскритикуй* расписать распиши* распланируй* расставь* рассуди* "
        "рекоменду* реши решим решить смоделируй* сопоставь* составить составь* спланир* спроектир* сравни* "
        "сравнить структурирова* сформируй*"
    ),
    "build": ("build code create develop develop* implement write верст* разработ* реализ*"),
    "draftnoun": (
        "abstraction* adr agenda alternative alternatives approach approaches architectural architecture* backlog "
        "blueprint boundaries boundary breakdown concept concepts cons contract contracts convention conventions "
        "criteria decision decisions design designs diagram effort entities epic estimate granularity interface "
        "interfaces layering layers layout milestone* model models option options pattern patterns phases plan "
        "planning plans proposal pros requirements responsibilit* rfc risk risks roadmap scenario* schema scope "
        "spec specification specs stack stages stories strategies strategy structure topology trade-off* tradeoff* "
        "tradeoffs vision "
        "абстракц* альтернатив* аргумент* архитектур* бэклог* вариант* вех* границ* декомпозиц* диаграмм* дизайн* "
        "дорожн* истори* компромисс* контракт* концепт* концепц* критери* минус* модели модель мысли обоснован* "
        "ответственност* паттерн* план плана плане планом планы плюс* подход* порядке порядок предложение решени* "
        "риск* роадмап* слое слоев слои слой слоям смет* спецификац* сроки стек стека стеке стратеги* структур* "
        "сущност* схем* сценари* техзадан* техплан* тз требован* трудозатрат* эпик* этап*"
    ),
    "worth": (
        "advisable beneficial best better clean cleaner feasible fit fits future-proof ideal overengineered "
        "overkill pay preferable premature proper realistic reasonable right sane scalable scale scales sense "
        "sensible smart sound suit suitable suits sustainable viable wise wiser worth "
        "выгодн* грамотн* дешевле логичн* лучше масштаб* надежнее нормальн* нужен нужна нужны окупит* оправдан* "
        "перебор подойд* подход* правильнее правильно проще разумн* рациональн* смысл стоит удобнее уместн* "
        "целесообразн*"
    ),
    "should": ("ought shall should брать взять возьм* выбрать нужно следует стоит"),
    "would": ("could would wouldn't б бы"),
    "must": (
        "has have like must need needs prefer want wants wish "
        "должен должна должно должны мне надо необходимо нужен нужна нужно нужны обязан пускай пусть требуется хочу"
    ),
    "or": ("or versus vs или либо против"),
    "scaleup": (
        "billion budget devices load million millions nodes regions scale team teams tenancy tenant tenants traffic "
        "users "
        "бюджет* команд масштаб* миллиард* миллион* нагрузк* пользовател* регион* узлах узлов устройств"
    ),
    "fails": (
        "aborted aborts blows bounced break breaks broke broken closes corrupt* crash crashed crashes crashing dead "
        "deadlocks denied die died dies disappear* disconnects drifts dropped drops duplicates dying eats exited "
        "exits explode explodes fail failed failing fails flaky flicker* flickers forgets freeze freezes froze "
        "frozen garbled gone hang hanging hangs hung ignored ignores ignoring jumps killed kills lag laggy lags "
        "leak leaking leaks loops loses lost misbehaves overlaps overwrites panics raises rebooting reboots red "
        "refused refuses rejected rejects resets restarts segfaults shuts skipped skips spinning spins stall "
        "stalled stalls stop stopped stops stuck stutters swallows threw thrown throws times timing twitch* vanish* "
        "барахл* бросает валит* висит виснет виснут висят встает встал встала встало выкидыва* вылаз* вылет* глюк* "
        "глюч* дерга* дохл* дохнет дубл* жрет жрут завершает* завис* залип* застр* затира* зациклил* игнор* исчез* "
        "кидает красн* крашит* крашн* лага* лег легл* лежит ломает* мига* молчит моргает моргающ* обрыва* отвал* "
        "отвергает отказыва* пада* перезагружа* перезапускается перестал* перетира* повалил* подвиса* подтуп* "
        "поехал* поломал* поломк* поплыл* посыпал* потерял* пропад* пропал* прыга* пятисот* развалил* растет "
        "расход* рвет рвется ребут* рестарт* ругает* рухнул* сбилось сбился сбо* сбой* сбрас* сбрасывается сдох* "
        "скач* слома* сломал* сожрал* съеда* съехал* сыплет* теряет* терял* теряют* течет тормоз* тормозит тупит "
        "убивает* улета* умер* умира* упад* упал* утека* утечк*"
    ),
    "fault": (
        "bottleneck bug bugs crash culprit deadlock defect downtime error errors exception exceptions failure "
        "failures fault freeze glitch incident issue leak leaks malfunction mess mistake oom outage problem race "
        "regression segfault slowdown spike stacktrace timeout timeouts trace traceback "
        "авари* баг* беда глюк* гонк* дедлок* инцидент* исключени* косяк* краш* крэш* неполадк* ошибк* падени* "
        "поломк* проблем* просадк* разрыв* регресс* сбои сбой сегфолт* стек-трейс* стектрейс* таймаут* трассировк* "
        "трейс* узкое утечк* фигня хрень"
    ),
    "symptom": (
        "black blank broken different down duplicate duplicated empty fishy forever garbage gibberish grey half "
        "hours inconsistent incorrect instead invalid laggy missing nan negative never nil nobody none nothing null "
        "odd oddly off random randomly slow sometimes stale strange suddenly swapped twice undefined unexpected "
        "unexpectedly unhealthy unreachable unreadable unresponsive upside weird white wrong zero "
        "белый бесконечн* битая битые битый вдруг вечн* вместо внезапно дважды долго дубликат* иногда кракозябр* "
        "криво кривой крякозябр* лишн* медленн* мусор неверн* недоступ* непонятн* неправильн* никому никто ничего "
        "ноль нулев* нули отрицательн* пуст* случайно старая старые старый странн* черный чуж*"
    ),
    "again": (
        "after afterwards again anymore before lately longer meanwhile now overnight recently since still suddenly "
        "today used yesterday "
        "вдруг внезапно все-таки вчера недавно опять периодически после постоянно раньше сегодня снова теперь утра"
    ),
    "cause": (
        "behind blame cause caused causes causing culprit origin originate reason reasons responsible root source "
        "trigger triggers "
        "виноват* виной вызвал* вызыва* источник* корень откуда отчего причин*"
    ),
    "why": ("why зачем отчего почему чего"),
    "how": ("how как каким"),
    "what": ("what what's whats че чем что шо"),
    "where": ("where where's где куда откуда"),
    "who": ("who who's whose кого кому кто чей"),
    "when": ("when когда"),
    "which": ("which какая какие каким какими каких какого какое какой каком какую"),
    "many": ("far long many much often насколько сколько"),
    "is": ("am are did do does has have is isn't was were will есть ли"),
    "can": ("can could may могу могут может можете можешь можно умеет умеешь"),
    "i": ("i i'd i'll i'm i've me my меня мне мое мои мой мою моя я"),
    "we": ("our ours us we we're we've мы нам нас наш наша наше наши"),
    "you": ("you your вас вы твое твои твой твоя тебе тебя ты"),
    "not": ("don't dont never no nope not without без не нельзя нет ни никаких"),
    "failnot": (
        "aren't can't cannot cant couldn't didn't didnt doesn't doesnt don't hasn't haven't isn't isnt wasn't "
        "weren't won't wont"
    ),
    "just": ("curious just merely only simply wonder wondering интересно лишь любопытно просто только"),
    "know": (
        "know learn mean meaning means meant understand understanding "
        "знаешь знать значит означает помню понимать понимаю понять разобраться следует узнать"
    ),
    "please": ("kindly please pls plz будь пж пжлст плз плиз пожалуйста прошу"),
    "then": ("and first later next then заодно затем и потом сначала сперва"),
    "lets": ("let's lets давай давайте погнали поехали"),
    "thanks": ("hello hey hi morning thank thanks thx благодарю доброе добрый здравствуй* прив привет спасибо спс хай"),
    "kind": ("difference example examples meaning point purpose определение отличает* отличи* пример* разниц* смысл*"),
    "codething": (
        "argument branch button class column columns comment commit component config constant cron decorator "
        "dependency dockerfile docstring docstrings endpoint endpoints field file files flag folder font footer "
        "form function functions handler header hook icon import imports index job label logo makefile method "
        "methods migration modal module option package page parameter parser popup query readme regex row rows "
        "script table template test tests title variable widget "
        "аргумент* ветк* виджет* декоратор* докерфайл* докстринг* зависимост* заголов* запрос* икон* импорт* "
        "индекс* класс* кнопк* колонк* комментари* коммит* компонент* констант* конфиг* крон* логотип* метод* "
        "миграци* модалк* модул* обработчик* опци* пакет* папк* параметр* парсер* переменн* подвал* пол* попап* "
        "регулярк* ридми ручк* скрипт* столб* страниц* строк* таблиц* тест* файл* флаг* форм* функци* футер* хук* "
        "шаблон* шапк* шрифт* эндпоинт*"
    ),
    "tech": (
        "angular ansible aws azure broker cache canvas celery clickhouse cron django docker dramatiq duckdb elastic "
        "fastapi flask flutter go graphql grpc hetzner http java jwt k8s kafka kotlin kubernetes lambda loki "
        "microservices mongo mongodb monolith monorepo mqtt mysql nginx node oauth orm polling postgres postgresql "
        "pulumi python queue queues rabbitmq react redis redux rest rq rust s3 serverless sqlite svelte svg swift "
        "terraform typescript uuid vue websocket websockets "
        "брокер* вебсокет* графкьюэл* джанго докер* кафк* кеш* крон* кубер* кэш* лямбд* микросервис* монго* "
        "монолит* монореп* очеред* питон* постгрес* раст расте реакт* редис* сокет* терраформ* эластик*"
    ),
    "comparative": (
        "bigger blue bottom everywhere faster friendlier green higher instead larger left longer lower nicer red "
        "right shorter smaller top wider "
        "быстрее везде влево вместо вправо выше зелен* короче ниже побольше покрасивее покрупнее поменьше попроще "
        "синей синим шире"
    ),
}
"""Group → its words."""

PHRASES: Mapping[str, str] = {
    "define": (
        "define|describe how|describe the|difference between|explain how|explain the|explain this|explain what|"
        "give me an example|how are|how does|how is|how long|how many|how much|how often|how old|tell me about|"
        "tell me how|what are|what do|what does|what is a|what is an|what is our|what is the|what was|what's a|"
        "what's an|what's the|whats the|в чем разница|как называется|как называют|как происходит|как работает|"
        "как сейчас|как устроен*|объясни как|объясни наш|объясни что|опиши как|разница между|разницу между|"
        "расскажи как|расскажи про|сколько|чем отлича*|что возвращает|что делает|что за|что значит|что меняет|"
        "что означает|что пишет|что такое"
    ),
    "howto": (
        "how can i|how do i|how do we|how do you|how does one|how to|как в|как добавить|как запустить|как мне|"
        "как написать|как отменить|как посмотреть|как поставить|как сделать|как создать|как удалить"
    ),
    "howbuild": (
        "how best|how could the|how could we|how do you recommend|how should|how to best|how would we|"
        "how would you|what about|what do you suggest|what do you think|what if|what should be|what should the|"
        "what should we|what would be|what would you|with what|как бы вы|как бы ты|как должн*|как лучше|как нам|"
        "как организ*|как по-хорошему|как правильно|как спроектир*|каким должн*|какой выбрать|какой должн*|"
        "какую взять|с чего|что бы ты|что взять|что выбрать|что делать сначала|что думаешь|что если|что лучше|"
        "что скажешь"
    ),
    "needq": (
        "are we better|better off|do we need|do we want|do you think|does it make|is it smart|is it time|"
        "is it wise|is it worth|is there a point|make sense|makes sense|should i|should it|should we|worth it|"
        "would it be|would it pay|would you go|would you keep|would you put|would you split|would you use|"
        "выдержит ли|делать ли|есть ли смысл|имеет ли|имеет смысл|не лучше|не пора|нужен ли|нужна ли|нужно ли|"
        "нужны ли|обойдемся ли|подойдет ли|подходит ли|пора ли|разумно ли|стоит ли|хватит ли|хранить ли"
    ),
    "existq": (
        "are the|are there|can a|can i|can the|can this|can two|can users|can you read|could a|did the|did we|"
        "did you|do i|do the|do we have|do you|does it|does our|does the|does this|has anybody|has the|have we|"
        "is anything|is it|is the|is there|is this|so it|so nothing|so the|will i|will it|will the|would this|"
        "верно ли|есть где-нибудь|есть ли|могут ли|может ли|можно ли|правда ли|правда что|то есть|у нас есть|"
        "умеет ли|хранятся ли"
    ),
    "whereq": (
        "where are|where can|where did|where do|where does|where in|where is|which file|which line|which module|"
        "which tests|who calls|who can|who has|who is|who owns|who uses|who wrote|в каком файле|где взять|"
        "где лежит|где описан*|где хранится|где хранятся|какой файл|кто вызывает|кто отвечает|кто писал|куда пиш*|"
        "куда склад*|откуда бер*|откуда приход*"
    ),
    "whyq": (
        "how come|what causes|what is causing|what makes|why are|why can't|why did|why do|why does|why doesn't|"
        "why don't|why is|why isn't|why was|why won't|зачем нам|зачем нужен|из-за чего|как вышло|как так|"
        "как так вышло|почему в|почему на|почему не|почему у|с чего бы"
    ),
    "wantq": (
        "can we have|can you|could we have|could you|have it|have the|i need|i want|i would like|i'd like|let it|"
        "let the|let users|may i ask|we need|we want|would you mind|мне нужен|мне нужна|мне нужно|мог бы|можешь|"
        "можно сделать|можно чтоб*|надо|не мог бы|не могли бы|нужен скрипт|нужна кнопка|нужно|пусть|хочу"
    ),
    "giveq": (
        "find me|give me|list all|list the|read me|remind me|show|show me|tell me|дай|напомни|перечисли|подскажи|"
        "покажи|скажи"
    ),
    "fixq": (
        "dig into|figure out|find out|find the bug|find the cause|find the leak|find the reason|get to the bottom|"
        "look into|that's wrong|track down|what happened|what is wrong|what the hell|what went wrong|"
        "what's going on|what's up|what's wrong|whats wrong|work out|в чем дело|в чем ошибка|найди баг|найди где|"
        "найди ошибк*|найди почему|найди причин*|найди утечк*|что не так|что происходит|что сломал*|что случилось"
    ),
    "broken": (
        "again and again|all of a sudden|any more|by itself|does not|doesn't work|instead of|it worked|no longer|"
        "not working|off by|out of nowhere|stopped working|used to|все еще|до сих пор|не вид*|не груз*|не запуск*|"
        "не могу|не наход*|не открыва*|не пойму|не приход*|не работает|ни с того|перестал|перестала|перестали|"
        "перестало|сам по себе|сама по себе|так и не"
    ),
    "nocode": (
        "before coding|before we code|before you write|do not change|don't change|don't code|don't implement|"
        "hands off|leave the code|no changes|no code|no edits|no fix|no implementation|no sql yet|not a line|"
        "read only|without code|without writing|без кода|без правок|без реализации|код не|код пока|код пока не|"
        "не пиши код|ничего не меняй|ничего не правь|ничего не трогай|писать ничего|пока не пиши|файлы не"
    ),
    "goon": (
        "according to|and also|and now|approved|as discussed|as planned|carry on|do it|go ahead|go on|just do|"
        "option b|proceed with|same for|same in|second option|start coding|start implementing|start with|"
        "the first variant|we agreed|we decided|а теперь|давай второй|давай первый|делай|как договорились|"
        "по плану|по спеке|по тз|приступай|приступайте|решили|согласен|то же|тоже самое|утвердили"
    ),
    "curious": (
        "a question|i don't understand|i want to know|i wonder|i'd like to know|i'm learning|in general|"
        "in plain words|in simple words|just asking|just curious|like to know|not asking|only ask|want to know|"
        "want to understand|в принципе|вообще|мне интересно|на пальцах|не догоняю|не понимаю|просто интересно|"
        "просто спрашиваю|простыми словами|хочу знать|хочу понять|это вопрос"
    ),
    "cmp": (
        "and justify|and why|better than|better to|is better|more sense|one or two|one too many|overkill|"
        "pros and cons|speak against|speaks against|too much|trade offs|trade-offs|which is cleaner|with reasons|"
        "за и против|и обоснуй|лишний ли|лучше чем|плюсы и минусы"
    ),
}
"""Group → its phrases: words side by side, with ``|`` between the phrases."""
