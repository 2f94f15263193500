"""Words that carry grammar and not subject matter, in Russian and English, with ``ё`` written as ``е``."""

_RUSSIAN = """
а без более больше будем будет будете будешь буду будто будут бы был была были было быть в вам вами вас ваш ваша ваше
ваши ведь весь во вот впрочем все всегда всего всей всем всеми всему всех вы где да даже для до другая другие другое
другой его ее ей ему если есть еще же за здесь и из или им именно ими иногда их к каждая каждое каждый как какая какие
какое какой когда кого ком кому конечно которая которого которое которой котором которому которую которые который
которых кроме кто куда ли лишь между меня мне много мной могла могли могло могу могут может можем можете можно мой моя
мое мои мы на над надо нам нами нас наш наша наше наши не него нее ней некоторые нельзя нем нему нет ни нибудь никак
никогда ними них ничего но ну о об оба обе однако он она они оно от очень перед по под пока после потом потому почти
при про просто раз разве с сам сама сами само самый своего своей своем своему свои своих свой свою своя себе себя сейчас
со снова совсем так такая также такие такое такой там тебе тебя тем теми теперь то тобой тогда того тоже той только том
тому тот ту тут ты тем у уж уже хоть хотя чего чем чему через что чтоб чтобы чуть эта эти этим этими этих это этого этой
этом этому этот эту я
"""

_ENGLISH = """
a about above after again all almost also although always am among an and another any anyone anything are aren as at
away back be because been before being below between both but by can cannot could couldn d did didn do does doesn doing
don done down during each either else enough ever every everything few for from further get gets got had hadn has hasn
have haven having he her here hers herself him himself his how however i if in instead into is isn it its itself just
least less let like ll m many may maybe me might mine more most much must mustn my myself neither never no nobody none
nor not nothing now of off often on once one only onto or other others our ours ourselves out over own per perhaps quite
rather re s same shall she should shouldn since so some something sometimes soon still such t than that the their theirs
them themselves then there therefore these they thing things this those though through thus to together too toward
under until up upon us ve very via was wasn we well were weren what whatever when where whether which while who whole
whom whose why will with within without won would wouldn yet you your yours yourself yourselves
"""


def listed(text: str) -> frozenset[str]:
    """Return the words of a word list."""
    return frozenset(text.split())


STOP_WORDS = listed(_RUSSIAN + _ENGLISH)
