"""Wording: how replies write a choice's letter, a list of them, and what leads to it.

A cue such as 「答え」 leads to the letters behind it, but not in its own negation, nor
behind a verdict; what it says of another case, or in others' mouths, counts less.

Patterns for plain text, in Japanese, English, Chinese and Korean. Every repetition is
bounded or possessive, so that reading stays linear in whatever a model repeats.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.plain import DECLARED

# Choices quoted in a reply become one private character each: their letters cannot be
# taken for labels then, and a label beside its own choice can be recognised.
MASK = 0xE000
MASKED = r"[\ue000-\ue0ff]"
# A letter that was looked at and is no statement.
STRUCK = "※"

GLYPH = "[a-h]"
OPEN = r"[\s\"'“‘「『(\[【<{〈《〔≪«‹„′⟨〖〝]{0,8}+"
CLOSE = r"[\"'”“’」』)\]】>}〉》〕≫»›′⟩〗〟]{0,8}+"
NAMED = (
    r"(?:(?:選択肢|記号|番号|选项|選項|선택지|보기|options?_?|choices?"
    r"|letters?)\s{0,2}:?)?\s{0,2}+"
)
# After any other word, `a` is an article and `e` a bacterium's first name.
FOLLOWING = (
    r"(?:because|since|as|is|are|was|due|which|for|with|so|based|given|but|and|or|not"
    r"|plus|along|would|should|must|seems?|appears?|remains?|looks?|fits?|also|too)"
)
SPECIES = (
    r"(?:coli|difficile|albicans|diphtheriae|botulinum|tetani|perfringens|pertussis"
    r"|trachomatis|pneumoniae|psittaci|jejuni|fragilis|anthracis|cereus|faecalis"
    r"|histolytica|granulosus|multilocularis|neoformans|burnetii|elegans)"
)
# Han characters that may stand right behind a letter: C項, A和D, C正确.
HAN_BEHIND = "以即而外均都及和与與跟项項正错錯对對因符是为為最或还還選选"
WHOLE = (
    r"(?![a-z0-9_%^\\°\-‐‑–−ァ-ヺー々Α-ω형군]|['’][a-z]|さん|ちゃん|くん"
    rf"|(?![{HAN_BEHIND}])[一-鿿]|\.[a-z]|\.\s?{SPECIES}|\+(?!\s?[a-h](?![a-z0-9]))"
    r"|[ \t](?:型|群|反応性|細胞(?!診)|ペプチド|ダイマー|형|군)"
    rf"|[ \t](?!{FOLLOWING}\b)(?:[a-z]{{2}}|[0-9]))"
)
UNGLUED = rf"(?![はも]){WHOLE}"
ALONE = r"(?<![a-z0-9ァ-ヺー一-鿿Α-ω°\-])"
GLOSS = (
    r"\s?\((?:正しい|正解|○|correct|right)\)|\s?\((?!\s?(?:誤|正|不|適|間違|in?correct"
    r"|wrong|right|true|false|not|x\)|o\)))(?:[0-9]|[^()\n○×✗✓❌✅]{2,60})\)"
)
BESIDE = rf"(?:{GLOSS}|\s?[:.)、/=→–—-]?\s?{OPEN}{MASKED}{CLOSE})?"
# Arrows, bullets and pictures, without those that cross out.
SIGNS = (
    "\u2190-\u21ff\u25a0-\u25ff\u2600-\u2714\u2719-\u274b\u274d-\u27bf\u2b00-\u2bff"
    "\U0001f300-\U0001f644\U0001f646-\U0001f6aa\U0001f6ac-\U0001faff"
)
ITEM = rf"{OPEN}{NAMED}{OPEN}{GLYPH}{UNGLUED}{CLOSE}{BESIDE}(?:[选選]?[项項]|番|번)?"
SEPARATOR = (
    r"(?:[ \t]?(?:,\s?and\b|,\s?와|,|、|・|/|;|と|及び|および|ならびに|かつ|\band\b|&"
    r"|\+"
    r"|以及|및|及|和|与|與|跟|그리고|와|과|하고|랑|,?\s?\b(?:as well as|along with)\b"
    r"|\bplus\b|[.,、]?\s?\balso\b,?"
    r"|だけで(?:は)?なく、?|、?\s?(?:そして|および|及び|それと|それから|さらに|加えて"
    r"|次に)、?)\s?|[ \t]?\|[ \t]?|[ \t](?!a\s?[.:)].{0,200}?\sb\s?[.:)])"
    r"|(?<=[」』)\]】>}〉》〕])(?=[「『(\[【<{〈《〔]))"
)
RUN = rf"{OPEN}{GLYPH}{{2,8}}{UNGLUED}{CLOSE}"
# The first step of a walk is no part of the list in front of it.
NO_STEP = rf"(?!{OPEN}a(?![a-z]).{{0,300}}\n[ \t・*-]{{0,4}}{OPEN}[b{STRUCK}](?![a-z]))"
MORE = rf"{SEPARATOR}{NO_STEP}{ITEM}(?!\s?(?:is|was)\b)"  # "C; B is a close second"
LETTERS = rf"(?P<letters>(?>{ITEM}(?:{MORE}){{0,9}}+)|{RUN})"
LABELS = rf"{GLYPH}(?![a-z0-9])(?:{CLOSE}{SEPARATOR}{OPEN}{GLYPH}(?![a-z0-9])){{0,7}}+"
BULLET = (
    rf"[ \t]?(?:[-=∴・•>#{SIGNS}]{{1,6}}+[ \t]?){{0,2}}+\|?[ \t]?"
    r"(?:[0-9]{1,3}(?:[.)]|(?=[ \t][a-h][^\w\n]{0,4}(?:\n|$)))[ \t]?)?"
)

ENGLISH_CUE = (
    r"(?<![a-z])(?:answers?|solution|ans\.?|final(?=\s?:)|conclusion"
    r"|(?:correct|right|best)\s(?:option|choice|letter|one|response)s?|(?:my|best"
    r"|final)\s(?:choice|pick|selection)"
    r"|(?:choice|selected(?:\s(?:option|choice))?|prediction)(?=\s?[:=]))(?![a-z])"
)
CHINESE_CUE = (
    r"(?:[应應]该?該?|故|我|就|只能)?(?<![不勿别別误誤干])[选選](?:择|擇|取|用)?"
    r"(?![项項题題择擇択])|[选選][项項](?=[是为為])"
    r"|正[确確]的?(?:[选選][项項])?(?=[是为為])"
)
# What cues begin with, looked at first: most characters of a reply begin none.
CUE_BEGINS = rf"abcfmprsこア只回就应應我故最正答結结解誤选適選결답선정{DECLARED}"
CUE = (
    rf"(?=[{CUE_BEGINS}])"
    r"(?:解答|回答|答え|答案|(?<![問応返即自])答|正[解答]肢?|結論|结论|結論として"
    r"|最終的に|(?:正しい|適切な|誤っている)(?:組み?合わ?せ|選択肢|対応|処置|治療"
    r"|検査)(?=\s?[は:])"
    r"|選択(?=\s?:)|(?<![一-鿿])解(?=\s?:)|こたえ|アンサー|정답|답안|선택(?=\s?:)|결론"
    r"|답변|(?<![가-힣])답"
    r"|(?m:^)a\s?[:.](?=\s?[(「\[]?[a-h](?:[,、と ]{1,2}[a-h]){0,3}[)」\]]?"
    rf"(?:[。.]?(?m:$)|\s?{MASKED}|[:)、。]|\.(?!\s?{SPECIES})))"
    rf"|{CHINESE_CUE}|{ENGLISH_CUE}|{DECLARED})"
)
# What makes a cue say: this one. Without it, the letter may belong to what follows.
LINKING = pattern(
    rf"[:=→⇒はが是为為은는{DECLARED}]|->|として|(?<![a-z])(?:is|are|be(?=\s)"
    rf"|was)(?![a-z])"
)
LINK = (
    rf"(?:[\s:=,、\"'\-–—>】」』)\]〉》≫|{SIGNS}]|\.{{2,6}}|は|が|是|为|為|은|는|이"
    r"|として|です|の選択肢"
    r"|の組(?:み)?合(?:わ)?せ|番号|記号|(?:次|以下)の(?:通り|とおり)(?:です)?。?"
    r"|[0-9]つ(?:で|は|の)?|[1-9](?=\s?[:.はが])|①|②|③"
    r"|おそらく|恐らく|たぶん|多分|やはり|明らかに|私は|消去法(?:で|により|から)(?:は)?"
    r"|应该|應該|如下|다음과 같습니다"
    r"|\((?!\s?[a-h]\s?[),、])[^()\n]{2,30}\)(?=\s?[:はが])"
    r"|(?<![a-z])(?:is|are|was|(?:would|should|will|must|to) be|be(?=\s)|likely|thus"
    r"|therefore|i (?:believe|think|would say|say|guess|choose|pick|select)"
    r"|it(?:['’]s)?|that|the|most|best|correct|right|probably|clearly|definitely|here"
    r"|(?:to|for|of) (?:this|the) (?:question|problem|case|patient))(?![a-z]))*+"
)
# What a cue is not when this stands before it: 不正解, "second-best answer", 例：…
DENIED = pattern(
    r"(?:[不非誤误错錯]|错误|錯誤|間違(?:った|いの|い)|誤(?:った|りの)|오|틀린"
    r"|(?<![a-z])(?:incorrect|wrong|false|not|no|non)[- ]?(?:the|an?|my)?"
    r"|(?<![a-z])(?:second|next|third|runner)[- ]?(?:best|up)?"
    r"|(?<![a-z])(?:worst|less (?:likely|appropriate|suitable)|distractor|wrong)"
    r"|第[二三四2-4]|[二三四2-4]番目[にの]?|次に(?:適切な|良い|よい)?"
    r"|(?<![a-z])(?:other|another|alternative|previous|earlier|initial|example|sample"
    r"|tempting|possible|plausible|common)"
    r"|次点の?|次善の?|他の|別の|最初の|先ほどの|前の|以前の|よくある|候補の"
    r"|ありがちな)[ -]?(?:best|correct|right|most likely)?[ \t]?\Z"
    r"|(?:例|例えば|例として|形式|フォーマット|書式|(?<![a-z])(?:e\.?g|example|format))"
    r"[.,、:)は]{0,2}[ \t]?[「『\"'(]?\Z"
)
FINALLY = pattern(
    r"(?:最終(?:的な|の)?|(?<![a-z])final(?:ly)?|最终|最后|최종)[ \t]?\Z"
    r"|(?:よって|したがって|従って|ゆえに|以上(?:より|から)|結局|所以|因此|따라서"
    r"|그러므로|(?<![a-z])(?:so|thus|therefore|hence),?(?: the)?(?: correct"
    r"| best)?)[、,]?[ \t]?\Z"
)
CONCLUSIONS = {"結論", "结论", "결론", "conclusion", "最終的に", "final", DECLARED}

# What follows a letter that is not decided on, or is a task restated.
NOT_OPEN_ENDED = (
    r"(?!\s?(?:または|又は|もしくは|あるいは|或|还是|還是|또는|혹은|이나\s|이 아|가 아"
    r"|(?:로|처럼) 보|라고 생각|이거나|都?有?可能"
    r"|or\b|not\b|is not\b|[~〜]|から|以外|を除|でしょうか"
    r"|の(?:いずれ|どれ|うち|中|どちら)"
    r"|で(?:は|も)?な|じゃな|ではあり|とは(?:言|い|限)|か\s?[a-h](?![a-z])|か、"
    r"|(?:だ|である)?と(?:する|考える|思う|いう|答える|主張する)(?:人|者|資料|説|意見"
    r"|文献|受験|学生|見方|声)|と(?:言って|言った|述べ|書かれ)"
    r"|を選(?:ぶ(?:人|者|受験|学生)|び(?:がち|たく|やす)))"
    r"|[^。\n]{0,12}(?:のように(?:答|回|解|書|記|出)|のような形|の?形式|の形で|という形"
    r"|で(?:お)?(?:答え(?:て|よ|な|る)|(?:回答|解答|記載|記入|出力)(?:し|せ|す))"
    r"|を(?:お)?(?:選べ|選んで|選択(?:して|せよ)|答え(?:て|よ))"
    r"|(?<![a-z])(?:format|in the form)(?![a-z])))"
)
SAID = (
    r"(?=\s?(?:$|[。.,、:)」(』]|です|でした|である|だ|が|を|と[考判思な]|に[なよ]"
    r"|の[^いどう中]|입니다|이다|가 |项|項|是?(?:正[确確]|[对對])|"
    r"is (?:the|most|correct|right|best|likely)|(?:because|since|due)\b)"
    r"|(?<=[a-h][)\]])[ \t])"
)
CUED = pattern(rf"(?P<cue>{CUE})(?P<gap>{LINK}){LETTERS}{NOT_OPEN_ENDED}")
JSON_KEY = pattern(
    r"[\"'“](?![^\"'”\n]{0,40}(?:reason|expla|incorrect|wrong|other|altern|question"
    r"|理由"
    r"|second|rejected|誤|不正|解説|解析|all_|previous|initial|draft|user|your|example"
    r"|not_|unselect|unchosen|distract|candidate|(?<=[\"'])(?:option"
    r"|choice)s[\"']\s?:\s?\{))"
    r"[^\"'”\n:]{0,24}(?:answer|choice|chosen|pick|option|select|letter|label|predict"
    r"|\bans|solution|解答|回答|答え|答|正解|正答|选|選|정답"
    rf"|답)[^\"'”\n:]{{0,16}}[\"'”]\s?:\s?"
    r"(?:\{\s?[\"'](?:id|label|letter|option|key|choice|value)[\"']\s?:\s?)?"
    rf"{LETTERS}{NOT_OPEN_ENDED}"
)
JSON_WHOLE = pattern(
    r"[\"'](?:output|response|result|final|value|correct)[\"']\s?:\s?"
    rf"{LETTERS}(?=\s?(?:[,\n]|$))"
)
# 「d に変更します」, with or without a word before it.
CHANGED = pattern(
    rf"{ALONE}{LETTERS}\s?(?:[にへ]\s?(?:訂正|変更|修正|改め|直し?ます|直す)"
    r"|로\s?(?:정정|변경|바[꾸꿉]|수정))"
)
CORRECTED = pattern(
    r"(?:(?:いや|いえ|いいえ|違う|違います|すみません|失礼(?:しました)?"
    r"|申し訳(?:ありません|ございません)|죄송합니다|아니요?)(?=[、,。 ])|哦?不,"
    r"|改[为為选選]|수정(?=:)|訂正|修正|正しくは|実際に?は|本当は|実は|考え直すと"
    r"|よく考えると|考え直して|見直すと|再検討すると|再考すると|更正|纠正|糾正|应为"
    r"|應為|(?:其实|其實|实际上|實際上)是?|실제로는?|사실은|정정"
    r"|(?<![a-z])(?:correction|corrected|actually(?! the options)|in fact|i meant?"
    r"|edit(?=:)|chang\w{1,4} (?:my|the) (?:answer|choice) to|at a closer look"
    r"|on (?:second thought|reflection)|upon re\w{4,12}|scratch that"
    r"|(?:no|wait|sorry)(?=,)|my mistake)(?![a-z]))"
    rf"(?P<gap>(?:します|する|すると|し|。)?{LINK}(?:{CUE}{LINK})?)"
    rf"{LETTERS}{NOT_OPEN_ENDED}{SAID}",
    re.MULTILINE,
)
ANY_CUE = pattern(CUE)
STATED = rf"(?<![a-z]){GLYPH}(?![a-z])"
LETTER = pattern(STATED)
VERDICT_PLACE = pattern(
    r"(?<![a-z0-9])[a-h※][^\w\n,、。;]{0,4}(?:は|が|も|是|은|는|이|가|is|are)?[ \t]?"
    r"(?:the\s)?(?:most\s|only\s|single\s)?(?:correct|right|best)?[ \t]?\Z"
)
# What would be, elsewhere or for others: 「発熱があれば正解は d」.
SUPPOSED = pattern(
    r"もし|仮に|(?<![a-z])(?:if|had|were|unless)(?![a-z])[^.]*\Z"
    r"|(?:(?:が|も|で)(?:あれば|なければ)|(?:して|されて|でて|出て)いれば"
    r"|だったら)[^。\n]*\Z"
    r"|(?<!この)(?<!本例の)(?<!症例の)(?<!今回の)(?<!本問の)場合(?:は|の"
    r"|に)[^。\n]{0,20}\Z"
    r"|看似|乍一?看|有人(?:认为|認為|说|說)|如果|若[是为為]|첫눈에"
    r"|(?<![a-z])at first (?:glance|sight)"
    r"|(?:がある|がない|した|する)とき(?:は|の)[^。\n]{0,20}\Z"
    r"|(?:類題|関連問題|過去問|前問|前の問題|別の問題|他の問題|昨年)[^。\n]{0,20}\Z"
    r"|(?<![a-z])(?:previous|last|another|other|different) (?:question|problem"
    r"|exam)[^.\n]{0,20}\Z"
    r"|(?<![a-z])(?:some|many|others|people|students|examinees|one|you)(?: [a-z]+)? "
    r"(?:argue|say|think|believe|claim|answer|assume|conclude)[^.,\n]{0,20}\Z"
)
ELSEWHERE = pattern(
    r"\s?(?:but )?(?:in|for|with|without) (?:an?|another|other|patients|cases|those"
    r"|children|adults|infants)(?![a-z])"
)


def leads(found: re.Match[str]) -> bool:
    """Whether a cue leads to the letters behind it: 「c: 正解 d」 says nothing of d."""
    start, gap = found.start(), found["gap"]
    before = found.string[max(0, start - 40) : start]
    if is_denied(found):
        return False
    if found["cue"] == DECLARED or LINKING.search(gap):
        return True
    line = before.rsplit("\n", 1)[-1]
    if "\n" in gap:
        return len(line.strip()) <= 16 and not re.search(rf"[。、:※]|{STATED}", line)
    return VERDICT_PLACE.search(before) is None


def of_steps(plain: str) -> set[int]:
    """Places of cues that are verdicts of a walk: the first behind each of its steps.

    They are where at least two steps, which are struck out, have one in their block.
    """
    first: dict[int, int] = {}
    step, at = -1, 0
    for cue in ANY_CUE.finditer(plain):
        struck, gap = (plain.rfind(sign, at, cue.start()) for sign in (STRUCK, "\n\n"))
        step, at = (step if struck == gap else struck), cue.start()
        if step >= 0 and gap <= step:
            first.setdefault(step, at)
        elif gap > step:
            step = -1
    return set(first.values()) if len(first) > 1 else set()


def is_supposed(found: re.Match[str]) -> bool:
    """Whether a cue tells what would be: 「もし発熱がなければ正解は d」."""
    before = found.string[max(0, found.start() - 80) : found.start()]
    clause = re.split(r"[。.\n]", before)[-1]
    return (SUPPOSED.search(clause) or ELSEWHERE.match(clause)) is not None


def is_denied(found: re.Match[str]) -> bool:
    """Whether a cue stands in its own negation: 不正解, "second-best answer"."""
    start = found.start()
    return DENIED.search(found.string, max(0, start - 40), start) is not None
