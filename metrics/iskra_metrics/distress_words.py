"""The word lists of distress, in lower case, with ``ё`` written as ``е``. A star stands for any ending."""

import re

from iskra_metrics.stop_words import listed


def _weights(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.strip().splitlines():
        weight, _, table = line.partition(":")
        found.update(dict.fromkeys(table.split(), float(weight)))
    return found


PAIN = _weights("""
3.0: отчаян* безнадежн* безысходн* невыносим* ненавижу агони* мучени* мучаюсь горе горюю скорб* умер умерла умерли
3.0: похорон*
3.0: hopeless* despair* unbearable agony torment* grief grieving mourn* devastat* worthless anguish* funeral
2.0: боль больно боли болью болит страда* плач* плака* рыда* одинок* одиночеств* депресс* тоск* паник* ужас*
2.0: страшно страх страха выгорел* выгоре* выгорани* измучен* измота* предал* предатель* брошен* стыдно унизи*
2.0: унижен* бессил* беспомощн* разбит* травм* развод* уволили никчемн* ничтожн* потерял* кошмар*
2.0: pain painful hurt hurts hurting suffer* crying cried sobbing lonely loneliness depress* panic* terrified
2.0: horrible helpless powerless heartbroken betray* abandoned ashamed humiliat* exhausted burned burnt burnout
2.0: miserable traum* divorce fired useless overwhelm* nightmare*
1.2: груст* печаль* печальн* обид* обидно злюсь злость бешусь бесит раздража* тревог* тревож* боюсь боимся пуга*
1.2: нервнича* волнуюсь устал* уставш* тяжело трудно плохо хреново достало надоело стресс* расстро*
1.2: разочаров* вину виню виноват виновата бессонниц*
1.2: sad sadness unhappy angry anger furious upset anxious anxiety afraid scared fear fears worried worry nervous
1.2: tired stress* frustrat* disappoint* awful terrible guilty guilt annoyed irritat* struggling insomnia sick hate
""")

INTENSIFIERS = {
    **dict.fromkeys(
        listed(
            """
    очень так такой такая такое сильно ужасно безумно невыносимо совсем слишком крайне страшно дико адски полностью
    very so really extremely incredibly utterly completely totally deeply terribly such too absolutely
    """
        ),
        1.4,
    ),
    **dict.fromkeys(
        listed(
            """
    немного чуть слегка немножко капельку несколько почти slightly somewhat little bit barely mildly almost
    """
        ),
        0.6,
    ),
}
"""What a word before a word of pain multiplies its weight by."""

NEGATIONS = listed(
    """
    не нет ни без никогда перестал перестала not no never without isn wasn don doesn didn won stopped
    hardly cannot neither nor
    """
)

SELF = listed(
    """
    я меня мне мной мой моя мое мои моего моей нас нам мы себя себе i me my mine myself we us our i'm i've i'd i'll
    we're we've
    """
)

WITHOUT_PAIN = re.compile(
    r"\b(?:kernel panic\w*|panic mode|pain points?|no pain,? no gain|burn(?:ed|t) down chart|(?:fear|hate) missing|"
    r"hard to miss|sick of winning|fired (?:off|up|event\w*)|(?:is|was|gets?|be|been) fired (?:when|on|by|after|"
    r"once|for each)|"
    r"(?:event|hook|trigger|alarm|handler|timer|callback)s? (?:is |are |was |were |has |have )?fired|"
    r"worry about it later|"
    r"no worries|don't worry|crying out loud|паник\w* ядра|точк\w+ боли|не бойся|не бойтесь|без паники|"
    r"потерял\w* пакет\w*|"
    r"(?:потерянн|потерял)\w* соединени\w*|не волнуйся|не волнуйтесь|умер\w* процесс\w*|процесс\w* умер\w*|"
    r"(?:server|process|worker|connection|battery|disk)\w* (?:has )?died|разбит\w* на|развод\w* (?:мост|плат|"
    r"пожиж)\w*|"
    r"страшно (?:рад|интерес|любоп|весел|довол|смеш|красив)\w*|ужасно (?:рад|интерес|любоп|весел|довол|смеш|"
    r"красив)\w*)"
)
"""Phrases in which a word of pain shows none."""

CRISIS = re.compile(
    r"\b(?:"
    # Russian: the speaker's own death
    r"(?:хочу|хочется|хотела? бы|мечтаю|лучше(?: бы)?(?: мне)?|готова?|решила?|собираюсь|думаю о том, чтобы) "
    r"(?:просто |уже |скорее |только |мне |я )?(?:умереть|сдохнуть|исчезнуть навсегда|уснуть и не проснуться|"
    r"не просыпаться)\b"
    r"|(?:хочу|хочется|собираюсь|решила?|могу|готова?|думаю|способ\w*|как) (?:просто |уже |мне |лучше )?"
    r"(?:убить себя|себя убить|покончить с (?:собой|жизнью)|повеситься|вскрыть (?:себе )?вены|порезать себя|"
    r"наложить на себя руки|свести счеты с жизнью|выпилиться|совершить (?:суицид|самоубийство)|спрыгнуть с (?:крыши|"
    r"моста))"
    r"|(?:убью|убила? бы|режу|порезала?|резала?) себя\b|покончу с (?:собой|жизнью|этой жизнью)|повешусь\b|"
    r"наложу на себя руки|сведу счеты с жизнью|выпилюсь\b"
    r"|не хочу (?:больше |уже )?(?:жить|просыпаться|существовать)|жить (?:больше |уже )?(?:не хочу|не хочется|незачем)"
    r"|не хочется (?:больше )?жить|(?:нет|не вижу) (?:больше )?(?:смысла|сил|причин)\w* жить|незачем (?:больше )?жить"
    r"|устала? жить|мысли о (?:самоубийстве|суициде|смерти)|суицидальн\w+ мысл\w+|думаю о (?:самоубийстве|суициде|"
    r"смерти)"
    r"|(?:всем|им) (?:будет|было бы|станет) лучше без меня|лучше бы (?:я|меня) (?:не родил\w+|умер\w*|не было)"
    r"|попыт\w+ (?:суицида|самоубийства) (?:у меня|была)|(?:я|моя|у меня) (?:\w+ )?попытк\w+ (?:суицида|самоубийства)"
    r"|(?:хочет|собирается|пыталс?я?|пыталась|пытался|угрожает) (?:убить себя|себя убить|покончить с собой|повеситься)"
    r"|причин\w+ себе (?:боль|вред)|(?:хочу|хочется) (?:сделать|причинить) себе (?:больно|боль|вред)"
    # English
    r"|(?:want|wants|wanted|wanna|wish|going|gonna|ready|plan|planning|decided|need|trying|tried|thinking) (?:to |"
    r"of |about )?"
    r"(?:just |really |to )?(?:kill(?:ing)? (?:myself|himself|herself|themselves)|end(?:ing)? (?:my|his|"
    r"her) (?:own )?life|"
    r"hang(?:ing)? myself|hurt(?:ing)? myself|harm(?:ing)? myself|cut(?:ting)? myself|"
    r"take my own life|taking my own life|end(?:ing)? it all|commit(?:ting)? suicide|die|be dead|disappear forever|"
    r"never wake up|not wake up)\b"
    r"|kill(?:ing)? myself|(?:will|'ll) end my life|i (?:keep )?(?:cut|cutting|hurting|harming) myself"
    r"|(?:don't|do not|dont|no longer) want to (?:live|be alive|wake up|exist|be here anymore)"
    r"|(?:no|not any|nothing) (?:reason|point|worth)? ?(?:to live|in living|living for|to live for|to go on living)"
    r"|(?:i'm|i am|im|feel|feeling|been|am) (?:so |very |really |feeling )?suicidal|suicidal thoughts|"
    r"thoughts of suicide"
    r"|(?:thinking|think|thought) (?:about|of) suicide|tired of (?:living|being alive)|better off (?:dead|without me)"
    r"|wish i (?:was|were|wasn't|weren't|had never been) (?:dead|born|alive|never born)|wish i was never born"
    r"|(?:can't|cannot|can not) go on living|overdose on purpose"
    r")"
)

NOT_CRISIS = re.compile(
    r"\b(?:не (?:хочу|собираюсь|думаю) умереть|want to die (?:laughing|of laughter|of embarrassment)|"
    r"(?:хочу|готов\w?) (?:умереть|сдохнуть) (?:от|со) (?:смеха|смеху|стыда)|(?:die|died|dying) of (?:boredom|"
    r"laughter)|"
    r"(?:i'm|i am|am) (?:not|no longer|never) suicidal|(?:process|thread|script|daemon|worker|server|pod|container|"
    r"job|service)s? (?:\w+ )?(?:want|wants|going|decided|trying|tried|ready) to (?:die|kill (?:himself|herself|"
    r"themselves))|"
    r"kill(?:ing)? myself (?:laughing|with laughter)|(?:почему|как|когда) процесс\w* (?:\w+ )?(?:хочет|"
    r"готов\w?) умереть)\b"
)
"""Phrases that a word of crisis may stand in without one."""
