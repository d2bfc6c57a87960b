"""Patterns of phrases around a length: units, bounds, parts, and signs that a number is not the length of the requested text.

All patterns match folded text (tasks/text/folding.py: NFKC, lower case, Traditional Chinese as Simplified) near a number. Patterns
that end with `$` match the text before the number, patterns that begin with `^` the text after it. All quantifiers are bounded.

A comparison has a direction (less than: an upper bound). A negation next to it reverses the direction (not less than: a lower
bound). This is true in every language here, so negated bounds are not listed.
"""

import re

from tasks.text.folding import FOLD
from tasks.text.numbers import NUMBER


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.translate(FOLD))


def _before(pattern: str) -> re.Pattern[str]:
    return _compile(
        rf"(?:(?<![a-zà-ÿа-я])|(?![a-zà-ÿа-я]))(?:{pattern}){_FILL}$"
    )  # a Latin phrase begins at the first letter of a word: "até", not "simulate"


def _behind(pattern: str) -> re.Pattern[str]:
    return _compile(rf"^(?:{pattern})")


# Between a phrase and its number: "at least about 900 words", "a maximum of 900".
_FILL = (
    r"[\s:：()\"“'*_=|-]{0,6}(?:(?:about|around|approximately|approx\.?|roughly|some|circa|an?|the|of|is|be|total|length|count|word"
    r"|words"
    r"|为|是|在|约|大约|左右|要写|需要|要|写|ca\.|etwa|environ|unos|circa|约为)[\s:：*_]{0,3}){0,4}"
)

# ---- units

_ADJECTIVE = r"(?:(?:english|chinese|total|written|more|additional|extra|further|or so|plain|in total)[\s-]+)?"
_LATIN = (
    r"words?|wrds|mots?|w[oö]rter[ns]?|wort|palabras?|parole|palavras|слова?м?и?|слов|woorden|słów|słowa|slov|слів|kelime|ord|kata|từ"
    r"|كلمة|كلمات|शब्द"
)
_OR = r"(?:\s*\+|[\s-]plus|[\s-]odd|\s+or\s+(?:more|fewer|less|so|above)|\s+to\b)?"
_ZI = (
    r"(?:汉字|中文字|字符|英文单词|英文词|单词|单语|単語|単語|文字|字|词|ワード)"
    r"(?!母|体|段|节|典|成语|经|形|幕|汇|组|熟|号|迹|谜|词|语|句|塔|架|令|条|性|卡|帖|架|詰|诘)"
)
_GO = r"语(?=[\s。、,.]|$|の|程|前|以|ほ|く|で|を|に|未|が|は|ま|か|左)"
_JA = (
    r"(?:글자|단어|낱말|어절"
    r"|자(?=$|[^가-힣]|[은는을를의로와과]|가\s|이[내하상며고\s]|정도|내외|미만|초과|안팎|가량|분량|짜리|까지|부터|에서|쯤|씩|보다|넘|도"
    r"|만|당|마다|인|입|여|전후|소설|글|에))"
)
UNIT = _compile(
    rf"(?P<latin>{_OR}(?:-?ish)?[\s-]*{_ADJECTIVE}(?:{_LATIN})(?![a-zà-ÿа-я]))"
    rf"|(?P<letters>{_OR}[\s-]*(?P<chinese>chinese\s+|汉)?characters?(?![a-z]|\s+(?:name|arc|sheet)))"
    rf"|(?P<cjk>\s?\+?\s?(?:多|余|来|把|馀)?\+?\s?(?:个|個)?{_ZI})|(?P<go>\s?{_GO})|(?P<korean>\s?{_JA})"
)
CJK_UNIT = _compile(rf"\s?\+?\s?(?:多|余|来)?\s?个?{_ZI}")
# Only numbers near one of these names are read.
NAMES = _compile(
    r"wo?rds?|characters|mots?\b|w[oö]rt|palabra|parol[ae]|palavra|слов|слів|woord|słow|słów|slov|kelime|\bord\b|\bkata\b|từ|كلم"
    r"|शब्द|length"
    r"|[字词语単자]|ワード|단어|낱말|어절|篇幅|분량"
)
PAGE_NAMES = _compile(r"page|页|张a4")
LABEL_STEMS = ("word", "length", "字数", "文字数", "篇幅", "글자", "분량")
# A text without any of these has no length. This check alone skips most prompts of a large corpus.
STEMS = tuple(
    stem.translate(FOLD)
    for stem in (
        *("word", "wrd", "character", "length", "page", "字", "词", "词", "页", "篇", "语", "张a4", "単", "ワード", "枚"),
        *("자", "단어", "낱말", "어절", "매", "mot", "wörter", "worter", "wort", "palabra", "parole", "palavra", "слов", "слів"),
        *("woorden", "sł", "slov", "kelime", "ord", "kata", "từ", "كلم", "शब्द"),
    )
)

# ---- labels: a number after a label needs no unit

LABEL = _compile(
    r"(?:\bword[\s_-]?(?:count|limit|length|range|target|budget|requirement|minimum|maximum)s?|\b(?:number|amount) of words"
    r"|(?<![a-z]\s)\bwords?(?=\s{0,2}[:=≥≤<>])"
    r"|\blength(?=\s{0,3}(?:[:=*]|of|is|should|must|about))|\blength requirement|\btotal words|字数|篇幅|文字数|글자\s?수|분량)"
    r"(?P<conn>(?:[\s:：=*_|()\"≥≤<>⩾⩽-]|要求|限制|控制|建议|大概|大约|约|不少于|不低于|至少|为|是|在|は|が|を|は|를|은|는|이|가"
    r"|should|must|shall|can|may|be|is|was|of|to|the|a|an|about|approximately|minimum|maximum|min|max|limit|target|no|not|more|less"
    r"|fewer|than|at|least|most|under|over|up|within|exceed|limited|kept|set|range|ranges|stay|remain|fall|go|below|above|exceeding"
    r"|longer|shorter|need|needs|has|have|exactly|requirements?"
    r"|around|roughly|between|from|介于|不|别|勿|莫|请|切|最好|能|得|可|应|该|要|低于|少于|超过|多于|大于|小于|上限|下限|最多|最少"
    r"|最低|最高"
    r"|范围|限|共"
    r"|'|n't){0,14})$"
)
NO_LABEL_VALUE = _compile(
    r"^\s{0,2}(?:页|分|段|章|节|个|篇|[%℃°]|pages?|minutes?|mins?|hours?|seconds?|chapters?|paragraphs?|sections?|lines?|sentences?"
    r"|characters?|tokens?|points?"
    r"|mm|cm|km|m\b|metres?|meters?|feet|ft|inch|miles?|days?|weeks?|months?|years?|スライド|ページ|행|쪽|페이지|[.,]\d)"
)

# ---- bounds before the number

_AT_LEAST = (
    r"stop(?:ping)? (?:writing )?(?:before|until)"
    r"|(?:before|until) (?:you(?:['’]ve)?(?: have)? )?(?:written|reach(?:ed|ing)?|hit)|at (?:the )?(?:very )?lea?se?t|at (?:an? "
    r"|the )?(?:bare |absolute )?minimum"
    r"|(?<!no )(?<!\d )(?<!\d)\bmin(?:imum)?\b\.?(?: (?:word )?(?:count|length|limit|requirement|number of words))?|lower (?:limit"
    r"|bound)"
    r"|(?:starting|start) (?:at|from)"
    r"|[≥⩾]|>\s?=?|少说(?:也|都)?(?:得|要|该)?|至少|最少|最低|起码|下限|不下|不止"
    r"|少なくとも|最低(?:でも|限)?|최소(?:한)?|적어도|최저|못해도"
    r"|mindestens|wenigstens|au moins|minimum|al menos|por lo menos|como m[íi]nimo|m[íi]nimo|almeno|minimo|come minimo|pelo menos"
    r"|no m[íi]nimo|как минимум|минимум|ten minste|minstens"
)
_AT_MOST = (
    r"at (?:the )?(?:very )?most|at (?:an? |the )?(?:absolute )?maximum|\bmax(?:imum)?\b\.?"
    r"(?: (?:word )?(?:count|length|limit|number of words))?"
    r"|up to|as (?:many|much|long) as|(?<!not )\bwithin"
    r"|(?<!lower )\blimit(?:s|ed)?(?: (?:of|is|to))?|limit(?:ed|ing)?(?: \w+){0,4} to|\bcap(?:ped)?(?: (?:it|them|this))? (?:at|of"
    r"|is|to)|\bcap\b|\bceiling(?: of)?"
    r"|[≤⩽]|<\s?=?|最多|至多|顶多|最大(?:で|でも)?|最长|最高|上限(?:は|を|が)?|限制?(?:在|为|于)?|控制(?:在|到|于)|せいぜい"
    r"|多くても|長くても|최대(?:한)?|많아도"
    r"|h[öo]chstens|maximal|bis zu|au plus|au maximum|jusqu['’]?[àa]|como m[áa]ximo|a lo sumo|m[áa]ximo|hasta|al massimo|massimo"
    r"|fino a|no m[áa]ximo|at[ée]|максимум|maximaal|hoogstens"
)
AT_LEAST, AT_MOST = _before(_AT_LEAST), _before(_AT_MOST)
MORE = _before(
    r"(?:more|longer|greater|larger|higher) than|\bover|\babove|\bbeyond|\bexceed\w*|in excess of|upwards of|north of|\bsurpass\w*"
    r"|\b(?:go|going|run|running) past"
    r"|\bd[ée]pass\w*|\bsuperar\w*|\bexceder|\bultrapassar|превыша\w*|超过|多于|大于|高于|长于|超出|突破|超|逾|多过"
    r"|mehr als|länger als|[üu]ber|plus (?:de|long que)|más (?:de|que)|mas de|più (?:di|lungo di)|mais (?:de|que|do que)|более"
    r"|больше|свыше|длиннее|meer dan|langer dan"
)
LESS = _before(
    r"(?:less|fewer|shorter|lower|smaller) than|\bunder|\bbelow|\bbeneath|\bshort of"
    r"|少于|低于|小于|短于|不足|不到|不满|未满|少过"
    r"|weniger als|k[üu]rzer als|unter|moins (?:de|long que)|menos (?:de|que|do que)|meno di|менее|меньше|короче|minder dan"
    r"|korter dan|fewer"
)
# Up to four words before a comparison: "must not be", "don't write anything", 不得, 切勿.
NEGATED = _compile(
    r"(?:\b(?:no|not|never|nor|nothing|none|cannot|without|neither|avoid|refrain from|nicht|keine?|pas|jamais|sin|non|não|nunca|не"
    r"|niet|geen)\b|\b(?:do|does|did|should|must|mus|ca|can|could|would|wo|is|are|need|may|might|sha)n['’]?t\b)"
    r"(?:\s+(?!but\b|and\b|or\b|only\b|just\b)[\w'’-]+){0,4}\s*$"
    r"|(?:不|别|勿|莫|切勿|切忌|未|没|没有|避免|禁止|严禁|绝不|毋)(?:得|要|可以|可|能够|能|应该|应当|应|宜|会|该|准|许|允许|必|用"
    r"|需要|需|再|写|使|让|篇幅|字数){0,3}\s?$"
)

# ---- bounds after the number and its unit

# A bound that is followed by a number belongs to that number.
_ALONE = r"(?!(?:\s(?:of|is|length|about))?[\s:]{0,2}\d)"
_NEXT = r"(?!\s?,\s?m(?:ax|in)\.\s?\d)"  # "min. 600 words, max. 800 words"
OR_MORE = _behind(
    _NEXT + r"[\s,(-]{0,3}(?:(?:or|and) (?:more|longer|greater|above|over|up|upwards)|min(?:imum)?\b|at (?:the )?(?:very )?(?:least"
    r"|minimum)|plus\b(?! or)|and upwards?)" + _ALONE + r"|\s(?:is|are) (?:the|our|my|a) (?:absolute |bare )?(?:minimum|least)\b"
    r"|[\s,]{1,2}(?:no|not) (?:less|fewer|shorter)\b(?! than)|,?(?:不要|不能|不可)(?:再)?少(?!于)|\s?nicht unterschreiten"
    r"|\s?\+(?!\s?[/\d-])|\s?(?:及|或|或者|与)?\s?(?:以上|之上|往上|更多|打底)|\s?起(?!来|伏|点|草|初|源)"
    r"|\s?(?:を|も|は|が)?(?:下回らな|下回ら|下回ってはい|下回っては)|より(?:も)?(?:長|多)[いく]|\s?이상|\s?(?:을|를)?\s?넘게"
    r"|[\s,(-]{0,3}(?:oder mehr|oder länger|mindestens|minimum|au moins|ou plus|o más|como mínimo|mínimo|minimo|o più|ou mais"
    r"|no mínimo|и более|и больше|минимум|of meer|minimaal)" + _ALONE
)
OR_LESS = _behind(
    _NEXT + r"[\s,(-]{0,3}(?:(?:or|and) (?:less|fewer|under|shorter|below)|(?:word )?limit\b|max(?:imum)?\b|at (?:the )?(?:very )?(?:most"
    r"|maximum)|tops\b|cap\b|ceiling\b)"
    + _ALONE
    + r"|\s(?:is|are) (?:the|our|my|a) (?:absolute |hard )?(?:max(?:imum)?|limit|ceiling|cap|most)\b"
    r"|[\s,]{1,2}(?:no|not) (?:more|longer)\b(?! than)|,?(?:不要|不能|不可)(?:再)?多(?!于)|\s?nicht (?:überschreiten|übersteigen)"
    r"|\s?(?:及|或|或者)?\s?(?:以(?:内|下)|之内|之下|内(?![容部心在外])|封顶|不到|为限|为上限)"
    r"|\s?(?:より(?:も)?(?:短い|短く|少な[いく])|まで(?!に|の(?:本|記))|を?(?:上限|限度)|が(?:上限|限度))|\s?(?:(?:을|를|이"
    r"|가)?\s?안\s?넘|이내|까지|안쪽?으로"
    r"|내로)"
    r"|[\s,(-]{0,3}(?:oder weniger|maximal|h[öo]chstens|maximum|au (?:plus|maximum)|ou moins|o menos|como máximo|máximo|al massimo"
    r"|massimo|o meno|ou menos|no máximo|и менее|максимум|of minder|maximaal)" + _ALONE
)
# Comparisons after the number. A negation after them reverses the direction: 900字未満にならない, 900자 이하로 쓰지 마세요.
MORE_BEHIND = _compile(r"^\s?(?:(?:を|も)?(?:超え|上回|超過|越え|オーバー)|(?:을|를|이|가)?\s?(?:초과|넘)|보다\s?(?:길|많|더 길))")
LESS_BEHIND = _compile(
    r"^\s?(?:以下|未満|を?切[らるっ]|に満たない|に満たぬ|に足りない|を?下回|미만|이하|(?:에)?\s?미달|보다\s?(?:짧|적|더 짧))"
)
NOT_BEHIND = _compile(
    r"^(?:もの|文章?|答案|に|と|で|は|の|も|が|を|る|て|し|して|なっ|なる|なら|って|書[かい]て?|こと|場合|ては|と"
    r"|さ){0,5}(?:ら?ない|ぬ|ず|ません"
    r"|いけ|だめ|ダメ|不可|禁止|無効|失格)"
    r"|^(?:으?로|은|는|을|를|이|가|게|쓰|되|하|기|으?면|되면|쓰면|\s){0,5}(?:지\s?(?:않|마|말|못)|안\s?(?:돼|되|됩|된)|금지|불가|않)"
)
ABOUT = _compile(r"^\s{0,2}(?:左右|上下|前后|程度|前後|ほど|くらい|ぐらい|정도|내외|안팎|가량|쯤|or so\b)")
EXACTLY = _compile(
    r"(?:\b(?:no|not|neither|nothing)\s+(?:more|less|fewer)(?: than)?,?\s*(?:and|or|nor)?,?\s*(?:no|not|nor)?\s+(?:more|less"
    r"|fewer)(?: than)?|不多不少)"
)
# A bound that is stated as a fault: "anything under 900 words will be rejected", 少于900字不合格.
FAULT = _compile(
    r"^[\s,]{0,2}(?:(?:is|are|(?:will|would|can|may|must|do|does|shall)(?: not|n['’]t)?(?: be| get| count as)?|cannot be"
    r"|won['’]t(?: be)?|gets?|counts? as)(?: not|n['’]t)?\s+(?:\w+\s+)?(?:too (?:long|short|much|little|many|few|brief)|rejected"
    r"|cut\b|unacceptable|accepted|acceptable|allowed|enough|forbidden|penali[sz]ed|truncated|insufficient|ignored|disqualified"
    r"|fail(?:ed)?\b|returned|marked down|sufficient|wrong|read\b|considered|graded|counted)"
    r"|will fail\b|fails?\b"
    r"|(?:的|者)?(?:一律|将)?(?:被)?(?:不合格|无效|不行|不通过|不予|扣分|退回|太短|太长|视为|不可|不接受|零分|不及格|淘汰))"
)

# ---- ranges and tolerances

RANGE = _compile(
    r"[\s,]{0,2}(?:(?:-|–|—|―|~|〜|～|…|‐|→|至|到|から|에서|부터|\bto\b|\bor\b|\band\b|\bbis\b|\bà\b|\ba\b|\by\b|\bet\b|\bund\b"
    r"|\be\b|\bи\b|\bдо\b|\btot\b|\ben\b|和|与|or)[\s-]{0,3}){1,4}"
    r"(?:(?:up to|at most|about|maybe|even|约|最多|不超过|max(?:imum)?\.?|perhaps)\s{0,2}){0,2}"
    r"|\s{1,2}up to\s{1,2}|,?\s{0,2}(?:but|and)\s+(?:(?:no|not) (?:more|longer)|less|fewer) than\s+|[,、]?(?:且|但|而"
    r"|并且)?不(?:超过|多于|大于)"
)
JOINT = _compile(
    rf"\s?\(?min(?:imum)?\)?[\s/,–-]{{1,4}}|[\s,;.、()/|–-]{{0,4}}(?:(?:and|but|or|yet|to|with|且|但|而|und|et|y|e"
    rf"|и)\s{{0,2}}){{0,2}}(?:(?:an?|the|it|be|must|should|not|no"
    rf"|要|可|得)\s?){{0,3}}(?:{_AT_LEAST}|{_AT_MOST}|(?:more|less|fewer|longer|shorter) than|over|under|below|above|(?:不"
    rf"|别)?(?:超过|多于|大于|少于|低于|小于)){_FILL}"
)
ENDS = _compile(r"\s{0,2}(?:[.,;!?)。]|$|\n|\(max)")
RANGE_LEAD = _compile(
    r"(?:\b(?:at least|between|from|anywhere from|minimum|no less than|not less than|entre|zwischen)|介于|不少于|至少|从)\s?$"
)
SHARED = _compile(r"[、,]")  # 三、四千字
# "within 10% of 1,500 words", "within 100 words of 1,500": a tolerance before its number.
WITHIN_OF = _compile(r"\bwithin\s(?:about\s)?(?P<n>\d{1,4})\s?(?P<share>%|percent)?(?:\swords)?\s(?:of|from)\s(?:about\s|the\s)?$")
WITHIN = _compile(r"\bwithin\s(?:about\s)?$")
OF_NUMBER = _compile(r"^\s(?:of|from)\s(?:about\s)?\d")
PLUS_MINUS = _compile(
    r"[\s,(可允许]{0,4}(?:±|\+\s?/?\s?-|plus\s?(?:or|/)\s?minus|give or take|上下浮动|允许误差|误差|浮动|偏差)(?:不超过|在|约|about"
    r"|of)?\s{0,2}"
)

# ---- pieces with the same length each

EACH = _compile(
    r"(?:\b(?P<sub>chapter|section|paragraph|episode|scene|entry|sentence)\s(?:lengths?|word counts?)\b[^,.;!?\n]{0,24}"
    r"|(?<=[,。、;\s])一(?P<yz>[篇章节段封条则幕回集话])(?:约|大约|大概)?|\bnone(?: of (?:them|these"
    r"|which))?(?P<none>\s[^,.;!?\n]{0,40})|\b(?:each"
    r"|every)\b(?P<en>,?[^,.;!?\n]{0,44}(?:,\s(?:please\s)?(?:write|give|use|provide|include|add)\b[^,.;!?\n]{0,24})?)"
    r"|每(?!当|逢|年|天|日|次|千|万|百)(?P<zh>[^,。;!?\n]{0,14})"
    r"|各(?=[篇章节段部份封条则幕回集项个点组话写约自不有为大段]|\s?\d|$)(?P<ge>[^,。;!?\n]{0,12})"
    r"|(?:それぞれ|各自|分别)(?P<ja>[^。\n]{0,8})|(?:1つの|一つの|1|一)(?P<nj>段落|章|話|節|編|パート|項目)(?:は|が|を|に"
    r"|で)(?P<nk>[^。、\n]{0,8})"
    r"|(?<!\d)1(?P<nr>回|話|章|節|段落)(?:約)?|(?P<ni>.{1,3})(?:あたり|につき|ごとに|毎に)(?P<jb>[^。、\n]{0,8})"
    r"|(?<![가-힣])각(?:각|자)?(?P<ko>[^.,\n]{0,10})|(?P<dang>[가-힣]{1,4})(?:당|마다)\s?(?P<kb>[^.,\n]{0,8}))$"
)
EACH_BEHIND = _compile(
    r"^(?:\s[a-z-]+){1,2}\s(?:each|apiece)\b|^[\s,(]{0,3}(?:(?:for|in) (?:each|every)\b(?P<en>[^.;!?\n]{0,24})|(?:each|every)\b"
    r"|apiece\b|a piece\b|(?:per\s"
    r"|/\s?)(?P<per>(?!min|max)[a-z-]{3,20}(?:\s[a-z-]{3,20})?)|an?\s(?P<a>chapter|section|part|paragraph|essay|story|letter|entry"
    r"|episode"
    r"|scene|poem|post|review|article|piece|answer|slide|topic)\b)"
    r"|^\s?(?:左右|程度|ほど|정도)?(?:ずつ|씩|/(?P<zh>[篇章节段部份封条则幕回集话])|一(?P<yi>[篇章节段封条则幕回集]))"
)

# "five 300-word poems", "several 200-word reviews"
SEVERAL = _compile(
    rf"(?:\b(?:several|some|multiple|various|many|a few|different|numerous)|(?P<n>{NUMBER}))\s+(?:(?:different|short|separate"
    rf"|distinct|original)\s+)?$"
)
PLURAL_BEHIND = _compile(
    r"^\s(?:[\w-]+\s){0,2}?(?:parts|chapters|sections|paragraphs|letters|essays|stories|articles|entries|episodes|scenes|poems"
    r"|posts|reviews|reports"
    r"|e-?mails|speeches|scripts|pieces|descriptions|summaries|answers|blurbs|bios|texts|blogs|columns|fables|tales|vignettes"
    r"|monologues)\b"
)
TIMES = _compile(r"\s?(?:day|week|month|year|morning|evening|night|winter|summer|spring|autumn|time|hour|season|sunday|monday|minute)s?\b")
# Nouns for pieces of a text. Other plurals count only if the text names them again ("52 entries ... each diary entry").
PIECES = _compile(
    r"\b(?:parts?|chapters?|sections?|paragraphs?|letters?|essays?|stor(?:y|ies)|diar(?:y|ies)|articles?|entr(?:y|ies)|episodes?"
    r"|scenes?|poems?|posts?|reviews?|reports?"
    r"|emails?|e-mails?|speech(?:es)?|scripts?|pieces?|descriptions?|newsletters?|captions?|blurbs?|summar(?:y|ies)|answers?"
    r"|responses?|dialogues?|monologues?|acts?|volumes?|books?|texts?|notes?"
    r"|messages?|tweets?|blogs?|bios?|profiles?|lessons?|units?|modules?|topics?|themes?|questions?|items?|points?|versions?"
    r"|drafts?|samples?|examples?|ads?|slogans?|pages?|slides?|obituar(?:y|ies)"
    r"|recipes?|jokes?|fables?|tales?|instal(?:l)?ments?|vignettes?|abstracts?|memos?|proposals?|characters?|options?|ideas?|tips?"
    r"|bullets?|sentences?|stanzas?|verses?|lines?)\b"
    r"|个?(?:部分|章节?|节|篇|段|封|幕|则|集|回|话|条|首|份|组|项|点|个|种|位|つ|本|通|件|枚|人|編|章|節|段落|話)|개|편|장|통|단락"
    r"|문단|가지|화|회|부"
)
NO_PIECES = _compile(
    r"^[\s-]?(?:words?|wrds|字|词|文字|자|단어|minutes?|hours?|years?|%|percent|k\b|pt\b|px\b|am\b|pm\b|年|月|日|岁|元|点钟|分钟|度)"
)
TOTAL = _compile(
    r"\b(?:total|in all|altogether|overall|whole|entire|combined)\b|全文|总字数|总共|共计|一共|总计|合计|全体|全部|総|合計|전체|총|모두"
)

# ---- numbers that are not the length of the requested text

RATE = _compile(
    r"^\s{0,2}(?:per|an?|each|every|/|пер|par|pro|por)\s?(?:minute|min\b|hour|day|second|week|month|year|page|wpm|stunde|minuto"
    r"|jour)|^\s{0,2}(?:/|每)(?:分|小时|秒|天)"
    r"|^[^。,.\n]{0,4}(?:/分|毎分|分間)"
)
RATE_BEFORE = _compile(
    r"(?:(?:一|1|每|毎)分(?:钟|间|間)?(?:に|で|打|读|说|能|可|大约|约|内|話|大概){0,4}|每(?:小时|秒|天|日|周|月)[^,。\n]{0,4}|每千"
    r"|1行|一行|每行|毎日|1日に?|분당|매일|하루에?|每(?:句|行|拍)[^,。\n]{0,6})\s?$"
    r"|\b(?:type|typing|read|reading|speak|speaking|talk) (?:at )?(?:about )?$"
)
# Words to learn, list or count, not to write.
VOCABULARY = _compile(
    r"(?:vocabulary of|\b(?:per|every)|\b(?:first|last|next|previous|following|opening|common(?:est)?|frequent|which|what|knows?"
    r"|learn|memori[sz]e"
    r"|teach me"
    r"|count|these|those|top)(?: the)?"
    r"|\bhow (?:many|long)\b[^.?!\n]{0,40}|\bworth|认识|学会|学习|掌握|识|背|背诵|词汇量|常用(?:的)?(?:汉?字)?|背诵"
    r"|[前后])\s{0,2}(?:an?\s|about\s)?$"
)
LISTED = _compile(
    r"\b(?:list|name|find|make|define|give me|teach me|suggest|spell|recite|tell me|provide|generate|show me"
    r"|think of)\s+(?:\w+\s){0,3}$"
)
LISTED_BEHIND = _compile(
    r"^\s{0,2}(?:that|which|out of|starting|beginning|ending|with (?:the )?(?:letter|meaning|prefix|suffix)|rhyming|containing|related"
    r"|associated|to (?:describe|learn|memori|know)|for (?:the|a|an)?\s?\w{0,12}\b(?:beginner|children|kid)|meaning|describing|from"
    r"|in (?:french|spanish|german|italian|japanese|korean|english|russian|latin)\b)"
)
LEARNT_BEHIND = _compile(
    r"^[^。.!\n]{0,16}(?:多久|几分钟|多少分钟|多少页|几页|多长时间|够吗|够不够|何枚|どのくらい|どれくらい|몇\s?(?:장|페이지|분|쪽)"
    r"|얼마나)"
    r"|^(?:的(?:词汇|单词)|を(?:覚|学|読|暗記)|(?:을|를)\s?(?:외우|배우|읽|암기)|个?(?:生词|词汇)|[^,。、.\n]{0,3}(?:覚え|暗記|外우)"
    r"|的(?:孩子|学生|小学生|儿童|词典|字典))"
)
ASKING = _compile(r"\W*(?:what|why|how|who|when|where|does|did|is|are)\b")
QUESTION = _compile(
    r"\b(?:half|third|quarter|part|most|some|none|all|percent|%) of (?:the|these|those|your|its)\s$|(?:^|[.!?\n]\s{0,2})(?:is|are"
    r"|was|were|would|will|does|do)\s+(?:about\s)?$"
)
# "is this more than 500 words?"
ASKED = _compile(r"\b(?:is|are|was|were|does|did)\s+(?:this|it|that|these|my|the)\b[^.?!\n]{0,40}$")
# A multiple of the length of something else: "twice as long as a 500-word essay".
MULTIPLE = _compile(
    r"\b(?:twice|thrice|double|triple|half|quarter|times|\dx)\s(?:as\s(?:long|many|much|short)|the\s(?:length|size))\b[^.,;!?\n]{0,30}$"
    r"|\b(?:longer|shorter|more|less|fewer)\sthan\s(?:the|this|my|your|that|an?\s(?:typical|usual|normal|standard|average))\b[^.,;!?\n]{0,20}$"
    r"|[两二三四五六七八九十几半]倍于[^,。\n]{0,12}$|是[^,。\n]{0,12}[两二三四五六七八九十]倍"
)
WRITE_THE = _compile(
    r"\b(?:write|draft|compose|produce|continue with|give me|need)\s(?:me\s)?(?:the\s|my\s)?(?:first|next|opening)\s(?:about\s)?$"
)
WRITING = _compile(
    r"\b(?:writ|draft|compos|craft|produc|creat|generat|prepar|make|need|want|give|provide|tell|describe|explain|discuss|deliver"
    r"|essay|answer|reply|respond"
    r"|keep|shrib|schreib|écri|rédig|escrib|scriv|escrev|напиш)|写|撰|作文|생성|써|쓰|작성|書"
)
# A year: "in 2023 words like rizz".
YEAR_BEHIND = _compile(r"^\s(?:like|such as|that|became|were|entered|changed)\b")
BY = _compile(r"\b(?:increas|exten|grow|lengthen|reduc|cut|shorten|expand)\w*(?:\s\w+)?\s+by\s+(?:about\s|another\s)?$")
NEGLECTED = _compile(
    r"(?:\binstead of|\brather than|\bas opposed to|(?<!if )(?<!or )\bnot(?: just| only| merely)?|而不是|而非|ではなく|말고"
    r"|아니라)\s+(?:an?\s+|the\s+)?$|(?:而不是|而非|不是)$"
)
NEGLECTED_BEHIND = _compile(r"^\s?(?:ではなく|じゃなく|が아니라|이?\s?아니라|이?\s?아닌|말고|太长|太短)")
CORRECTED = _compile(
    r"(?:^|[\s,.;:!?。—-])(?:no|nope|actually|sorry|i mean|i meant|make (?:it|that)|scratch that|wait|correction|on second thought"
    r"|better(?: yet)?|or rather|changed my mind|nein|non|нет)\b(?!\s+(?:more|less|fewer|longer|shorter))"
    r"|不对|不,|算了|改成|改为|应该是|更正|我是说|いや|やっぱり|訂正|아니[,.\s]|아니다|정정"
)
# Titles and other parts: their length is not the length of the text, unless the prompt requests only this part.
_TITLES = (
    r"title|titles|headline|headlines|heading|headings|subtitle|slogan|slogans|tagline|subject line|meta description|caption"
    r"|captions|标题|题目|副标题|主标题|小标题|口号|标语|タイトル|見出し|题名|題名|제목|소제목|부제"
)
_PARTS = (
    r"abstract|introduction|intro|conclusion|(?<!the )summary|foreword|preface|epilogue|prologue|bio|opening|hook|teaser|lede|sentence"
    r"|sentences|lines?|quote|quotes|paragraphs|bullet points?|bullets|footnotes?|sections|chapters|answers|captions|stanzas?"
    r"|abstracts|摘要|引言|开头|结尾|结论|导语|导言|前言|引子|尾声|内容提要|概要|要旨|序論|結論|서론|결론|초록|요약|句子|每句|段落"
)
TITLES = _compile(_TITLES)
PART = _compile(
    rf"(?P<part>\b(?:{_TITLES}|(?<!your )(?:{_PARTS}))\b|标题|题目|副标题|主标题|小标题|口号|标语|タイトル|見出し|题名|제목|소제목"
    rf"|부제|摘要|引言"
    rf"|开头|结尾|结论|导语|导言|前言|引子|尾声|内容提要|序論|結論|서론|결론|초록)"
    r"(?P<conn>(?:[\s:：(\"*-]|\b(?:of|with|in|is|are|be|has|have|to|should|must|shall|can|may|not|no|never|at|least|most|about"
    r"|around|approximately|roughly|exactly|than|more|less|fewer|longer|shorter|under|over|within|up|a|an|maximum|max"
    r"|minimum|exceed|exceeding|that|kept|limited|length|the)\b|字数|长度|要求|控制|限制|限|建议|不得|不能|不要|不应|不|超过|少于"
    r"|多于|要|需|在|为|是|约|大约|最多|至少|写|得|可|能|应|は|の|を|が|は|은|는|을|의|최대|최소|文字数){0,14})(?<!to a )(?<!to an )$"
)
PART_BEHIND = _compile(
    rf"^[\s-]{{0,2}}(?:long\s)?(?:的|の|짜리\s?)?(?P<part>(?:{_TITLES}|{_PARTS})\b|标题|题目|口号|标语|タイトル|見出し|제목)"
)
IS_PART = _compile(
    r"\b(?:with|including|include|includes|plus|and|contains?|has|have|start(?:s|ing)? with|begin(?:s|ning)? with|follow(?:ed"
    r"|s)? by|its)\s+(?:an?|the|about|around|its)?\s*(?:\w+\s)?$|(?:包括|包含|附|附上|配|带|以及|和)[^,。\n]{0,3}$"
)
WRITES = (
    r"(?:\b(?:write|draft|compose|create|craft|need|want|produce|provide|give me|make|generate|prepare|writing|suggest"
    r"|come up with)\b(?:\s+(?:me|us))?"
    r"\s+(?:an?|the|my|our|one|some|\d+)?\s*(?:(?!with\b|and\s+an?\b|including\b|plus\b|that\b|which\b|has\b|having\b)[\w,-]+\s+){0,4}?"
    r"|(?:写|拟|起|想|撰写|生成|来|作)(?:一|个|段|份|篇|条|些|几|出|[\d]|句|的)*[^,。\n]{0,6}?)"
)
ORDERED = _compile(
    r"\b(?:write|writing|draft|compose|produce|create|generate|finish|complete|need|want|make|deliver|submit)\W+(?:me\s+"
    r"|us\s+)?(?:out\s+)?(?:this|my|the|our|that)\W+(?:\w+\W+){0,2}$"
)
# A text that the prompt contains.
WORKED_ON = _compile(
    r"convert|transform|adapt|using (?:the|this|my)|based on|attached|enclosed|read (?:the|this|my|through)|summar|condens|shorten"
    r"|rewrit|expand|translat|analy[sz]|review|edit|proofread|paraphras|correct"
    r"|improve|polish|critique"
    r"|feedback|grade|compress|trim|cut (?:this|my|the|it|down|from)|reduc|digest|abridg|boil"
    r"|缩写|概括|总结|扩写|改写|压缩|提炼|翻译|润色|缩短|扩展|修改|点评|批改|续写|缩减|精简|归纳|提取|删减|浓缩|摘要|整理成|要約"
    r"|まとめ|翻訳|添削|書き直|縮|요약|번역|줄여|다듬|고쳐|수정|첨삭"
)
BROUGHT = _compile(
    r"(?:\b(?:the|this|that)\s(?!it\b|they\b|essay\b|answer\b)\w+\s(?:has|had|contains)\s[^.;!?]{0,30}|\b(?:the|this|my"
    r"|our)\s(?:[\w-]+\s){1,3}\((?:about "
    r"|approx\.? |around |roughly |of |some )?|\b(?:this|that|these|those|the"
    r"|my|our|your|his|her|following|attached|original|existing|enclosed|given"
    r"|provided|source|current)\W{1,2}(?:(?!in\b|to\b|at\b|with|under\b|over\b|above\b|below\b|least\b|most\b|very\b|region\b"
    r"|range\b|total\b|limit\b)[\w-]+\s)?"
    r"|[这那该此]\s?(?:一)?[篇份个段部]?|下面(?:的|这[篇段份个])?|以下(?:の|的|这[篇段份])?|上面(?:的|这[篇段份])?|上述|(?:把|将"
    r"|对)(?:一[篇份段]|这[篇份段]|我的|下面|原文|[^,。\n]{0,3})|原文(?:有|约|共|是)?|この|その|次の|下記の|上記の|元の|添付の"
    r"|(?<![가-힣])(?:이|다음|아래|위|첨부한?|저)\s?)$"
)
# Statements about another text: "the dictionary has 170,000 words", 这本书有三十万字.
STATED = _compile(
    r"(?<!that )(?<!which )(?<!it )\b(?:has|had|contains|contained|invented|said|spoke|speaks|wrote|knows|knew|used|coined|borrowed"
    r"|counted)\s+"
    r"(?:(?:only|about|over|just|some|nearly|around|roughly|almost)\s+)?$"
    r"|[这那该本此][^,。;\n]{0,8}(?:有|共|长达|达|约有)(?:约|大约|近)?$"
)
NOW = _compile(r"^\s(?:long\s)?(?:now|already|so far|currently|at the moment|at present|right now)\b")
REMOVED = _compile(r"\b(?:trim|cut|remov\w+|delet\w+|drop|tak\w+|los\w+)\s+(?:about\s|another\s)?$")
REMOVED_BEHIND = _compile(r"^\s(?:from|off|out of)\b")
ORDINAL = _compile(r"(?:\b(?:page|question|step|level|figure|grade)\s|第)$")
OWNED = _compile(
    r"(?:\b(?:i|we)(?:['’]ve)?(?: have| had)?(?: already| just| once| recently)? (?:have|wrote|written|got|submitted|finished|read"
    r"|translated)(?: already)?\s+(?:an?\s|about\s|around\s|over\s|some\s|this\s|the\s|my\s)*"
    r"|\bhere(?:['’]s| is| are)(?: my| the| our)?\s+(?:an?\s|some\s)?|\b(?:below|attached|enclosed) (?:is|are)\s+(?:an?\s|my\s|the\s)*"
    r"|\b(?:my|our|attached|original|following|current|source|existing|manuscript|transcript|input|given"
    r"|enclosed)\b(?:\s[\w-]+){0,3}?\s+(?:(?:is|was|has|had|contains|runs(?: to)?|counts|comes to|totals|consists of|are|spans"
    r"|stretches to)(?: currently| now| about| around| roughly| over| already| some| almost| nearly)*)\s+"
    r"|(?:我|已经|我已|他|她)(?:已经)?写[了过完](?:一[篇部份封个本段])?|我有一?[篇部份]|原文(?:有|约|共|是|字数)?(?:大约|约)?"
    r"|(?:文章|原稿"
    r"|材料|论文)(?:目前|现在|已经|现有|现)(?:有|是|约)?)$"
)
MADE_FROM = _compile(
    r"\b(?:condens|turn|shrink|reduc|cut|compress|summari[sz]|boil|distil|expand|translat|convert|rewrit|edit"
    r"|abridg)\w*\s+(?:down\s)?(?:my\s|the\s|these\s|about\s|around\s|over\s)?$|"
    r"\b(?:cut|shorten|reduc\w*|condens\w*|trim|compress|shrink|expand|extend|lengthen|bring|grow|stretch|go|take|edit"
    r"|get)\b[^.!?\n]{0,60}\bfrom\s+(?:about\s|around\s)?$|(?:由|从)(?:原来的|约)?$"
)
MADE_BEHIND = _compile(
    r"^[^,。.;\n]{0,20}?(?:缩写|扩写|改写|缩减|缩短|压缩|扩展|精简|改|浓缩|概括|提炼|整理|总结|縮|要約|요약|줄여)(?:成|为|到|至|し"
    r"|して|하여|해)?"
)
NUMBERED = _compile(
    r"(?:\b(?:chapter|part|section|paragraph|day|week|question|step|level|volume|book|act|scene|episode|no\.?|number|page|unit"
    r"|lesson|task|figure|grade|topic|item|article|entry|option)\s*|第|问题|题|图|表)$"
)

PAGES = _compile(
    rf"(?P<value>{NUMBER})(?:\s?\(\d{{1,4}}\))?(?:-?\s*(?:-|–|to|or)\s*(?P<high>{NUMBER}))?[\s-]*(?:full |(?:single|double)-spaced "
    rf"|a4 )?pages?\b(?! numbers?)"
    rf"|(?P<zh>\d{{1,3}}|[一二两三四五六七八九十]{{1,3}})\s*(?:页(?!码|面|岩|眉|脚)|张a4)"
)
SHEETS = _compile(
    r"(?:(?P<size>\d{3})字(?:詰め|诘め|づめ|詰)の?)?原稿用[纸紙](?:を|で|に|\s)?(?P<n>\d{1,4})枚"
    r"|(?:(?P<size_ko>\d{3})자\s?)?원고지\s?(?:약\s?)?(?P<n_ko>\d{1,4})\s?(?:매|장)"
)
PAGE_OF_MATERIAL = _compile(
    r"\bhow (?:many|long)\b.{0,40}$"
    r"|(?:\b(?:the|this|that|my|attached|following|read|summari[sz]e|has|have|had|page|in an?)\b|第|这|读|看"
    r"|总结)\W{0,2}(?:\w+\W){0,2}$"
)
