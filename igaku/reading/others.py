"""Others: where a text goes on as somebody else, or with a question nobody asked.

A line is another's by its form: a label that names a role, or one that names a
question, below an answer that is already given.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern

DECOR = r"[#*>\-=_~\[【〔《〈「 \t\u3000]{0,12}"
SHUT = r"[*_\]】〕》〉」 \t]{0,6}"
NUMBER = r"[ \t]{0,2}(?:no\.?|#|[(（])?[ \t]?[0-9０-９]{0,4}[A-Z]?[)）]?"
COUNTED = r"[ \t]{0,2}(?:no\.?|#|[(（])?[ \t]?[0-9０-９]{1,4}[)）]?"
PERSON = (
    r"user|human|ユーザー?|利用者|人間|质问者|質問者|用户|用戶|사용자|提问者|依頼者"
)
ASKING = (
    r"question|exercise|problem|instructions?|prompt|quiz|q|問題文?|質問文?|設問|問い?"
    r"|指示文?|命令|類題|例題|練習問題|设问|题目|题|问题|問題|題目|指令|질문|문제|지시"
)
NEXT = r"(?:the )?(?:next|another|new|following) |次の?|別の|新しい|下一|다음 "
# What a model that goes on by itself writes next: another's line, or a new question.
ANOTHERS_LINE = pattern(
    r"(?:^|(?<=[^\x00-\x7f])|(?<=\b[a-hA-H]))(?P<word>user|human|system)[ \t]*\n"
    rf"|^{DECOR}(?P<other>{PERSON}){NUMBER}{SHUT}[:：]"
    rf"|^(?P<asks>{DECOR}(?:{NEXT})?(?:{ASKING}){NUMBER}(?:{SHUT}[:：]|[\]】〕》〉])"
    rf"|#{{1,6}} *\**(?:{NEXT})?(?:{ASKING}){NUMBER}{SHUT}$"
    rf"|{DECOR}(?:(?:{NEXT})(?:{ASKING}){NUMBER}|(?:{ASKING}){COUNTED}"
    r"|第[ 　]?[0-9０-９一二三四五六七八九十]{1,3}[ 　]?[問题題问])"
    rf"{SHUT}(?:[.．、。:： \t\u3000]|(?<=[ \t\u3000])|$))",
    re.IGNORECASE | re.MULTILINE,
)
ANSWERED = pattern(
    r"(?:answer|答え|解答|回答|正解|正答|答案|정답|結論)[^\n]{0,12}(?:[a-h]|\d)"
    r"|(?:適切|正し|該当|correct|best|appropriate)[^\n]{0,20}(?<![a-z])[a-h](?![a-z])"
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
LABEL = r"assistant|ai|gpt|model|\w{0,12}bot|アシスタント|助手|助理|回答者|어시스턴트"
OWN_LABEL = pattern(rf"\A\s*{DECOR}(?:{LABEL}){SHUT}[:：][* \t]*", re.IGNORECASE)
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
    said = _unlabelled(said)
    begun, answered = re.search(r"\S", said), ANSWERED.search(said)
    for found in ANOTHERS_LINE.finditer(said):
        at = found.start()
        if begun is None or begun.start() >= at:
            continue
        is_answered = answered is not None and answered.end() <= at
        asked = said[found.end() : found.end() + POSED_WITHIN]
        if found["asks"] is None or (is_answered and POSED.search(asked)):
            return said[:at]
    return said


def _unlabelled(said: str) -> str:
    """The text behind the label of the model's own words."""
    label = OWN_LABEL.match(said)
    if label is None and (again := SAID_AGAIN.match(said)):
        label = OWN_LINE.search(said, again.end(), again.end() + POSED_WITHIN)
    return said[label.end() :] if label else said
