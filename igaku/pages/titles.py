"""The titles of the tables, numbered in the order in which the analysis shows them."""

from __future__ import annotations

from igaku.shown import say

TABLES = {
    "findings": ("問いごとの答え", "What was found"),
    "overview": ("すべての実行の成績", "All runs and their scores"),
    "causes": ("返答の結末ごとの数", "Replies by what became of them"),
    "lines": ("得点と合格線", "Scores against the pass lines"),
    "counts": ("対の正誤の数", "Pairs: the counts"),
    "tests": ("対の差と検定", "Pairs: differences and tests"),
    "power": ("対の検出力", "Pairs: power"),
    "lengths": ("返答の長さ", "How long the replies are"),
    "logrank": ("長さのログランク検定", "Lengths compared by log-rank tests"),
    "right_wrong": ("正答した返答とそうでない返答の長さ", "Right and wrong replies"),
    "loops": ("推論の反復", "Reasoning that repeats itself"),
    "rescue": ("失った返答の聞き直し", "Lost replies, asked again"),
    "kinki": ("禁忌肢の選択", "Prohibited options that were chosen"),
    "patterns": ("正答した実行の組み合わせ", "Who got what right"),
    "cost": ("メモリの節約と正答率の差", "Memory saved, and the price"),
}


def titled(lang: str, name: str) -> str:
    """The title of a table with its number, which is the same in every document.

    >>> titled("en", "overview")
    'Table 2. All runs and their scores'
    """
    number, words = list(TABLES).index(name) + 1, say(lang, *TABLES[name])
    return say(lang, f"表{number}. {words}", f"Table {number}. {words}")
