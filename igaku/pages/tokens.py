"""Tokens in words: how long replies are, what the budget cut, and what rescued it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from igaku.figures import plots_tokens
from igaku.pages.titles import titled
from igaku.shown import (
    Picture,
    Shown,
    figure_of,
    is_missing,
    joined,
    nothing,
    p_cell,
    say,
    sentence,
    share,
    table,
)
from igaku.statistics import proportion
from igaku.study import tokens
from igaku.study.runs import Run
from igaku.study.study import Study, role
from igaku.study.tokens import Counts, Rescue, Spending

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
LOSS = 0.01  # of accuracy, within which a smaller budget is said to suffice


@cache
def spendings(study: Study, of: str = "completion") -> tuple[Spending, ...]:
    """What every run spent on its replies, where tokens or seconds are on record."""
    runs = [run for run in study.runs if role(run) in ("finished", "stopped")]
    found = (tokens.spending(run, of) for run in runs)
    return tuple(each for each in found if each is not None)


def unit_word(unit: str, lang: str) -> str:
    """Tokens or seconds, in a language."""
    return {"tokens": say(lang, "トークン", "tokens"), "seconds": say(lang, "秒", "s")}[
        unit
    ]


def stand_in(study: Study) -> Shown:
    """The sentence that says for which runs seconds stand in for tokens."""
    runs = [each for each in spendings(study) if each.unit == "seconds"]
    if not runs:
        return nothing()
    names = ", ".join(study.label(each.run) for each in runs)
    return sentence(
        say(
            study.lang,
            f"トークン数の記録がないため秒数で代用しています: {names}。"
            "秒数は機械とエンジンに左右され、空の返答は答えに至らなかったもの"
            "（打ち切り）として扱います。",
            f"No tokens are on record, so seconds stand in: {names}. Seconds depend on "
            "machine and engine; a blank reply counts as one that never came to an "
            "answer (censored).",
        ),
        "note",
    )


# --- how long replies are -------------------------------------------------------------


def token_table(study: Study) -> Shown:
    """Length of the replies per run, the cut ones censored, and the share cut."""
    lang, found = study.lang, spendings(study)
    if not found:
        none = say(lang, "トークン数も秒数も記録がありません。",
                   "Neither tokens nor seconds are on record.")  # fmt: skip
        return sentence(none, "note")
    head = say(
        lang,
        "モデル|単位|max_tokens|返答|終わった|切れた・答えのない割合"
        "（95 %区間）"
        "|中央値（95 %区間）|推論の中央値|APIエラー等で除外",
        "Model|Unit|max_tokens|Replies|Finished|Cut or unanswered"
        " (95 % interval)"
        "|Median (95 % interval)|Reasoning, median|Left out (errors)",
    )
    reasoning = {each.run: each for each in spendings(study, "reasoning")}
    rows = [_token_row(study, each, reasoning.get(each.run)) for each in found]
    note = say(lang, "n.e. = 推定できない（切れた返答が多い）。",
               "n.e. = cannot be estimated, too many replies being cut.")  # fmt: skip
    shown = table(head.split("|"), rows, titled(lang, "lengths"), (0, 1), lang)
    return joined([shown, sentence(note, "note"), stand_in(study)])


def _token_row(study: Study, spent: Spending, thought: Spending | None) -> list[object]:
    curve = tokens.survival(spent)
    cut = curve.at_cap
    n = len(spent.rows)
    inner = None
    if thought is not None and thought.unit == "tokens":
        inner = _median(tokens.survival(thought), "tokens")
    return [
        study.label(spent.run), unit_word(spent.unit, study.lang),
        figure_of(spent.budget), n, curve.finished,
        f"{n - curve.finished}/{n} = {share(cut.estimate)} "
        f"({share(cut.low)}–{share(cut.high)})" if n else None,
        _median(curve, spent.unit), inner, spent.left_out,
    ]  # fmt: skip


def _median(curve: tokens.Curve, unit: str) -> str | None:
    """The median of a curve with its interval; more than half cut leaves none."""
    if curve.median is None:
        return None
    middle, low, high = curve.median
    digits = 0 if unit == "tokens" else 2
    if is_missing(middle):
        return None
    ends = [figure_of(end, digits) or "?" for end in (low, high)]
    told = "n.e." if ends == ["?", "?"] else "–".join(ends).replace("?", "n.e.")
    return f"{figure_of(middle, digits)} ({told})"


def length_reading(study: Study) -> Shown:
    """How long the replies are, how many were cut, and whether the runs differ."""
    groups: dict[str, list[Spending]] = {}
    for each in spendings(study):
        groups.setdefault(each.unit, []).append(each)
    words = [_length_words(study, unit, found) for unit, found in groups.items()]
    return joined(map(sentence, [*words, *_logrank_words(study)]))


def _length_words(study: Study, unit: str, found: list[Spending]) -> str:
    curves = [tokens.survival(each) for each in found]
    known = [curve.median[0] for curve in curves if curve.median]
    middles = [middle for middle in known if not is_missing(middle)]
    n = sum(len(each.rows) for each in found)
    cut = n - sum(curve.finished for curve in curves)
    digits, name = (0 if unit == "tokens" else 2), unit_word(unit, study.lang)
    ends = [figure_of(f(middles), digits) for f in (min, max)] if middles else ["–"]
    span = "–".join(dict.fromkeys(map(str, ends)))
    return say(
        study.lang,
        f"{len(found)}件の実行で返答の長さの中央値は{span}{name}、"
        f"打ち切りは計{cut}/{n}。",
        f"Over {len(found)} runs the median reply takes {span} {name}; {cut} of {n} "
        "replies are censored.",
    )


def _logrank_words(study: Study) -> list[str]:
    rows = logranks(study)
    if not len(rows):
        return []
    shown = int((rows["holm"] < LEVEL).sum())
    return [
        say(
            study.lang,
            f"長さが異なることは、{len(rows)}組のうち{shown}組で示されました"
            "（ログランク検定、Holm）。残りの組が同じ長さだとは言えません。",
            f"That lengths differ is shown for {shown} of {len(rows)} pairs (log-rank, "
            "Holm); of the others it does not follow that they are alike.",
        )
    ]


def logrank_table(study: Study) -> Shown:
    """Log-rank tests between runs of one exam that spent in the same unit."""
    lang, rows = study.lang, logranks(study)
    if not len(rows):
        return nothing()
    head = say(lang, "A|B|ログランク p|Holm", "A|B|Log-rank p|Holm")
    from igaku.pages.pairs import SHOWN

    body = [
        [
            study.label(r["a"]),
            study.label(r["b"]),
            p_cell(r["pvalue"]),
            p_cell(r["holm"]),
        ]
        for _, r in rows.groupby(["exam", "unit"]).head(SHOWN).iterrows()
    ]
    more = len(rows) - len(body)
    rest = say(lang, f"ほか{more}組は表（CSV）にあります。",
               f"{more} more pairs are in the CSV table.")  # fmt: skip
    shown = table(head.split("|"), body, titled(lang, "logrank"), (0, 1), lang)
    return shown + sentence(rest, "note") if more else shown


@cache
def logranks(study: Study) -> pd.DataFrame:
    """The log-rank tests of each exam and unit, in one table."""
    import pandas as pd

    groups: dict[tuple[str, str], list[Spending]] = {}
    for each in spendings(study):
        groups.setdefault((str(study.run(each.run).exam), each.unit), []).append(each)
    found = [
        tokens.logrank_pairs(group).assign(exam=exam, unit=unit)
        for (exam, unit), group in groups.items()
        if len(group) > 1
    ]
    found = [frame for frame in found if len(frame)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def right_wrong_table(study: Study) -> Shown:
    """Right against wrong replies: how long each kind is, with a log-rank test."""
    lang, body = study.lang, []
    for spent in spendings(study):
        found = tokens.right_against_wrong(spent)
        if found is None:
            continue
        body.append(_right_wrong_row(study, spent, found))
    if not body:
        return nothing()
    head = say(
        lang,
        "モデル|単位|正答 n|正答の中央値|正答でない "
        "n|正答でない返答の中央値|ログランク p|終わった返答だけの p",
        "Model|Unit|Right n|Right, median|Not right n|Not right, median|Log-rank p"
        "|p, finished replies only",
    )
    return table(head.split("|"), body, titled(lang, "right_wrong"), (0, 1), lang)


def _right_wrong_row(
    study: Study, spent: Spending, found: tokens.RightWrong
) -> list[object]:
    unit = spent.unit
    return [
        study.label(spent.run), unit_word(unit, study.lang), found.right.n,
        _median(found.right, unit), found.wrong.n, _median(found.wrong, unit),
        p_cell(found.pvalue), p_cell(found.finished_pvalue),
    ]  # fmt: skip


def loop_table(study: Study) -> Shown:
    """Long against looping: how many of the cut replies repeat themselves."""
    lang, body = study.lang, []
    for run in study.variants:
        found = loops_of(run)
        if found is None or not len(found):
            continue
        body.append(_loop_row(study, run, found))
    if not body:
        return sentence(
            say(
                lang,
                "推論文の全文が記録されていないため、反復と長考は区別できません。",
                "No whole reasoning texts are on record, so long and looping replies "
                "cannot be told apart.",
            ),
            "note",
        )
    head = say(
        lang,
        "モデル|推論文のある返答|反復している|切れた返答|う"
        "ち反復|最長の反復末尾（字、中央値）"
        "|異なる12字組の割合（中央値）",
        "Model|Replies with reasoning|Looping|Cut replies|Of them looping"
        "|Longest repeated suffix (characters, median)|Distinct 12-grams (median)",
    )
    return table(head.split("|"), body, titled(lang, "loops"), lang=lang)


@cache
def loops_of(run: Run) -> pd.DataFrame | None:
    """Whether each reasoning text repeats itself, where it is whole."""
    return tokens.loops(run)


def _loop_row(study: Study, run: Run, found: pd.DataFrame) -> list[object]:
    cut = found[found["outcome"].isin(["truncated", "empty"])]
    return [
        study.label(run.name), len(found), int(found["looping"].sum()), len(cut),
        int(cut["looping"].sum()), figure_of(found["repeated_suffix"].median()),
        share(found["distinct_share"].median(), 0),
    ]  # fmt: skip


# --- the budget -----------------------------------------------------------------------


@cache
def budget_curves(study: Study) -> tuple[tokens.BudgetCurve, ...]:
    """Accuracy and lost share had the budget been smaller, per run."""
    return tuple(
        tokens.budget_curve(each) for each in spendings(study) if len(each.rows)
    )


def budget_table(study: Study) -> Shown:
    """What a smaller budget would have cost, from the one run that there is."""
    curves = budget_curves(study)
    if not curves:
        return nothing()
    words = []
    for curve in curves:
        if curve.unit == "seconds" and role(study.run(curve.run)) != "finished":
            continue  # seconds at which a broken run went silent are no budget
        least = tokens.smallest_budget(curve, LOSS)
        unit = unit_word(curve.unit, study.lang)
        digits = 0 if curve.unit == "tokens" else 2
        words.append(
            say(
                study.lang,
                f"{study.label(curve.run)}: {figure_of(least, digits)}{unit}あ"
                "れば正答率は"
                f"実際の{share(curve.accuracy[-1])}から{100 * LOSS:g}ポイント以内でした"
                f"（n = {curve.n}）。",
                f"{study.label(curve.run)}: with {figure_of(least, digits)} {unit} the "
                f"accuracy of the replies on record would be within {100 * LOSS:g} "
                "point of the "
                f"{share(curve.accuracy[-1])} it reached (n = {curve.n}).",
            )
        )
    note = say(
        study.lang,
        "Kまでに終わった返答だけを数えています。実際にKで聞いた結果とは、"
        "エンジンの非決定性の分だけ違い得ます。",
        "Only replies that finished within K count. Asking at K itself can differ by "
        "what the engine does not reproduce.",
    )
    return joined(map(sentence, words)) + sentence(note, "note")


@cache
def rescues_of(study: Study) -> tuple[Rescue, ...]:
    """Runs that asked another run's lost questions again, see `tokens.rescues`."""
    return tuple(tokens.rescues(study.runs))


def rescue_table(study: Study) -> Shown:
    """Lost questions asked again: rescued, finished but wrong, still unfinished."""
    lang, found = study.lang, rescues_of(study)
    if not found:
        return sentence(
            say(
                lang,
                "失われた返答を大きな上限で聞き直した実行はありません"
                "（igaku rescue で行えます）。上限が原因かどうかは示されていません。",
                "No run asked lost questions again at a larger budget (igaku rescue "
                "does): that the budget is the cause is not shown.",
            ),
            "note",
        )
    head = say(
        lang,
        "元の実行|聞き直した実行|max_tokens|失った問題|聞き直した|救えた（正答）"
        "|終わったが誤り|なお終わらない|失敗",
        "Run|Asked again by|max_tokens|Lost|Asked again|Rescued (right)"
        "|Finished, wrong|Still unfinished|Failed",
    )
    rows = [row for rescue in found for row in _rescue_rows(study, rescue)]
    words = [sentence(rescue_sentence(study, rescue)) for rescue in found]
    title = titled(lang, "rescue")
    return table(head.split("|"), rows, title, (0, 1), lang) + joined(words)


def _rescue_rows(study: Study, rescue: Rescue) -> list[list[object]]:
    rows = [_counts_row(study, rescue, rescue.rescue, rescue.larger, rescue.counts)]
    if rescue.control and rescue.control_counts:
        rows.append(
            _counts_row(
                study, rescue, rescue.control, rescue.budget, rescue.control_counts
            )
        )
    return rows


def _counts_row(
    study: Study, rescue: Rescue, name: str, budget: int | None, counts: Counts
) -> list[object]:
    asked = counts.asked
    return [
        study.label(rescue.run), _name(study, name), figure_of(budget), rescue.lost,
        asked, f"{counts.rescued} ({share(counts.rescued / asked)})" if asked else None,
        counts.finished_wrong, counts.unfinished, counts.failed,
    ]  # fmt: skip


def _name(study: Study, name: str) -> str:
    known = {run.name for run in study.runs}
    return study.label(name) if name in known else name


def rescue_sentence(study: Study, rescue: Rescue) -> str:
    """What asking again shows of the cause, and what it does not without a control."""
    lang, counts = study.lang, rescue.counts
    if not counts.asked:
        return say(lang, "聞き直した問題はありません。", "Nothing was asked again.")
    saved = proportion(counts.rescued, counts.asked)
    ended = counts.rescued + counts.finished_wrong
    text = say(
        lang,
        f"{study.label(rescue.run)}: 失った{rescue.lost}問のうち{counts.asked}問を"
        f"max_tokens {figure_of(rescue.larger)}で聞き直すと、{ended}問は答え終わり、"
        f"{counts.rescued}問が正答（{share(saved.estimate)}、95 %区間"
        f"{share(saved.low)}–{share(saved.high)}）、{counts.unfinished}問はなお"
        "終わりませんでした。",
        f"{study.label(rescue.run)}: of {rescue.lost} lost questions {counts.asked} "
        "were "
        f"asked again at max_tokens {figure_of(rescue.larger)}: {ended} came to an "
        f"answer, {counts.rescued} of them right ({share(saved.estimate)}, 95 % "
        "interval "
        f"{share(saved.low)}–{share(saved.high)}); {counts.unfinished} still did not "
        "finish.",
    )
    return say(lang, "", " ").join([text, _control_words(rescue, lang)])


def _control_words(rescue: Rescue, lang: str) -> str:
    control = rescue.control_counts
    if control is None or not control.asked:
        return say(
            lang,
            "同じ上限での対照がないため、上限を上げたことの効果と聞き直したことの効果は"
            "分けられません。",
            "There is no control at the same budget, so the larger budget and the mere "
            "asking again cannot be told apart.",
        )
    ended = control.rescued + control.finished_wrong
    return say(
        lang,
        f"同じ上限での対照では{control.asked}問中{ended}問が答え終わりました。",
        f"At the same budget, as a control, {ended} of {control.asked} came to an "
        "answer.",
    )


def budget_evidence(study: Study) -> Shown:
    """Whether the budget is shown to be the cause of lost replies, run by run."""
    lang, words = study.lang, []
    asked_again = {rescue.run: rescue for rescue in rescues_of(study)}
    for run in study.variants:
        cut, lost = _lost(run)
        if not lost:
            continue
        label = study.label(run.name)
        if run.name in asked_again:
            words.append(rescue_sentence(study, asked_again[run.name]))
        else:
            words += [f"{label}: {text}" for text in _cause_words(run, cut, lost, lang)]
    return joined(map(sentence, words))


def _cause_words(run: Run, cut: int, lost: int, lang: str) -> list[str]:
    """What the record says of why replies were lost that nobody asked again."""
    rows = run.rows[run.rows["outcome"] == "empty"]
    silent = int(tokens.end_unknown(rows, run.budget).sum())
    ended, words = lost - cut - silent, []
    if cut:
        words.append(
            say(
                lang,
                f"{cut}件は上限で切れています（finish_reasonまたはトークン数）。"
                "大きな上限での聞き直しはまだなく、原因としては示されていません。",
                f"{cut} replies were cut by the budget (by finish_reason or token "
                "count). They were not asked again at a larger one, so that it is the "
                "cause is not shown.",
            )
        )
    if silent:
        words.append(
            say(
                lang,
                f"空回答{silent}件の原因は記録にありません（トークン数もfinish_reasonも"
                "ない）。「推論が上限を消費した」は聞き直すまで仮説です。",
                f"why {silent} replies are blank is not on record (neither tokens nor "
                "finish_reason). That reasoning ate the budget is a hypothesis until "
                "they are asked again.",
            )
        )
    if ended > 0:
        words.append(
            say(
                lang,
                f"空回答{ended}件は上限より前に自分で終わっています。",
                f"{ended} blank replies ended by themselves, before the budget.",
            )
        )
    return words


def _lost(run: Run) -> tuple[int, int]:
    """Replies that the budget surely cut, and all that are cut or blank."""
    outcomes = run.rows["outcome"]
    cut = int((outcomes == "truncated").sum())
    return cut, cut + int((outcomes == "empty").sum())


# --- figures and tables ---------------------------------------------------------------


@cache
def curves_figure(study: Study) -> Picture | Shown:
    """Kaplan–Meier curves of the replies' lengths."""
    found = spendings(study)
    return plots_tokens.token_curves(study, found) if found else nothing()


@cache
def distribution_figure(study: Study) -> Picture | Shown:
    """How long right, wrong and cut replies are."""
    found = spendings(study)
    return plots_tokens.token_distributions(study, found) if found else nothing()


@cache
def reasoning_figure(study: Study) -> Picture | Shown:
    """How long the reasoning alone is, where its tokens are on record."""
    found = spendings(study, "reasoning")
    return plots_tokens.token_distributions(study, found) if found else nothing()


@cache
def budget_figure(study: Study) -> Picture | Shown:
    """Accuracy and lost share against a smaller budget."""
    curves = budget_curves(study)
    return plots_tokens.budget_curves(study, curves) if curves else nothing()


def frames(study: Study) -> dict[str, pd.DataFrame]:
    """The tables of this page as data, for CSV."""
    import pandas as pd

    lengths = [
        each.rows.assign(run=each.run, unit=each.unit) for each in spendings(study)
    ]
    curves = [
        pd.DataFrame(
            {
                "run": c.run, "unit": c.unit, "budget": c.x, "accuracy": c.accuracy,
                "low": c.low, "high": c.high, "unanswered": c.blank,
            }
        )
        for c in budget_curves(study)
    ]  # fmt: skip
    again = [_rescue_frame(rescue) for rescue in rescues_of(study)]
    found = {
        "lengths": lengths, "budget_curves": curves, "logrank": [logranks(study)],
        "rescues": again,
    }  # fmt: skip
    kept = {k: [f for f in v if len(f)] for k, v in found.items()}
    return {k: pd.concat(v, ignore_index=True) for k, v in kept.items() if v}


def _rescue_frame(rescue: Rescue) -> pd.DataFrame:
    """A rescue and its control as rows of counts."""
    import pandas as pd

    told = [("rescue", rescue.rescue, rescue.larger, rescue.counts)]
    if rescue.control and rescue.control_counts:
        told.append(("control", rescue.control, rescue.budget, rescue.control_counts))
    rows = [
        {
            "run": rescue.run, "kind": kind, "asked_by": name, "max_tokens": budget,
            "lost": rescue.lost, "asked": counts.asked, "rescued": counts.rescued,
            "finished_wrong": counts.finished_wrong, "unfinished": counts.unfinished,
            "failed": counts.failed,
        }
        for kind, name, budget, counts in told
    ]  # fmt: skip
    return pd.DataFrame(rows)
