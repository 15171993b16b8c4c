"""Quantities: how replies write a number and its unit, and what leads to the one meant.

Patterns for plain text, in Japanese, English, Chinese and Korean. Every repetition is
bounded or possessive, so that reading stays linear in whatever a model repeats.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.plain import DECLARED, DECLARED_END

# Boxes and blanks between thousands become private characters, which stay apart from
# digits, and so does a number that was looked at and is no statement.
BOXES = "①②③④⑤⑥⑦⑧⑨"
FIRST_BOX = 0xF101
OTHER_BOXES = (0x2776, 0x2780, 0x278A, 0x24F5)  # ❶ ➀ ➊ ⓵ and those after them
BOX = r"[\uf101-\uf109]"
BETWEEN_THOUSANDS = "\uf1ff"
STRUCK = "\uf1fe"

# A place or a count of digits is no quantity: 第2位, 小数1桁, "1 decimal place".
NUMBER = (
    r"(?<![a-z0-9_.\-−第])(?<![0-9],)"
    r"([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+)"
    r"(?!\.?[0-9]|,[0-9]|\s?(?:桁|位|つ|decimal|significant|자리)|-[a-z])"
)
ABOUT = r"(?:約|およそ|おおよそ|大約|大约|约|약|about|approximately|approx\.?|roughly)"
COPULA = (
    r"(?:です|でした|である|だ|입니다|이다|が(?:正解|正答|答え)(?:です|である)?"
    r"|と(?:考えられ|計算され|求められ)(?:る|ます)|(?:と|に)(?:なります|なる|なった))"
)
UNIT = (
    r"\s?(?:[a-zμ%°/·²³ァ-ヺー個克毫升天그램일명]|\s/\s|日|時間|分|秒|回|人|歳|年|月"
    rf"|週|点|倍|単位){{0,20}}+(?:\s?{COPULA})?"
)
# A number with its unit, where its value does not matter.
SOME = (
    r"(?<![0-9第])[0-9][0-9.,]{0,12} ?(?:[a-zμ%°/][a-zμ%°/]{0,9})?"
    r"(?:日|時間?|分|秒|回|人|歳|個|例|単位){0,3}"
)
NEXT = rf"(?={ABOUT}? ?[0-9][0-9.,]{{0,12}}+(?!\s?(?:桁|位|decimal|significant)))"
QUOTED = r"[「『\"'(]?"

CUE = (
    r"(?:解答|回答|答え|答案|(?<![問応返即自])答|正解|正答|結論|结论"
    r"|(?<![一-鿿])解(?=\s?[:は])"
    r"|정답|결론|(?<![가-힣])답변?|(?<![a-z])(?:answers?|ans\.?|solution|conclusion"
    rf"|final(?=\s?:))(?![a-z])|{DECLARED})"
)
LEAD = rf"(?:[\s:=,→⇒≒≈~〜\"'「『(\[【<|#$>{DECLARED}-]|{ABOUT})"
LINKS = pattern(rf"[:=→⇒】」』)はが\n≒≈是为為은는이{DECLARED}]|->|として|\bis\b|\bbe\b")
CUED = pattern(
    rf"(?P<cue>{CUE})(?P<gap>(?:\((?!\s?[0-9.])[^()\n]{{1,30}}\)|{LEAD}|[はが】」』)\]]"
    r"|->|として|値は?|是|为|為|은|는|이|(?<![a-z])(?:is|are|was|therefore|of"
    r"|(?:would|will|should|must) be|to (?:this|the) (?:question|problem))(?![a-z]))"
    r"{0,24}+)"
)
LED_NUMBER = pattern(rf"{CUED.pattern}{SOME}")
AFTER_LEAD = pattern(rf"{LEAD}{{0,24}}+(?=[0-9.])")

JSON_KEY = pattern(
    r"[\"'](?![^\"'\n]{0,40}(?:reason|expla|incorrect|wrong|other|altern|question|理由"
    r"|second|rejected|誤|不正|解説|解析|previous|initial|計算))"
    r"[^\"'\n:]{0,24}(?:answer|\bans|solution|predict|response|解答|回答|答え|答|正解"
    r"|正答|答案|정답|답)[^\"'\n:]{0,16}[\"']\s?:\s?(?=[\"'\[0-9.])"
)
JSON_VALUE = pattern(
    r"[\"'](?:output|result|final|value|digits|number|数値|値"
    r"|結果)[\"']\s?:\s?(?=[\"'\[0-9.])"
)
JSON_ARRAY = pattern(r"\[\s?[\"']?[0-9][\"']?(?:\s?,\s?[\"']?[0-9][\"']?){1,8}\s?\]")

CONCLUDING = pattern(
    r"よって|なので|したがって|従って|ゆえに|以上より|四捨五入|約|[≒≈]|\\approx|所以"
    r"|因此"
    r"|故[,、为為]|따라서"
    r"|그러므로|(?<![a-z])(?:therefore|thus|hence|so|total|round(?:ed|ing|s)?"
    r"|approximately)(?![a-z])"
)
EQUALS = pattern(
    r"[=≒≈→⇒]|->|\\(?:approx|simeq|fallingdotseq|to|(?:long)?rightarrow)(?![a-z])", re.I
)
OPERATED = pattern(
    r"[×✕÷]|\\(?:times|cdot|div)|[0-9a-z)%日] ?[*+−] ?[0-9(.]"
    r"|[0-9)] ?/ ?[0-9(.]|[a-z] / [0-9(.]|[0-9a-z)日] [x-] [0-9(.]|[0-9]-[0-9]"
    r"|\\d?frac|(?<![a-z])(?:times|divided by|plus|minus)(?![a-z])"
)
SENTENCE_END = pattern(rf"[。\n{DECLARED_END}]|(?<=[0-9a-z)日])\.\s(?=[^0-9])")
ASIDE = pattern(r"\([^()\n]{0,120}\)")

# 「300ではなく325」 and 「2.05を四捨五入して2.1」 state the second number alone.
_PLACE = r"(?:小数(?:第|点第?|点以下)?[0-9一二三]?[位桁]?(?:以下|まで)?(?:を|で|に)?)?"
_ROUNDED = r"(?<![a-z])round(?:ed|ing|s)?(?![a-z])"
# A word without which nothing is, looked for first: the pattern is dear.
TAKES_BACK = pattern(
    r"で|じゃ|四捨五入|なので|から|よって|→|->|不是|아니|반올림|四舍五入|not|instead|rather"
    r"|round|(?<![a-z])so(?![a-z])"
)
TAKEN_BACK = pattern(
    rf"{QUOTED}{SOME}[」』\"')]? ?(?:では|でも?|じゃ)(?:なくて?|はなく|ない|ありません)"
    rf"[、。,.\s]{{0,3}}{QUOTED}{NEXT}"
    rf"|{SOME}(?:です|である|となる|で|なので)?[、。, (\n]{{0,3}}(?:を"
    rf"|の)? ?{_PLACE}四捨五入"
    r"(?:して|すると|すれば|し|で|により|後は?|した(?:値|もの)は)?[、:,\s=→≒]{0,3}"
    rf"{NEXT}"
    rf"|(?<![a-z])not {SOME},? but (?:rather )?{NEXT}"
    rf"|(?<![a-z])(?:instead of|rather than) {SOME},? ?{NEXT}"
    rf"|{_ROUNDED} {SOME} (?:up |down |off )?to {NEXT}"
    rf"|{SOME}[, (]{{0,3}}(?:which |is )?{_ROUNDED}(?: up| down| off)? ?(?:to )?"
    rf"(?:(?:1|one|the nearest)[^0-9.\n(]{{0,30}})?(?:[:=→,]|to|is|gives)? ?{NEXT}"
    rf"|{SOME}(?:なので|だから|であるため|、よって|で、|,? so|,? ?四舍五入[为為]?"
    rf"|을 반올림하여)[、, ]{{0,2}}{NEXT}"
    rf"|(?<![0-9)*×÷/+.-])(?<![0-9)*×÷/+.-] ){SOME} ?(?:→|->) ?{NEXT}"
    rf"|不是 ?{SOME}[、,]? ?而是 ?{NEXT}|{SOME} ?[가이] 아니라 ?{NEXT}"
)
DENIED_NUMBER = pattern(
    rf"{SOME} ?(?:では|じゃ)(?:ない|ありません|なく)"
    rf"|{SOME} ?[はが](?:誤り|誤答|間違い|不正解|正しくな|不適)"
    rf"|{SOME} ?\((?:誤|間違|不正解|×|wrong|incorrect)"
    rf"|{SOME} (?:is|was) (?:wrong|incorrect|not )|{SOME} ?[가이] 아[니닙]"
    rf"|(?:(?<![a-z])(?:not|isn['’]t|rather than|instead of)|而?不是) ?{SOME}"
)
_MORE = rf" ?{ABOUT}? ?[0-9][0-9.,]{{0,12}}"
OPEN_ENDED = pattern(
    rf"{SOME} ?(?:[〜~–—]|から|ないし|至|到|부터|에서|to){_MORE}"
    rf"|(?<![0-9.,]){SOME}-[0-9][0-9.,]{{0,12}}"
    rf"|{SOME},? ?(?:または|又は|もしくは|あるいは|か|or|或者?|还是|또는|혹은){_MORE}"
    rf"|(?<![a-z])between {SOME} and{_MORE}"
)
# What makes all that was said before it void, if something is stated after it.
HESITATION = pattern(
    r"(?m:^)→(?= ?[0-9])|(?<!\w)(?:いや|いえ|待って|待てよ|違う|違います|違いました"
    r"|間違え(?:た|ました)|計算し直|再計算|訂正(?=[:、。はし])|修正(?=[:、。はし])"
    r"|正しくは"
    r"|(?:no|wait|oops|sorry)(?=[,.!])|actually|correction|corrected|scratch that"
    r"|i made an? (?:mistake|error)|let me (?:redo|recalculate|recompute|correct)"
    r"|不对|不對|等等|更正|重新计算|아니[,요]|정정|다시 계산)"
)
CORRECTED = pattern(
    r"(?:[\s、。,.:!?…—「『\"'*(-]|します|すると|すと|したら|したところ|する|して|し"
    r"|で|は|と|正しくは"
    r"|(?:だ|です)(?=[。、\s])|(?:正解|答え|正答|結果|値)[はが]|this|that|the|correct"
    r"|right|it(?:['’]s| is| should be)|answer|value|result|should be|i meant?|is"
    rf"|应该是|应[该为]|是|{ABOUT}){{0,8}}+(?=[0-9.])"
)

NUMBERED = pattern(
    r"^[ \t]*\(?[0-9]{1,2}[.)][ \t]+(?=\S)"
    r"|(?:(?<![a-z])(?:step|part)|手順|ステップ) ?[0-9]{1,2}(?![0-9.])",
    re.MULTILINE,
)
NUMBERS = pattern(NUMBER)
PER_DAY = pattern(r"(?<=[a-z]) ?/ ?24 ?(?:h(?:ours?|rs?)?(?![a-z])|時間)")
# 「3・2・5」, one digit for each box; "2,1" may be a decimal comma.
SPELLED = pattern(
    r"[\[(]?\s?(?P<digits>[0-9](?:(?:\s?[・、·]\s?|, | )[0-9]){1,8})\s?[\])]?"
    r"(?=(?:です|である|だ)?[ 。.]{0,2}(?:\n|$))"
)
# "over 24 hours", 「2回に分けて」 and 「1日 325 mL」: not the quantity itself.
PERIOD = pattern(
    r"(?<![a-z])(?:over|every|within|in) [0-9]{1,3} ?(?:hours?|hrs?|h|days?|min[a-z]*"
    r"|doses)"
    r"(?![a-z])|[0-9]{1,3} ?(?:時間|分|日|回)間?(?:かけて|に分け|ごと|おき|毎|で投与)"
    rf"|(?<![0-9.,])[0-9]{{1,2}} ?(?:日|回|時間"
    rf"|週間?)(?=[^0-9\n。、,]{{0,8}}[、,]? ?{NEXT})"
    r"|(?:検算|確認)[:は][^\n]*"
)
LONE_NUMBER = pattern(
    r"(?:(?:[^0-9\n。.!?]|(?<=[a-z])[0-9]){0,40}(?:[:=は]|(?<![a-z])is)|a\.)?"
    rf"\W{{0,40}}{ABOUT}?\s?{NUMBER}"
)
OPENING_NUMBER = pattern(
    rf"\W{{0,8}}{ABOUT}?\s?{NUMBER}{UNIT}"
    r"(?:(?:で|であり|となり)、|,\s(?:given|below|above|over|which)\b"
    r"|(?<=[すだるl다])[。.]|\s?(?:\([^()\n]{0,80}\))?[。.]?[^\S\n]*(?:\n|$))"
)
LINE_OF_NUMBER = pattern(
    rf"[^\w=≒≈×*÷/+−]{{0,8}}{ABOUT}?\s?{NUMBER}{UNIT}"
    r"(?:\s?\([^()\n]{0,30}\))?\W{0,4}"
)
LAST_RESULT = pattern(
    rf"(?:[=≒≈]|(?<!基準)(?<!正常)(?<!上限)(?<!下限)(?<=[一-鿿)])[はが]"
    rf"|(?<![a-z])is)\s?{ABOUT}?\s?{NUMBER}{UNIT}(?:\s?\([^()\n]{{0,20}}\))?[。.]?$"
)
# 「必要な量は 325 mL です。」
TOLD = pattern(
    rf"(?:^|(?<=[。\n]))[^。\n0-9]{{1,40}}(?:(?<!基準)(?<!正常)(?<!上限)(?<!下限)は"
    rf"|=)\s?{ABOUT}?\s?{NUMBER}{UNIT}(?:\s?\([^()\n]{{0,20}}\))?(?=[。\n]|$)"
)
DECLINED = pattern(
    r"(?:計算|算出|求め|判断|解答|回答)[^。\n]{0,10}(?:でき(?:ません|ない)|不可能|困難)"
    r"|[分わ]かりません|不明です"
    r"|(?:cannot|unable to|not possible)[^.\n]{0,20}(?:calculat|determin|answer|comput)"
)
CALCULATED = pattern(r"\n\s*[×*÷/+=≒≈]")
