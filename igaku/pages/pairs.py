"""Pairs in words: the 2×2 counts first, then what they can and cannot support.

A sentence never says that two models are equal. It says whether "not worse by the
margin" was shown, with n and p, and how many questions a smaller claim would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from igaku.figures import plots_pairs
from igaku.pages.models import PUBLISHED, warned
from igaku.pages.titles import titled
from igaku.pages.view import word
from igaku.shown import (
    Picture,
    Shown,
    figure_of,
    heading,
    is_missing,
    joined,
    kind_of_number,
    nothing,
    p_cell,
    p_of,
    say,
    sentence,
    share,
    table,
)
from igaku.statistics import proportion
from igaku.study.audits import is_one_measurement
from igaku.study.pairs import SMALL, gates, pair_table, patterns, with_power
from igaku.study.study import Family, Study

if TYPE_CHECKING:
    import pandas as pd

MOST_PATTERNED = 8  # runs in the figure of patterns
SHOWN = 12  # pairs of a family on the page; the CSV beside the report has all of them
ONE_SIDED = 0.025
LEVEL = 0.05
CONCLUSIVE = ("finished", "stopped", "mixed")  # the kinds that claims are made of


@cache
def pairs_of(study: Study) -> pd.DataFrame:
    """All pairs of a study, see `igaku.study.pairs.pair_table`."""
    return pair_table(study)


def warnings(study: Study) -> Shown:
    """The alarms that taint the pairs that claims are made of, above all of them."""
    rows = pairs_of(study)
    rows = rows[rows["kind"].isin(CONCLUSIVE)]
    return warned(study, *dict.fromkeys([*rows["a"], *rows["b"]]), leave_out=PUBLISHED)


def evidence(study: Study) -> pd.DataFrame:
    """The pairs of the main families whose replies are not one measurement twice."""
    rows = pairs_of(study)
    rows = rows[rows["kind"] == "finished"]
    pairs = zip(rows["a"], rows["b"], strict=True)
    return rows[[not is_one_measurement(study, a, b) for a, b in pairs]]


def families(study: Study) -> Shown:
    """Which pairs are tested together, declared before any result."""
    lang = study.lang
    if not study.families:
        return sentence(
            say(
                lang,
                "共通の問題を持つ実行の組がないため、対の比較はありません。",
                "No two runs share a question, so no pair is compared.",
            ),
            "alarm",
        )
    return joined(sentence(_declared(study, family)) for family in study.families)


def _declared(study: Study, family: Family) -> str:
    names = ", ".join(study.label(name) for name in family.runs[:SHOWN])
    more = len(family.runs) - SHOWN
    names += say(study.lang, f" ほか{more}件", f" and {more} more") if more > 0 else ""
    kind, n = kind_name(family.kind, study.lang), len(family.pairs)
    on = len(family.questions) if family.questions else None
    return say(
        study.lang,
        f"{kind}、{word(family.exam, 'ja')}、{n}組: {names}。"
        + (f"全員が聞かれた{on}問の上で比べます。" if on else ""),
        f"{kind} (exam {family.exam}, {n} {'pair' if n == 1 else 'pairs'}): {names}."
        + (f" Compared on the {on} questions that all were asked." if on else ""),
    )


def kind_name(kind: str, lang: str) -> str:
    """What a family is called in a sentence."""
    names = {
        "finished": ("主な族: 同じ設定で完走した実行", "Main family: finished runs"),
        "repeats": ("同じモデルの反復（ゆらぎの底）", "Repeats of one model"),
        "stopped": ("中断・破綻した実行の族", "Family of stopped or broken runs"),
        "mixed": ("完走した実行と中断した実行", "Finished against stopped runs"),
        "settings": (
            "その他の組: 設定や問題が異なる、または宣言外（記述のみ）",
            "Other pairs: settings or questions differ, or undeclared (descriptive)",
        ),
        "reference": ("参照との組（記述のみ）", "Against references (descriptive)"),
    }
    return say(lang, *names[kind])


# --- tables ---------------------------------------------------------------------------


def gate(study: Study) -> Shown:
    """Cochran's Q of each family of three or more, before its pairs."""
    found = gates(study)
    if not found:
        few = say(
            study.lang,
            "共通の問題を持つ3件以上の族がないため、CochranのQは要りません。",
            "No family of three runs shares questions, so Cochran's Q is not called "
            "for.",
        )
        return sentence(few, "note")
    words = []
    for each in found:
        kind = kind_name(each.family.kind, study.lang)
        q, k = each.q, len(each.family.runs)
        value = "–" if q.statistic is None else f"{q.statistic:.2f}"
        words.append(
            say(
                study.lang,
                f"CochranのQ（{kind}、{k}件、共通{each.n}問）: Q = {value}、"
                f"自由度{q.df}、{p_of(q.pvalue)}。"
                f"どれかが異なることは{_differs(q.pvalue, 'ja')}。",
                f"Cochran's Q ({kind}, {k} runs, {each.n} common questions): "
                f"Q = {value}, {q.df} df, {p_of(q.pvalue)}. That any of them differs "
                f"is {_differs(q.pvalue, 'en')}.",
            )
        )
    doubled = [row for _, row in pairs_of(study).iterrows() if _is_doubled(study, row)]
    note = sentence(_doubled_words(study), "note") if doubled else nothing()
    return joined(map(sentence, words)) + note


def _differs(pvalue: float, lang: str) -> str:
    if pvalue < LEVEL:
        return say(lang, "示されました", "shown")
    return say(lang, "示されていません", "not shown")


def _is_doubled(study: Study, row: pd.Series) -> bool:
    is_main = row["kind"] == "finished"
    return is_main and is_one_measurement(study, row["a"], row["b"])


def _doubled_words(study: Study) -> str:
    return say(
        study.lang,
        "返答が同一の実行も、宣言した族のままQとHolmに数えています。"
        "一件に減らすと、調整はゆるくなります。",
        "Runs with identical replies are counted in Q and in Holm's adjustment as the "
        "family was declared; with one of them left out the adjustment would be "
        "milder.",
    )


def pair_tables(study: Study) -> Shown:
    """Counts, tests and power of the pairs, family by family."""
    pieces = []
    for family in study.families:
        rows = _of_family(pairs_of(study), family)
        if len(rows):
            pieces += [heading(_title(study, family), 4), _tables(study, rows)]
    return joined(pieces)


def _title(study: Study, family: Family) -> str:
    kind = kinds_of(study, family.runs)
    exam = word(family.exam, study.lang)
    return f"{kind_name(family.kind, study.lang)} [{exam}, {kind}]"


def kinds_of(study: Study, names: Sequence[str]) -> str:
    """The kinds of number that runs are of: measured, recorded, or both."""
    kinds = dict.fromkeys(study.run(name).origin for name in names)
    return " / ".join(kind_of_number(kind, study.lang) for kind in kinds)


def _tables(study: Study, rows: pd.DataFrame) -> Shown:
    lang, first = study.lang, rows.head(SHOWN)
    names = dict.fromkeys([*first["a"], *first["b"]])
    pieces = [counts_table(study, first), tests_table(study, first)]
    if rows["kind"].iloc[0] not in CONCLUSIVE:  # those stand above all families
        pieces.insert(0, warned(study, *names, leave_out=PUBLISHED))
    if rows["kind"].iloc[0] in CONCLUSIVE:
        pieces.append(power_table(study, with_power(first, study.margin)))
    if len(rows) > len(first):
        more = len(rows) - len(first)
        text = say(lang, f"ほか{more}組は表（CSV）にあります。",
                   f"{more} more pairs are in the CSV table.")  # fmt: skip
        pieces.append(sentence(text, "note"))
    return joined(pieces)


def counts_table(study: Study, rows: pd.DataFrame) -> Shown:
    """The 2×2 counts of pairs, and how often the answer itself was the same."""
    head = say(
        study.lang,
        "A|B|共通 n|両方正答|Aだけ正答（うちBが失った返答）|Bだ"
        "け正答（うちAが失った返答）"
        "|両方正答でない|入れ替わり|同じ回答",
        "A|B|Common n|Both right|Only A right (B's reply lost)"
        "|Only B right (A's reply lost)|Neither|Flips|Same answer",
    )
    body = [
        [
            study.label(row["a"]), study.label(row["b"]), row["n"], row["both"],
            _with_lost(row["only_a"], row["lost_b"]),
            _with_lost(row["only_b"], row["lost_a"]),
            row["neither"],
            f"{row['flips']} ({share(row['flips'] / row['n'])})",
            f"{row['same_answer']} ({share(row['same_answer'] / row['n'])})",
        ]
        for _, row in rows.iterrows()
    ]  # fmt: skip
    title = titled(study.lang, "counts")
    return table(head.split("|"), body, title, (0, 1), study.lang)


def _with_lost(flips: int, lost: int) -> str:
    return f"{flips} ({lost})" if lost else f"{flips}"


def tests_table(study: Study, rows: pd.DataFrame) -> Shown:
    """Differences with intervals, McNemar's tests, and the non-inferiority verdict."""
    points = margin_points(study)
    head = say(
        study.lang,
        "A|B|差 A−B（ポイント）|95 %区間 Tango|95 %区間 Newcombe|mid-p|正確 p|Holm"
        f"|非劣性（マージン{points}ポイント）|p（非劣性）|p（同等性）",
        "A|B|Difference A−B (points)|95 % Tango|95 % Newcombe|mid-p|Exact p|Holm"
        f"|B not worse by {points}|p (non-inferior)|p (equivalent)",
    )
    body = [
        [
            study.label(row["a"]), study.label(row["b"]), _points(row["difference"]),
            _range(row["tango_low"], row["tango_high"]),
            _range(row["newcombe_low"], row["newcombe_high"]),
            p_cell(row["midp"]), p_cell(row["exact"]),
            p_cell(row["holm"]) if row["kind"] in CONCLUSIVE else None,
            verdict_word(study, row),
            p_cell(row["noninferior"]), p_cell(row["equivalent"]),
        ]
        for _, row in rows.iterrows()
    ]  # fmt: skip
    title = titled(study.lang, "tests")
    return table(head.split("|"), body, title, (0, 1, 8), study.lang)


def verdict_word(study: Study, row: pd.Series) -> str:
    """Shown or not shown; a model set against itself shows nothing."""
    if is_one_measurement(study, row["a"], row["b"]):
        return say(study.lang, "返答が同一", "identical replies")
    return shown_word(row["noninferior"], study.lang)


def power_table(study: Study, rows: pd.DataFrame) -> Shown:
    """What n questions and these flips let one see, and the cluster-robust error."""
    points = margin_points(study)
    head = say(
        study.lang,
        f"A|B|入れ替わりの許容数（{points}ポイント）|0.5ポイントの検出力|80 "
        "%で見える最小の差"
        f"|0.5ポイントに要る問題数|非劣性（{points}ポイン"
        "ト）の検出力|クラスター数|クラスター頑健SE"
        "|単純SE|95 %区間（頑健）",
        f"A|B|Flip budget ({points})|Power for 0.5 points|Smallest difference at 80 %"
        f"|Questions for 0.5 points|Power to show {points}|Clusters|Cluster-robust SE"
        "|Naive SE|95 % interval (robust)",
    )
    body = [
        [
            study.label(row["a"]), study.label(row["b"]),
            _budget(row["flip_budget"], study.lang), share(row["power_small"]),
            _unsigned(row["detectable"]), figure_of(row["needed"]),
            share(row["power_margin"]), row["clusters"],
            _unsigned(row["cluster_se"], 2), _unsigned(row["naive_se"], 2),
            _range(row["cluster_low"], row["cluster_high"]),
        ]
        for _, row in rows.iterrows()
    ]  # fmt: skip
    title = titled(study.lang, "power")
    return table(head.split("|"), body, title, (0, 1), study.lang)


# --- sentences ------------------------------------------------------------------------


def readings(study: Study) -> Shown:
    """What each pair of the families that claims are made of does and does not show."""
    pieces = []
    for kind in CONCLUSIVE:
        rows = _first(pairs_of(study), kind)
        if kind == "mixed":  # the others are in the table
            rows = rows[rows["a"] == rows["a"].iloc[0]] if len(rows) else rows
        rows = with_power(rows, study.margin)
        pieces += [sentence(reading(study, row)) for _, row in rows.iterrows()]
    return joined(pieces)


def reading(study: Study, row: pd.Series) -> str:
    """One pair in words: net loss, flips, interval, verdict, and what n allows.

    "Worse" is said only when Holm's p is below 5 %; nothing is ever called equal.
    """
    lang, points = study.lang, margin_points(study)
    a, b = study.label(row["a"]), study.label(row["b"])
    net = int(row["only_a"] - row["only_b"])
    interval = _range(row["tango_low"], row["tango_high"])
    verdict = verdict_word(study, row)
    kind = kinds_of(study, [row["a"], row["b"]])
    told = say(
        lang,
        f"[{kind}] {a} → {b}: 共通{row['n']}問で正答が正味{_net_ja(net)}"
        f"（失った{row['only_a']}、得た{row['only_b']}）。"
        f"差{_points(row['difference'])}ポイント（95 % Tango {interval}）、"
        f"McNemar mid-{p_of(row['midp'])}（Holm {p_cell(row['holm'])}）。"
        f"非劣性（マージン{points}ポイント）: {verdict}"
        f"（n = {row['n']}、{p_of(row['noninferior'])}）。",
        f"[{kind}] {a} → {b}: on {row['n']} common questions {_net_en(net)} "
        f"(lost {row['only_a']}, gained {row['only_b']}); difference "
        f"{_points(row['difference'])} points (95 % Tango {interval}), McNemar "
        f"mid-{p_of(row['midp'])} (Holm {p_cell(row['holm'])}). "
        f'"Not worse by {points}": {verdict} (n = {row["n"]}, '
        f"{p_of(row['noninferior'])}).",
    )
    if is_one_measurement(study, row["a"], row["b"]):
        return told + _no_evidence(lang)
    sight = _sight(row, lang) if row["holm"] >= LEVEL else ""
    return say(lang, "", " ").join(filter(None, [told, _worse(row, b, lang), sight]))


def _no_evidence(lang: str) -> str:
    return say(
        lang,
        "ただし返答が一字一句同じなので、この組は二つのモデルの比較になっていません。",
        " But their replies are identical, so this pair compares no two models.",
    )


def _worse(row: pd.Series, b: str, lang: str) -> str:
    if row["holm"] >= LEVEL:
        return say(
            lang,
            "どちらが優れるかは示されていません。",
            "That one is better than the other is not shown.",
        )
    if row["difference"] > 0:
        return say(lang, f"{b}は劣ります。", f"{b} is worse.")
    return say(lang, f"{b}は優れます。", f"{b} is better.")


def _sight(row: pd.Series, lang: str) -> str:
    if is_missing(row["detectable"]) or not row["flips"]:
        return (
            say(lang, "入れ替わりがありません。", "There is no flip.")
            if not row["flips"]
            else ""
        )
    needed = figure_of(row["needed"])
    more = (
        say(
            lang,
            f"、0.5ポイントの差には{needed}問が要ります",
            f"; 0.5 points need {needed}",
        )
        if needed
        else ""
    )
    return say(
        lang,
        f"この問題数で検出力80 %で見える差は{_unsigned(row['detectable'])}ポイント"
        f"から{more}。",
        f"With this many questions a difference is seen with 80 % power from "
        f"{_unsigned(row['detectable'])} points on{more} questions."
        if needed
        else f"With this many questions a difference is seen with 80 % power from "
        f"{_unsigned(row['detectable'])} points on.",
    )


def flip_reading(study: Study) -> Shown:
    """How many answers flip between the pairs that are drawn, and where most do."""
    rows = drawn(study)
    if not len(rows):
        return nothing()
    most = rows.iloc[int((rows["flips"] / rows["n"]).to_numpy().argmax())]
    least, quiet = rows["flips"].min(), int((rows["flips"] == 0).sum())
    a, b = study.label(most["a"]), study.label(most["b"])
    kind = kinds_of(study, [*rows["a"], *rows["b"]])
    flips = f"{most['flips']}/{most['n']} ({share(most['flips'] / most['n'])})"
    return sentence(
        say(
            study.lang,
            f"[{kind}] {len(rows)}組で入れ替わりは{least}問から{most['flips']}問。"
            f"最も多いのは{a} → {b}の{flips}で、失った{most['only_a']}、"
            f"得た{most['only_b']}。入れ替わりのない組は{quiet}組です。",
            f"[{kind}] Over {len(rows)} pairs the flips range from {least} to "
            f"{most['flips']}. {a} → {b} has most, {flips}: lost {most['only_a']}, "
            f"gained {most['only_b']}. {quiet} pairs have none.",
        )
    )


def power_reading(study: Study) -> Shown:
    """Which differences the pairs could have shown, and what a small one would take."""
    rows = drawn(study)
    rows = with_power(rows[rows["flips"] > 0], study.margin)
    seen, needed = rows["detectable"].dropna(), rows["needed"].dropna()
    if not len(seen):
        return sentence(
            say(
                study.lang,
                "入れ替わりが少なすぎて検出力を計算できないため、"
                "どの大きさの差なら見えたかは分かりません。",
                "There are too few flips to compute power from, so what difference "
                "could have been seen is unknown.",
            ),
            "note",
        )
    within = int((rows["flips"] <= rows["flip_budget"].fillna(-1)).sum())
    low, high, points = _unsigned(seen.min()), _unsigned(seen.max()), _small()
    more = figure_of(needed.min()) if len(needed) else None
    ja = f"{points}ポイントの差を論じるには{more}問以上が要ります。" if more else ""
    en = f" To speak of {points} points takes {more} questions." if more else ""
    return sentence(
        say(
            study.lang,
            f"検出力80 %で見える差は、{len(seen)}組で最小{low}〜{high}ポイント"
            f"（n = {_span(rows['n'])}）。{ja}非劣性を示せる入れ替わりの許容数に"
            f"収まるのは{len(rows)}組中{within}組です。",
            f"With 80 % power the smallest difference seen is {low} to {high} points "
            f"over {len(seen)} pairs (n = {_span(rows['n'])}).{en} {within} of "
            f"{len(rows)} pairs stay within the flips that still let non-inferiority "
            "be shown.",
        )
    )


def _small() -> str:
    return f"{100 * SMALL:g}"


def _span(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low}–{high}"


def noise_floor(study: Study) -> Shown:
    """Flips between repeats of one model: what another model's flips are read against.

    A model asked once says nothing of its own flips, so the sentence says that too.
    """
    rows, lang = pairs_of(study), study.lang
    repeats = rows[rows["kind"] == "repeats"]
    if not len(repeats):
        return sentence(
            say(
                lang,
                "同じ条件で反復したモデルがないため、測定のゆらぎは不明です。"
                "下の入れ替わりをすべて量子化のせいとは言えません。",
                "No model was asked twice under the same settings, so the noise of the "
                "measurement is unknown: not all flips below can be put down to "
                "quantization.",
            ),
            "note",
        )
    return joined(
        sentence(_floor(study, row)) for _, row in repeats.head(SHOWN).iterrows()
    )


def _floor(study: Study, row: pd.Series) -> str:
    n, flips = int(row["n"]), int(row["flips"])
    low, high = proportion(flips, n).low, proportion(flips, n).high
    model = study.label(row["a"])
    others = pairs_of(study)
    others = others[(others["kind"] == "finished") & (others["exam"] == row["exam"])]
    against = ", ".join(
        f"{study.label(o['a'])}/{study.label(o['b'])} {o['flips']}/{o['n']}"
        for _, o in others.head(LISTED).iterrows()
    )
    return say(
        study.lang,
        f"ゆらぎの底: {model}を同じ条件で聞き直すと{n}問中{flips}問が入れ替わりました"
        f"（{flips / n:.1%}、95 %区間{low:.1%}–{high:.1%}）。"
        + (f"別のモデルとの入れ替わり: {against}。" if against else ""),
        f"Noise floor: {model} asked again flips {flips} of {n} ({flips / n:.1%}, 95 % "
        f"interval {low:.1%}–{high:.1%})."
        + (f" Flips between models: {against}." if against else ""),
    )


LISTED = 6


def shown_word(pvalue: float, lang: str) -> str:
    """Whether non-inferiority was shown; the opposite of shown is not shown."""
    if pvalue < ONE_SIDED:
        return say(lang, "示された", "shown")
    return say(lang, "示されていない", "not shown")


def margin_points(study: Study) -> str:
    """The margin in points: 2.5 for 0.025."""
    return f"{100 * study.margin:g}"


def _net_ja(net: int) -> str:
    return f"{abs(net)}問減" if net > 0 else f"{abs(net)}問増" if net else "±0問"


def _net_en(net: int) -> str:
    if net == 0:
        return "no net change"
    return f"a net {'loss' if net > 0 else 'gain'} of {abs(net)}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _unsigned(fraction: float | None, digits: int = 1) -> str | None:
    return None if is_missing(fraction) else f"{100 * fraction:.{digits}f}"  # type: ignore[operator]


def _range(low: float, high: float) -> str | None:
    if is_missing(low):
        return None
    return f"{100 * low:+.1f}…{100 * high:+.1f}"


def _budget(flips: float | None, lang: str) -> str:
    if is_missing(flips):
        return say(lang, "どれだけ少なくても不足", "never")
    return f"≤ {int(flips)}"  # type: ignore[arg-type]


def _first(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    return rows[rows["kind"] == kind].head(SHOWN)


def _of_family(rows: pd.DataFrame, family: Family) -> pd.DataFrame:
    members = set(family.pairs)
    kept = [pair in members for pair in zip(rows["a"], rows["b"], strict=True)]
    own = rows[kept]
    return own[(own["kind"] == family.kind) & (own["exam"] == family.exam)]


# --- figures --------------------------------------------------------------------------


def drawn(study: Study) -> pd.DataFrame:
    """The pairs that are worth a picture: the main family, else what there is."""
    rows = pairs_of(study)
    for kinds in (("finished",), ("stopped", "mixed"), tuple(rows["kind"].unique())):
        found = rows[rows["kind"].isin(kinds)]
        if len(found):
            return found
    return rows


@cache
def tables_figure(study: Study) -> Picture | Shown:
    """The 2×2 counts as small multiples."""
    rows = drawn(study)
    return plots_pairs.paired_tables(study, rows) if len(rows) else nothing()


@cache
def barcode(study: Study) -> Picture | Shown:
    """Flips in exam order."""
    rows = drawn(study)
    return plots_pairs.flip_barcode(study, rows) if len(rows) else nothing()


@cache
def forest(study: Study) -> Picture | Shown:
    """Paired differences with their intervals and the margins."""
    rows = forest_pairs(study)
    return plots_pairs.forest(study, rows) if len(rows) else nothing()


def forest_pairs(study: Study) -> pd.DataFrame:
    """The pairs of the forest: the first of each family where not all fit.

    Of a mixed family those with the reference; the tables have all.
    """
    rows = pairs_of(study)
    rows = rows[rows["kind"].isin([*CONCLUSIVE, "repeats"])]
    is_mixed = rows["kind"] == "mixed"
    first = rows[is_mixed].groupby("exam")["a"].first().to_dict()
    rows = rows[~is_mixed | (rows["a"] == rows["exam"].map(first))]
    groups = rows.groupby(["kind", "exam"], sort=False)
    if len(rows) <= SHOWN:
        return rows
    return groups.head(max(1, SHOWN // groups.ngroups))  # each family has its share


def conclusive(study: Study) -> int:
    """How many pairs there are that the forest could show."""
    return int(pairs_of(study)["kind"].isin([*CONCLUSIVE, "repeats"]).sum())


@cache
def power_figure(study: Study) -> Picture | Shown:
    """What this many questions can say."""
    rows = drawn(study)
    rows = rows[rows["flips"] > 0]
    return plots_pairs.power_curves(study, rows) if len(rows) else nothing()


@cache
def patterns_figure(study: Study) -> Picture | Shown:
    """Who got what right, over the first main family."""
    found = _first_patterns(study)
    return plots_pairs.pattern_bars(study, found) if len(found) else nothing()


def pattern_numbers(study: Study) -> set[int]:
    """The questions that the figure of patterns is about."""
    found = _first_patterns(study)
    return {int(found["questions"].sum())} if len(found) else set()


def _first_patterns(study: Study) -> pd.DataFrame:
    main = study.of_kind("finished")
    names = main[0].runs[:MOST_PATTERNED] if main else ()
    return patterns([study.run(name) for name in names])
