"""Loops: a text that says the same over and over until something ends it.

Only the last `LOOKED_AT` characters of a text are looked at: a loop that matters is
under way at its end.
"""

from __future__ import annotations

from itertools import pairwise

from igaku.lazy import pattern

# A text loops when it ends in one piece over and over, or when, long as it is, most of
# its end has been said before. A check repeats a chain of steps once, so two copies are
# no loop, and neither is a ruled line of a table, which is short. The lab's chains
# repeat numbers, and few of their 12-grams; prose repeats hardly any.
COPIES = 3
LOOP_LENGTH = 60  # characters that the copies fill at least
RULED = 120  # the same for copies of signs alone, which may be a ruled line
STUTTER, STUTTER_LENGTH = 8, 16  # copies of a word that fill less, and characters
LITTLE_NEW = 0.35  # share of distinct 12-grams; a chain written twice has about 0.5
LONG = 500  # characters from which on that share is judged
GRAM = 12
LOOKED_AT = 2**14  # characters
END = 1_200  # characters; a loop may be under way that has not yet filled the text
SENTENCE = pattern(r"[。！？\n]|[.!?](?=\s)")
LABEL = pattern(r"\s*[(（]?([A-Za-z]|\d{1,4})[)）:：.．、]")
NUMBER = pattern(r"\d+(?:[.．]\d+)*|[.．]")
SHORTEST, FEWEST, FEW_NEW = 4, 8, 0.3  # characters, sentences, share of new ones
DIGITS, COUNTED = pattern(r"\d{1,9}"), 16  # numbers in order
MOST_LABELS = 6  # of a walk through the choices, whose verdicts are alike


def is_looping(text: str) -> bool:
    """Whether a text ends in one piece over and over, or says little that is new.

    >>> is_looping("Let me check. " + "So the answer is c. Wait, " * 5)
    True
    >>> is_looping("27a58b35c86d14e;1:14e;27a58b35c86d;2:27a#" * 2)
    False
    """
    text = text[-LOOKED_AT:]
    end = text[-END:]
    return (
        _says_little(text)
        or _repeats_its_end(text)
        or _says_little(end)
        or _says_the_same(end)
        or _counts_on(end)
    )


def _counts_on(text: str) -> bool:
    """Whether a text ends in a count, by ones, with the same between its numbers.

    >>> _counts_on(" ".join(f"{i}." for i in range(1, 40))), _counts_on("1. 2. 3.")
    (True, False)
    """
    told = list(DIGITS.finditer(text))[-COUNTED - 1 : -1]  # the last may be cut
    pairs = list(pairwise(told))
    is_count = all(int(after[0]) == int(one[0]) + 1 for one, after in pairs)
    between = {text[one.end() : after.start()] for one, after in pairs}
    return len(told) == COUNTED and is_count and len(between) == 1


def _says_the_same(text: str) -> bool:
    r"""Whether most sentences are others again, but for a number or a label.

    >>> _says_the_same("".join(f"{i}. It is the chest film again.\n" for i in range(8)))
    True
    >>> _says_the_same("a: incorrect\nb: incorrect\nc: correct\nd: incorrect\n" * 2)
    False
    """
    sentences = [each for each in SENTENCE.split(text) if len(each) >= SHORTEST]
    labels = [label[1] for each in sentences if (label := LABEL.match(each))]
    if not labels or len({*labels}) > MOST_LABELS:
        sentences = [NUMBER.sub("", LABEL.sub("", each, 1)) for each in sentences]
    told = [each.strip() for each in sentences]
    ends = (told, told[-FEWEST:]) if len(told) >= FEWEST else ()
    return any(len({*end}) <= FEW_NEW * len(end) for end in ends)


def _says_little(text: str) -> bool:
    """Whether most of a long text's 12-grams have been there before."""
    return len(text) >= LONG and (distinct_share(text) or 0) < LITTLE_NEW


def _repeats_its_end(text: str) -> bool:
    """Whether a text ends in enough copies of one piece."""
    length = repeated_suffix(text)
    if length == 0:
        return False
    end = len(text) - length
    period = end - text.rfind(text[end:], 0, len(text) - 1)
    # Beside its repetition the first copy stands, so `period` more belong to the loop.
    copied = length + period
    if not any(map(str.isalnum, text[-period:])):
        return copied >= max(COPIES * period, RULED)
    is_stutter = copied >= max(STUTTER * period, STUTTER_LENGTH)
    return is_stutter or copied >= max(COPIES * period, LOOP_LENGTH)


def repeated_suffix(text: str) -> int:
    """The length of the longest end of a text that also occurs earlier in it.

    The two may overlap: three copies of a piece give twice its length. Whatever is
    repeated at one length is so at any smaller one, so the search halves.

    >>> repeated_suffix("abc" * 3), repeated_suffix("no loop here?")
    (6, 0)
    """
    shortest, longest = 0, len(text) - 1
    while shortest < longest:
        length = (shortest + longest + 1) // 2
        if text.find(text[-length:]) < len(text) - length:
            shortest = length
        else:
            longest = length - 1
    return max(shortest, 0)


def distinct_share(text: str) -> float | None:
    """The share of a text's 12-grams of characters that are different ones.

    >>> distinct_share("a" * 21), distinct_share("too short")
    (0.1, None)
    """
    count = len(text) - GRAM + 1
    if count < 1:
        return None
    return len({text[i : i + GRAM] for i in range(count)}) / count
