"""Others: where a text goes on as somebody else, or with a question nobody asked.

A line is another's by its form: a label that names a role, or one that names a
question, below an answer that is already given.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern

DECOR = r"[^\w\n\"'“”‘’「『]{0,12}"
SHUT = r"[^\w\n:：]{0,8}"
DRESSED = r"[ \t]*(?![-*・•+][ \t])(?=[^\w\s\"'“「])[^\w\n]{1,12}"  # and no bullet
NUMBER = r"[ \t]{0,2}(?:no\.?|#|[(（])?[ \t]?[0-9０-９]{0,4}[A-Z]?[)）]?"
COUNTED = r"[ \t]{0,2}(?:no\.?|#|[(（])?[ \t]?[0-9０-９]{1,4}[)）]?"
PERSON = (
    r"user|human|ユーザー?|利用者|人間|质问者|質問者|用户|用戶|사용자|提问者|依頼者"
)
ASKING = (
    r"question|exercise|problem|instructions?|prompt|quiz|q|task|input|query|request"
    r"|case|\w{0,12}(?:問題|質問)[文票]?(?:番号)?|設問|問い?|指示文?|命令|類題|例題|依頼"
    r"|入力|症例|设问|题目|题|\w{0,8}问题|題目|指令|질문|문제|지시"
)
NEXT = (
    r"(?:the )?(?:next|another|new|following),? |follow-?up "
    r"|次の?|別の|新しい|下一|다음 "
)
# A question by its form alone: it asks, and choices stand below it.
CHOICES_BELOW = (
    r"[^\n]{0,300}(?:どれか|選べ|選びなさい|どれですか|\?|？)[^\n]{0,20}\n\s{0,4}"
    r"[(（]?a[)）.．:：、 ][^\n]*\n\s{0,4}[(（]?b[)）.．:：、 ]"
)
# What a model that goes on by itself writes next: another's line, or a new question.
ANOTHERS_LINE = pattern(
    r"(?:^|(?<=[^\x00-\x7f])|(?<=\b[a-hA-H]))(?P<word>user|human|system)[ \t]*\n"
    rf"|^(?P<other>{DECOR}(?:{PERSON}){NUMBER}{SHUT}[:：]"
    rf"|{DRESSED}(?:{PERSON}){NUMBER}{SHUT}$)"
    rf"|^(?P<asks>{DECOR}(?:{NEXT})?(?:{ASKING}){NUMBER}(?:{SHUT}[:：]|[\]】〕》〉])"
    rf"|{DRESSED}(?:{NEXT})?(?:{ASKING}){NUMBER}{SHUT}$"
    rf"|{DECOR}(?:(?:{NEXT})(?:{ASKING}){NUMBER}|(?:{ASKING}){COUNTED}"
    r"|第[ 　]?[0-9０-９一二三四五六七八九十]{1,3}[ 　]?[問题題问])"
    rf"{SHUT}(?:[.．、。:：]|(?<=[ \t\u3000])|$)|{CHOICES_BELOW})",
    re.IGNORECASE | re.MULTILINE,
)
ANSWERED = pattern(
    r"(?:answer|答え|解答|回答|正解|正答|答案|정답|結論)[^\n]{0,12}"
    r"(?:(?<![a-z])[a-h](?![a-z]| [a-z]{2})|\d)"
    r"|(?:適切|正し|該当|correct|best|appropriate)[^\n]{0,20}(?<![a-z])[a-h](?![a-z])"
    r"|(?<![a-z])[a-h][」）)]?\s?(?:が|は|を|is)[^\n]{0,8}(?:正し|正解|適切|選|correct"
    r"|right)"
    r"|^[\W_]{0,6}(?:[a-h](?:[\s,、と]{1,3}[a-h]){0,4}|[\d.]{1,9})[\W_]{0,3}"
    r"(?:です。?)?[ \t]*$"
    r"|\A[\W_]{0,6}[a-h][.:：)）、 ][^\n]*\n(?!\W{0,3}[b-h][.:：)）、 ])",
    re.IGNORECASE | re.MULTILINE,
)
POSED = pattern(
    r"(?:^|\n)[ \t]*[(（]?[a-hA-H][)）.．:：、 ].*\n[ \t]*[(（]?[b-hB-H][)）.．:：、 ]"
    r"|(?:answer|答え?|解答|回答|正解|応答|答案|response|output|정답|답)"
    r"(?:\s*[:：はis】\]]|[ \t*]*$)|どれか|選べ|which|哪|^[#*\s]{0,6}A\d*[:：.]",
    re.IGNORECASE | re.MULTILINE,
)
POSED_WITHIN = 2000  # characters
# The label of the model's own words, and of the question said again before them.
LABEL = (
    r"(?:ai )?(?:assistant|ai|gpt|model|\w{0,12}bot)(?: (?:response|reply|output))?"
    r"|(?:AI|回答)?(?:アシスタント|モデル|AI|助手|助理|回答者|応答)|어시스턴트"
)
OWN_LABEL = pattern(
    rf"\A{DECOR}\s*(?:{LABEL})(?:{SHUT}[:：]|[\]】〕》〉])[* \t]*", re.IGNORECASE
)
SAID_AGAIN = pattern(
    rf"\A\s*{DECOR}(?:{PERSON}|q|question|問い?|問題|質問){NUMBER}{SHUT}[:：]",
    re.IGNORECASE,
)
OWN_LINE = pattern(
    rf"(?:^|(?<=[\s。?？]))(?:(?:{LABEL}){SHUT}[:：]"
    r"|A[0-9]{0,3}[:：.](?=[ \t*]{0,4}[a-h](?![\w:：.)）])))[* \t]*",
    re.IGNORECASE | re.MULTILINE,
)


def own_lines(said: str) -> str:
    r"""The text up to where the model goes on as somebody else, or with a new question.

    A question counts as new only below an answer: it may be the task said again, and
    then a label says where the model's own words begin.

    >>> own_lines("答え: d\n\n## Question 2\nWhich?\nAnswer: b").rstrip()
    '答え: d'
    >>> own_lines("Q: どれか。 A: d")
    'd'
    """
    label = OWN_LABEL.match(said)
    if label is None and (again := SAID_AGAIN.match(said)):
        label = OWN_LINE.search(said, again.end(), again.end() + POSED_WITHIN)
    said = said[label.end() :] if label else said
    begun, answered = re.search(r"\S", said), ANSWERED.search(said)
    posed = None  # what is posed first from there on
    for found in ANOTHERS_LINE.finditer(said):
        if begun is None or begun.start() >= found.start():
            continue
        if found["asks"] is None:
            return said[: found.start()]
        if answered is None or answered.end() > found.start():
            continue
        if posed is None or posed.start() < found.end():
            posed = POSED.search(said, found.end())
        if posed is None:
            answered = None  # nor is anything posed below
        elif posed.start() < found.end() + POSED_WITHIN:
            return said[: found.start()]
    return said
