"""Phrases in which somebody speaks of ending or harming themselves, in lower case, with ``ё`` written as ``е``.

They are phrases and not words, because the words alone ("kill", "die", «умереть») are everyday ones among programmers.
Speaking of somebody near ("my friend wants to kill herself") counts; a book, a statistic or a process does not.
"""

import re
from functools import cache

from iskra_metrics.stop_words import listed

# A place, company or thing that one may not want to live with, but not life as such: "in this world", "with this pain".
_NOT_SOMEWHERE_RU = (
    r"\b(?! (?:в|во|с|со|на|у|под|рядом|здесь|тут|там|вместе|отдельно|без|за|по)\b"
    r"(?! (?:эт\w+|так\w+) (?:\w+ )?(?:мир\w*|свет\w*|бол\w+|тел\w+|ад\w*|жизн\w+|мук\w+)| (?:этим|болью|мукой|"
    r"так)\b))"
)
_NOT_SOMEWHERE_EN = (
    r"\b(?![-\w])(?! (?:in|with|on|at|near|by|under|here|there|together|alone|without|next)\b"
    r"(?! (?:this|such|so much|all this) (?:\w+ )?(?:world|pain|life|body|hell|misery)| (?:this|pain|it)\b(?! \w)|"
    r" like this))"
)
_NEAR_RU = (
    r"(?:я|он|она|брат|сестра|друг|подруга|мама|мать|папа|отец|сын|дочь|муж|жена|парень|девушка|ребенок|коллега|"
    r"знакомый|знакомая|одноклассник|одноклассница|сосед|соседка)"
)
_NEAR_EN = (
    r"(?:he|she|(?:my|our|a) (?:\w+ )?(?:friend|brother|sister|mother|mom|mum|father|dad|son|daughter|wife|husband|"
    r"partner|"
    r"boyfriend|girlfriend|roommate|student|child|kid|colleague|cousin|neighbou?r))"
)

_WISH_RU = (
    r"(?:хочу|хочется|хотела? бы|хотел(?:ось)? бы|мечтаю|готова?|решила?|собираюсь|лучше(?: бы)? (?:мне|уже)|планирую|"
    r"пытал(?:ся|ась)|пробовала?|думаю(?: о том)?,?(?: как| чтобы)?)(?: (?:просто|уже|скорее|только|мне|я|и|лучше))*"
)
_ASK_RU = r"(?:могу|как|чем|способ\w*|легче|проще)(?: (?:мне|лучше|проще|быстро|просто))*"
_DEATH_RU = (
    r"(?:умереть|сдохнуть|исчезнуть навсегда|уснуть и не проснуться|больше не проснуться|не просыпаться)\b"
    r"(?! за\b| (?:от|со) (?:смех|стыд|скук|голод|зависти|восторг|умиления))"
)
_HARM_RU = (
    r"(?:убить себя|себя убить|покончить с (?:собой|жизнью|этой жизнью)|повеситься|вскрыть (?:себе )?вены|"
    r"порезать себя|"
    r"резать себя|наложить на себя руки|свести счеты с жизнью|выпилиться|роскомнадзорнуться|совершить (?:суицид|"
    r"самоубийство)|(?:спрыгнуть|прыгнуть|сброситься) с (?:крыши|моста|балкона)|(?:сделать|"
    r"причинить) себе (?:больно|боль|"
    r"вред))\b"
)

_WISH_EN = (
    r"(?:want|wanted|wanna|wish|going|gonna|ready|planning|plan|decided|need|trying|tried|tempted|thinking|thought|"
    r"think|ways?|"
    r"how|i'd like|rather)(?: (?:just|really|to|of|about|i|so|badly))*"
)
# Not only people die: branches need to, and an API is going to. So somebody has to say "I", or begin with the wish.
_WISH_TO_DIE_EN = (
    r"(?:\bi(?:'m|'ve|'d|'ll)?(?: (?:\w+|don't|can't|it,)){0,4}?|\bim|\bive|^|[.!?…;,]|\band|\bbut) "
    r"?(?:want|wanted|wanna|wish|ready|trying|tried|thinking|thought|rather)(?: (?:just|really|to|of|about|i|could|"
    r"so|badly))*"
)
_DEATH_EN = (
    r"(?:die|be dead|disappear forever|never wake up|not wake up)\b(?!-| (?:laughing|of|from laugh|hard\b|trying))"
)
_HARM_EN = (
    r"(?:kill(?:ing)? myself|end(?:ing)? my (?:own )?life|hang(?:ing)? myself|hurt(?:ing)? myself|harm(?:ing)? myself|"
    r"cut(?:ting)? myself|tak(?:e|ing) my own life|end(?:ing)? it all\b(?! with)|commit(?:ting)? suicide|"
    r"overdos(?:e|ing)|slit(?:ting)? my wrists|jump(?:ing)? off (?:a|the) (?:bridge|roof))\b(?! (?:some|a) )"
)

_PATTERNS = (
    rf"{_WISH_RU} (?:{_DEATH_RU}|{_HARM_RU})",
    rf"{_ASK_RU} {_HARM_RU}",
    rf"{_NEAR_RU} (?:\w+ )?(?:хочет|собирается|пытался|пыталась|угрожает|решила?) {_HARM_RU}",
    r"(?:убью|убила? бы|режу|порезала? специально) себя|покончу с (?:собой|жизнью|этой жизнью)|повешусь|"
    r"наложу на себя руки",
    r"сведу счеты с жизнью|выпилюсь|вскрою (?:себе )?вены",
    rf"не (?:хочу|хочется) (?:больше |уже |мне )?(?:жить{_NOT_SOMEWHERE_RU}|просыпаться\b(?! (?:в|рано|по)\b)|"
    rf"существовать)",
    r"жить (?:мне )?(?:больше |уже )?(?:не хочу|не хочется|незачем)|незачем (?:больше |мне )?жить",
    rf"(?:нет|не вижу|потеряла?) (?:больше )?(?:смысла?|сил|причин\w*) (?:дальше |больше )?жить{_NOT_SOMEWHERE_RU}",
    rf"устала? жить{_NOT_SOMEWHERE_RU}|не могу больше (?:так )?жить{_NOT_SOMEWHERE_RU}",
    r"суицидальн\w+ мысл\w+|(?:думаю|думала?|мысли) о (?:самоубийстве|суициде)",
    r"(?:у меня|мои|навязчивые|постоянные|преследуют) мысли о смерти|постоянно думаю о смерти",
    r"(?:всем|им|вам) (?:будет|было бы|станет) лучше без меня|лучше бы (?:я|меня) (?:не родил\w+|умер\w*|не было)",
    r"чтобы меня не (?:стало|было)(?= *[.!,…]| *$)|таблет\w+,? чтобы (?:умереть|не проснуться)",
    r"попытк\w+ (?:суицида|самоубийства) у меня|у меня (?:была |\w+ )?попытк\w+ (?:суицида|самоубийства)",
    rf"{_WISH_EN} {_HARM_EN}",
    r"(?:how|ways?)(?: can i| do i| could i)?(?: to)? die (?:painless|quick|peaceful|without pain|in my sleep)",
    r"как (?:мне )?(?:можно )?(?:быстро |безболезненно )?умереть (?:безболезненно|быстро|без боли|во сне)",
    rf"{_NEAR_EN} (?:\w+ )?(?:wants|wanted|is going|tried|threatens|plans|is trying|is planning) to "
    r"(?:kill (?:him|her|them)sel(?:f|ves)|end (?:his|her|their) life|commit suicide|hurt (?:him|her)self)",
    r"kill(?:ing)? myself|(?:will|'ll) end my life|i'm ending my life|(?:want to|gonna|will|might) kms",
    r"i (?:keep|started|have been|can't stop) (?:cutting|hurting|harming) myself",
    r"i (?:cut|hurt|harm) myself (?:again|on purpose|to feel|every|at night|when i(?:'m| am| feel))",
    rf"(?:don't|do not|dont|no longer) (?:want to|wanna) (?:live{_NOT_SOMEWHERE_EN}|be alive|wake up\b(?! (?:early|"
    rf"at|so))|exist)",
    rf"(?:no|any|nothing|without) ?(?:reason|point|worth)? ?(?:to live|in living|to go on living|to keep living)"
    rf"{_NOT_SOMEWHERE_EN}",
    r"nothing (?:left )?to live for|life (?:is not|isn't|is no longer|is not really) worth living",
    r"(?:i'm|i am|im|feel|feeling|been) (?:so |very |really |feeling )?suicidal|suicidal thoughts|thoughts of suicide|"
    r"thinking (?:of|about) suicide",
    rf"tired of (?:living{_NOT_SOMEWHERE_EN}|being alive)|(?:everyone|they|you|"
    rf"world) (?:\w+ ){{0,3}}better off without me",
    r"(?:i'd|i am|i'm|i would) (?:rather be|be better off|better off) dead",
    r"wish i (?:was|were) (?:dead|never born|not alive)|wish i (?:had never been|was never|wasn't|weren't) (?:born|"
    r"alive)",
    r"(?:can't|cannot|can not) go on living|pills (?:to die|so i (?:die|don't wake))",
)

CRISIS_BEGINNINGS = listed(
    """
    умер сдох исче прос себя себе собо жизн жить пове вены вскр руки роди счет выпи роск суиц само спры прыг сбро
    суще смер меня die dead disa wake myse life end endi suic over slit jump hims hers them kms live livi aliv exis
    born bett pill
    """
)
"""The first four letters of words of which every phrase of crisis has one."""

_HARMLESS = (
    r"\b(?:не (?:хочу|собираюсь|думаю|планирую) (?:умереть|умирать)|(?:i'm|i am|am) (?:not|no longer|never) suicidal|"
    r"(?:process|thread|script|daemon|worker|server|pod|container|job|service|task)s? (?:\w+ )?(?:want|wants|going|"
    r"decided|"
    r"trying|tried|ready|how) to die|(?:процесс|поток|сервер|воркер)\w* (?:\w+ )?(?:решил|готов\w?|хочет) умереть|"
    r"how to die (?:in|gracefully|cleanly|early)|kill(?:ing)? myself laughing)\b"
)


@cache
def crisis() -> re.Pattern[str]:
    """Return what matches a phrase of crisis; compiled when first needed, which takes milliseconds."""
    return re.compile(rf"\b(?:{'|'.join(_PATTERNS)})|{_WISH_TO_DIE_EN} {_DEATH_EN}")


@cache
def harmless() -> re.Pattern[str]:
    """Return what matches phrases that a phrase of crisis may stand in without one."""
    return re.compile(_HARMLESS)
