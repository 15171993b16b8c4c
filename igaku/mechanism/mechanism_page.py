"""The mechanism notebook's page: its tables, figures and computed sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from igaku.exam.calibration import EFFORTS
from igaku.exam.questions import Question
from igaku.mechanism.ablation import RECIPE_GRID, Ablation
from igaku.mechanism.mechanism import (
    REFERENCE,
    Effect,
    ask,
    ask_efforts,
    blank_difference,
    effects,
    experts_against_rest,
    replies_of,
    right_within,
    stated,
    stated_within,
)
from igaku.paths import PARAMS
from igaku.shown import (
    Picture,
    Shown,
    joined,
    picture,
    say,
    sentence,
    share,
    table,
    written,
)
from igaku.statistics import Interval, proportion

if TYPE_CHECKING:
    import pandas as pd

OFFSET = 0.03  # bits between the bars of neighbouring components
NAMES = {
    REFERENCE: ("基準", "reference"),
    "recipe": ("レシピ", "recipe"),
    "attention": ("注意", "attention"),
    "embedding": ("埋め込み", "embedding"),
    "lm_head": ("出力層", "lm_head"),
    "router": ("ルーター", "router"),
    "experts": ("エキスパート", "experts"),
    "non-experts": ("エキスパート以外", "non-experts"),
    "all": ("全部", "all"),
}
LOOK: dict[str, tuple[str, str, Any]] = {  # colour, marker and line of each component
    "attention": ("#D55E00", "s", "-"),
    "embedding": ("#009E73", "^", "--"),
    "lm_head": ("#CC79A7", "D", "-."),
    "router": ("#56B4E9", "v", ":"),
    "experts": ("#0072B2", "o", (0, (5, 1))),
    "non-experts": ("#E69F00", "P", (0, (3, 1, 1, 1))),
    "all": ("#222222", "X", "-"),
}


def reference_line(replies: pd.DataFrame, budget: int, lang: str) -> Shown:
    """What the unablated model does, with which everything else is compared."""
    return sentence(_reference(replies, budget, lang))


def _reference(replies: pd.DataFrame, budget: int, lang: str) -> str:
    rows = replies_of(replies, REFERENCE)
    right = int(right_within(rows, budget).sum())
    accuracy = proportion(right, len(rows))
    longest, mean = int(rows["tokens"].max()), rows["tokens"].mean()
    return say(
        lang,
        f"基準（float32）: 上限 {budget} トークンで {len(rows)} 問中 {right} 問正答"
        f"（{accuracy.estimate:.1%}、95 % 区間 {accuracy.low:.1%}〜"
        f"{accuracy.high:.1%}）。返答は平均 {mean:.1f}、最長 {longest} トークン。",
        f"Reference (float32): {right} of {len(rows)} right at the budget of "
        f"{budget} tokens ({accuracy.estimate:.1%}, 95 % interval "
        f"{accuracy.low:.1%} to {accuracy.high:.1%}). Replies take {mean:.1f} "
        f"tokens on average, {longest} at most.",
    )


def effect_table(found: Sequence[Effect], lang: str) -> Shown:
    """All effects, one row per component and precision."""
    head = [
        say(lang, "部位", "component"),
        say(lang, "ビット", "bits"),
        "n",
        say(lang, "正答率", "accuracy"),
        say(lang, "低下（点）と区間", "points lost, interval"),
        say(lang, "平均トークン", "mean tokens"),
        say(lang, "延長と区間", "longer by, interval"),
        say(lang, "上限での空白", "blank at the budget"),
        say(lang, "最後まで未到達", "never final"),
    ]
    rows = [
        (
            _name(e.component, lang),
            e.bits,
            e.n,
            share(e.right / e.n),
            f"{100 * e.loss:+.1f} {_points(e.loss_interval, 100)}",
            f"{e.tokens:.1f}",
            f"{e.longer:+.1f} {_points(e.longer_interval)}",
            share(e.blank / e.n),
            share(e.unfinished / e.n),
        )
        for e in found
    ]
    return table(head, rows)


def _points(interval: Interval, scale: float = 1) -> str:
    low, high = (scale * limit for limit in interval)
    return f"[{low:+.1f}, {high:+.1f}]"


def _name(component: str, lang: str) -> str:
    return say(lang, *NAMES[component])


def _named(found: Sequence[Effect], lang: str) -> str:
    unit = say(lang, "ビット", "-bit")
    parts = [
        str(e.bits)
        if e.component == "recipe"
        else f"{_name(e.component, lang)} {e.bits}{unit}"
        for e in found
    ]
    return say(lang, "、", ", ").join(parts)


@dataclass(frozen=True)
class Experiment:
    """All replies of the notebook and what follows from them, under one budget.

    `recipes` are of whole models, `parts` of one part made coarse at a time, `efforts`
    of the case that lost most, at every reasoning effort.
    """

    recipes: pd.DataFrame
    parts: pd.DataFrame
    efforts: pd.DataFrame
    budget: int
    lang: str

    @cached_property
    def recipe_effects(self) -> list[Effect]:
        """What the six recipes do."""
        return effects(self.recipes, self.budget)

    @cached_property
    def part_effects(self) -> list[Effect]:
        """What each part made coarse does."""
        return effects(self.parts, self.budget)


def experiment(
    questions: Sequence[Question], cap: int, effort: str, budget: int, lang: str
) -> Experiment:
    """Every question asked of every recipe, every part and every effort."""
    recipes = ask(questions, cap, effort, RECIPE_GRID)
    parts = ask(questions, cap, effort)
    chosen = worst_cases(effects(parts, budget))
    return Experiment(recipes, parts, ask_efforts(questions, cap, chosen), budget, lang)


def findings_table(made: Experiment) -> Shown:
    """What was found, a line for each question of the notebook, to be read first."""
    lang, budget, parts = made.lang, made.budget, made.part_effects
    head = [say(lang, "問い", "Question"), say(lang, "答え", "Answer")]
    rows = [
        (say(lang, "基準", "Reference"), _reference(made.recipes, budget, lang)),
        (say(lang, "六つのレシピ", "Recipes"), _breaking(made.recipe_effects, lang)),
        (say(lang, "壊す部位", "What breaks"), _breaking(parts, lang)),
        (say(lang, "長くする部位", "What lengthens"), _lengthening(parts, lang)),
        (
            say(lang, "エキスパートとそれ以外", "Experts and the rest"),
            _experts_against_rest(made.parts, parts, budget, lang),
        ),
        (say(lang, "上限と空白", "Budget and blanks"), _blanking(parts, budget, lang)),
        (
            say(lang, "推論の強さ", "Effort"),
            _effort_words(made.efforts, budget, lang),
        ),
    ]
    return table(head, rows, left=(0, 1)) + sentence(limits(parts, lang), "note")


def part_findings(
    replies: pd.DataFrame, found: Sequence[Effect], budget: int, lang: str
) -> Shown:
    """What each part does to accuracy and length, and the experts against the rest."""
    texts = (
        _breaking(found, lang),
        _lengthening(found, lang),
        _experts_against_rest(replies, found, budget, lang),
        limits(found, lang),
    )
    return joined(map(sentence, texts))


def blank_findings(found: Sequence[Effect], budget: int, lang: str) -> Shown:
    """Which case leaves most blanks, and what a larger budget would bring back."""
    return sentence(_blanking(found, budget, lang))


def recipe_findings(found: Sequence[Effect], lang: str) -> Shown:
    """What the six recipes do to this model."""
    texts = (
        _breaking(found, lang),
        _lengthening(found, lang),
        _coarse_recipes(found, lang),
        limits(found, lang),
    )
    return joined(map(sentence, texts))


def _coarse_recipes(found: Sequence[Effect], lang: str) -> str:
    """What the recipes published as broken on the 20B do to this model."""
    coarse = [e for e in found if e.bits in broken_recipes()]
    listed = say(lang, "、", ", ").join(f"{e.bits} {e.blank}/{e.n}" for e in coarse)
    return say(
        lang,
        f"公表された比較で BROKEN とされた {len(coarse)} 通りのレシピの空白は、"
        f"ここでは {listed} です。",
        f"The {len(coarse)} recipes published as BROKEN on the 20B leave {listed} "
        "blank here.",
    )


def worst_cases(found: Sequence[Effect]) -> tuple[Ablation, ...]:
    """The reference, the case that left most blanks, and its experts alone."""
    worst = max(found, key=lambda e: (e.blank, e.loss))
    rest = [e for e in found if e.component == "experts" and e.bits == worst.bits]
    chosen = [worst, *(e for e in rest if e != worst)]
    return (Ablation(REFERENCE), *(Ablation(e.component, e.bits) for e in chosen))


def _breaking(found: Sequence[Effect], lang: str) -> str:
    shown = [e for e in found if e.breaks]
    rest = [e for e in found if not e.breaks]
    if not shown:
        return say(
            lang,
            f"正答率の低下は、{len(found)}通りのどれでも示されませんでした。",
            f"A loss of accuracy is shown for none of the {len(found)} cases.",
        )
    worst = max(shown, key=lambda e: e.loss)
    low, high = (100 * x for x in worst.loss_interval)
    return say(
        lang,
        f"正答率の低下が示されたのは {_named(shown, lang)} です。最大は "
        f"{_named([worst], lang)} の {100 * worst.loss:.0f} 点"
        f"（{low:.0f}〜{high:.0f}、n={worst.n}）。"
        f"残る {len(rest)} 通りでは示されていません（同じとは言えません）。",
        f"A loss of accuracy is shown for {_named(shown, lang)}. The largest is "
        f"{100 * worst.loss:.0f} points with {_named([worst], lang)} "
        f"({low:.0f} to {high:.0f}, n={worst.n}). For the other {len(rest)} cases none "
        "is shown, which does not say that there is none.",
    )


def _lengthening(found: Sequence[Effect], lang: str) -> str:
    shown = [e for e in found if e.lengthens]
    if not shown:
        return say(
            lang,
            "推論が長くなることは、どの場合でも示されませんでした。",
            "Longer chains are shown for no case.",
        )
    most = max(shown, key=lambda e: e.longer)
    low, high = most.longer_interval
    return say(
        lang,
        f"推論が長くなると示されたのは {_named(shown, lang)} です。最大は "
        f"{_named([most], lang)} の平均 {most.longer:.0f} トークン"
        f"（{low:.0f}〜{high:.0f}）。",
        f"Longer chains are shown for {_named(shown, lang)}; the longest with "
        f"{_named([most], lang)}, by {most.longer:.0f} tokens on average "
        f"({low:.0f} to {high:.0f}).",
    )


def _blanking(found: Sequence[Effect], budget: int, lang: str) -> str:
    worst = max(found, key=lambda e: e.blank)
    if not worst.blank:
        return say(
            lang,
            f"上限 {budget} トークンで空白になった返答はありません。",
            f"No reply is blank at the budget of {budget} tokens.",
        )
    later = worst.blank - worst.unfinished
    interval = proportion(worst.blank, worst.n)
    return say(
        lang,
        f"上限 {budget} トークンで空白が最も多いのは {_named([worst], lang)} で、"
        f"{worst.n} 問中 {worst.blank} 問"
        f"（{interval.low:.0%}〜{interval.high:.0%}）。"
        f"うち {later} 問は上限を延ばせば最終チャネルに達し、"
        f"{worst.unfinished} 問は達しないままでした。",
        f"At the budget of {budget} tokens {_named([worst], lang)} leaves most blanks: "
        f"{worst.blank} of {worst.n} ({interval.low:.0%} to {interval.high:.0%}). "
        f"Given more tokens, {later} of them reach the final channel and "
        f"{worst.unfinished} still do not.",
    )


def _experts_against_rest(
    replies: pd.DataFrame, found: Sequence[Effect], budget: int, lang: str
) -> str:
    """The seed's claim held against this model: non-experts matter more."""
    bits = min(int(e.bits) for e in found)
    gap = experts_against_rest(replies, bits, budget)
    low, high = (100 * limit for limit in gap.tango)
    points = 100 * gap.estimate
    if gap.tango[0] > 0:
        verdict = say(lang, "示されました", "is shown")
    else:
        verdict = say(lang, "示されていません", "is not shown")
    return say(
        lang,
        f"エキスパートだけを {bits} ビットにした場合と、それ以外だけを {bits} ビットに"
        f"した場合とで、正答率の差は {points:+.0f} 点"
        f"（95 % 区間 {low:+.0f}〜{high:+.0f}）。"
        f"エキスパート以外の精度の方が効くことは、このモデルで{verdict}。",
        f"With the experts alone at {bits} bits, accuracy is {points:+.0f} points from "
        f"that with all else at {bits} bits (95 % interval {low:+.0f} to {high:+.0f}). "
        f"That the precision of the non-experts matters more {verdict} for this model.",
    )


def limits(found: Sequence[Effect], lang: str) -> str:
    """How far the intervals reach, and of what the numbers speak."""
    n = min(e.n for e in found)
    level = 1 - 0.05 / len(found)
    return say(
        lang,
        f"区間は {len(found)} 通り全体で 95 %（一つずつは {level:.2%}）、n={n}。"
        "数字は内蔵の小さなモデルについてのもので、20B については何も言いません。",
        f"Intervals hold together at 95 % over {len(found)} cases ({level:.2%} each), "
        f"n={n}. The numbers speak of the tiny embedded model and not of the 20B.",
    )


def broken_recipes() -> set[str]:
    """The recipes of the models whose published status is BROKEN, from `params/`.

    A lab model names in its card the one of the study whose recipe it has.
    """
    import yaml

    recipes = set()
    for path in sorted((PARAMS / "lab").glob("*.yaml")):
        card = yaml.safe_load(path.read_text(encoding="utf-8"))["card"]
        study = yaml.safe_load((PARAMS / f"{card['study']}.yaml").read_text("utf-8"))
        if study["published"]["verdict"] == "BROKEN":
            recipes.add(card["recipe"])
    return recipes


def effort_finding(replies: pd.DataFrame, budget: int, lang: str) -> Shown:
    """What more effort does to the unquantized model's length and blanks."""
    return sentence(_effort_words(replies, budget, lang))


def _effort_words(replies: pd.DataFrame, budget: int, lang: str) -> str:
    rows = replies[replies["component"] == REFERENCE]
    by = {e: rows[rows["effort"] == e].set_index("problem_id") for e in EFFORTS}
    low, high = by["low"], by["high"].loc[by["low"].index]
    longer = float((high["tokens"] - low["tokens"]).mean())
    blank = {e: int((~stated_within(r, budget)).sum()) for e, r in by.items()}
    gap = blank_difference(high, low, budget)
    points, ends = 100 * gap.estimate, [100 * limit for limit in gap.tango]
    verdict = (
        say(lang, "示されました", "is shown")
        if gap.tango[0] > 0
        else say(lang, "示されていません", "is not shown")
    )
    listed = say(lang, "、", ", ").join(f"{e} {k}" for e, k in blank.items())
    return say(
        lang,
        f"量子化しないモデルでも、low から high にすると返答は平均 {longer:.0f} "
        f"トークン長くなり、上限 {budget} での空白（n = {len(low)}）は {listed} 問"
        f"でした。差は {points:+.0f} 点（95 % 区間 {ends[0]:+.0f}〜{ends[1]:+.0f}）"
        f"で、推論の強さだけで空白が増えることは{verdict}。",
        f"Unquantized, going from low to high effort makes replies {longer:.0f} "
        f"tokens longer on average; blank at the budget of {budget} (n = "
        f"{len(low)}): {listed}. The difference is {points:+.0f} points (95 % "
        f"interval {ends[0]:+.0f} to {ends[1]:+.0f}): that effort alone makes "
        f"blanks {verdict}.",
    )


def effort_table(replies: pd.DataFrame, budget: int, lang: str) -> Shown:
    """Every effort and case under one budget: how effort alone makes blanks."""
    head = [
        say(lang, "推論の強さ", "effort"),
        say(lang, "部位とビット", "what is coarse"),
        "n",
        say(lang, "正答率", "accuracy"),
        say(lang, "平均トークン", "mean tokens"),
        say(lang, "上限での空白と区間", "blank at the budget, interval"),
        say(lang, "最後まで未到達", "never final"),
    ]
    groups = replies.groupby(["effort", "component", "bits"], sort=False, dropna=False)
    rows = []
    for (effort, component, bits), group in groups:
        blank = int((~stated_within(group, budget)).sum())
        interval = proportion(blank, len(group))
        name = _name(str(component), lang)
        rows.append(
            (
                effort,
                name if component == REFERENCE else f"{name} {bits:g}",
                len(group),
                share(right_within(group, budget).mean()),
                f"{group['tokens'].mean():.1f}",
                f"{interval.estimate:.0%} [{interval.low:.0%}, {interval.high:.0%}]",
                share((~stated(group)).mean()),
            )
        )
    return table(head, rows, left=(0, 1))


def dose_figure(found: Sequence[Effect], lang: str) -> Picture:
    """Accuracy, chain length and blank share against bits, one line per component."""
    from matplotlib.figure import Figure

    from igaku.figures.plots import WIDTH, use_style

    use_style()
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = (
        say(lang, "正答率（%）", "accuracy (%)"),
        say(lang, "延びたトークン", "tokens longer"),
        say(lang, "上限での空白（%）", "blank at the budget (%)"),
    )
    for place, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        _dose_lines(axes, found, place, lang)
        axes.set_title(title)
        axes.set_xlabel(say(lang, "ビット", "bits"))
        axes.set_xticks(sorted({e.bits for e in found}))
        axes.invert_xaxis()
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, ncols=4, loc="outside lower center")
    alt = say(
        lang,
        "部位ごとのビット数と、正答率・推論の長さ・空白の割合",
        "Accuracy, chain length and blank share against the bits of each component",
    )
    return picture(figure, alt)


def _dose_lines(axes: Any, found: Sequence[Effect], place: int, lang: str) -> None:
    """One panel's lines, side by side so that their bars can be told apart."""
    for shift, (component, (colour, marker, line)) in enumerate(LOOK.items(), -3):
        points = [e for e in found if e.component == component]
        doses = [_dose(e)[place] for e in points]
        axes.errorbar(
            [float(e.bits) - OFFSET * shift for e in points],
            [d[0] for d in doses],
            yerr=[[d[1] for d in doses], [d[2] for d in doses]],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=line,
            linewidth=1.2,
            elinewidth=0.6,
            label=_name(component, lang),
        )


def _dose(e: Effect) -> tuple[tuple[float, float, float], ...]:
    """Accuracy %, tokens longer, blank share %: each a value, below and above."""
    low, high = e.longer_interval
    return (
        _percent(e.right, e.n),
        (e.longer, e.longer - low, high - e.longer),
        _percent(e.blank, e.n),
    )


def _percent(k: int, n: int) -> tuple[float, float, float]:
    share = proportion(k, n)
    value = 100 * share.estimate
    return value, value - 100 * share.low, 100 * share.high - value


def dose_caption(found: Sequence[Effect], lang: str) -> Shown:
    """What the bars of the dose figure are."""
    n, level = min(e.n for e in found), 1 - 0.05 / len(found)
    return sentence(
        say(
            lang,
            f"図1. 部位ごとの効果（lab、n = {n}）。割合の棒は 95 % Wilson 区間、"
            f"延びたトークンの棒は対の差の {level:.2%} ブートストラップ区間。",
            f"Figure 1. The effect of each part (lab, n = {n}). Bars are 95 % Wilson "
            f"intervals of shares and {level:.2%} bootstrap intervals of the paired "
            "differences in tokens.",
        ),
        "caption",
    )


def budget_caption(replies: pd.DataFrame, budget: int, lang: str) -> Shown:
    """How the budget figure was made from one run."""
    n = len(replies_of(replies, REFERENCE))
    return sentence(
        say(
            lang,
            f"図2. 上限が K だった場合の空白の割合（lab、各 n = {n}、同じ返答から）。"
            f"縦線は上限 {budget}。K 以内に最終チャネルで終われば数えます。",
            f"Figure 2. Share of blank replies had the budget been K (lab, n = {n} "
            f"each, from the same replies); the line is the budget, {budget}. A reply "
            "counts when it ended in the final channel within K tokens.",
        ),
        "caption",
    )


def budget_figure(
    replies: pd.DataFrame, found: Sequence[Effect], budget: int, lang: str
) -> Picture:
    """Share of blank replies had the budget been K, for the reference and the worst."""
    from matplotlib.figure import Figure

    from igaku.figures.plots import WIDTH, use_style

    use_style()
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    budgets = range(16, int(replies["tokens"].max()) + 1)
    worst = sorted(found, key=lambda e: -e.blank)[:3]
    curves: list[tuple[str, pd.DataFrame, str, Any]] = [
        (_name(REFERENCE, lang), replies_of(replies, REFERENCE), "#777777", ":")
    ]
    for e in worst:
        colour, _, line = LOOK[e.component]
        rows = replies_of(replies, e.component, e.bits)
        curves.append((_named([e], lang), rows, colour, line))
    for label, rows, colour, line in curves:
        blank = [100 * (1 - stated_within(rows, k).mean()) for k in budgets]
        axes.plot(budgets, blank, color=colour, linestyle=line, label=label)
    axes.axvline(budget, color="#777777", linewidth=0.8)
    axes.annotate(say(lang, "上限", "budget"), (budget, 100), ha="left", va="top")
    axes.set_xlabel(say(lang, "トークンの上限", "token budget"))
    axes.set_ylabel(say(lang, "空白（%）", "blank (%)"))
    axes.legend()
    alt = say(
        lang,
        "上限を変えたときの空白の割合",
        "Share of blank replies against the budget",
    )
    return picture(figure, alt)


def sample(replies: pd.DataFrame, found: Sequence[Effect], lang: str) -> Shown:
    """One reply that states nothing, of the case with most, beside the reference's."""
    worst = max(found, key=lambda e: (e.unfinished, e.blank))
    rows = replies_of(replies, worst.component, worst.bits)
    lost = rows[~stated(rows)]
    if lost.empty:
        return sentence(
            say(lang, "答えのない返答はありません。", "Every reply states an answer.")
        )
    problem_id, broken = str(lost.index[0]), str(lost.iloc[0]["text"])
    before = str(replies_of(replies, REFERENCE).loc[problem_id, "text"])
    return joined(
        (
            sentence(f"{problem_id}: {_name(REFERENCE, lang)}"),
            written(before),
            sentence(f"{problem_id}: {_named([worst], lang)}"),
            written(broken),
            sentence(_parting(before, broken, lost.iloc[0]["tokens"], lang)),
        )
    )


def _parting(before: str, broken: str, tokens: int, lang: str) -> str:
    """Where a broken reply leaves the reference's, and how long it goes on."""
    apart = (
        i
        for i, pair in enumerate(zip(before, broken, strict=False))
        if len(set(pair)) > 1
    )
    shared = next(apart, min(len(before), len(broken)))
    return say(
        lang,
        f"基準の返答 {len(before)} 字のうち最初の {shared} 字まで同じで、そこで分かれ、"
        f"{tokens} トークンを生成しても答えに達しませんでした。",
        f"It is the reference's reply for {shared} of its {len(before)} characters, "
        f"parts there, and states no answer within the {tokens} tokens it generated.",
    )
