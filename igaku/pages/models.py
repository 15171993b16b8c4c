"""Each model by itself: the audits first, then scores, causes, lines and cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from igaku.ask import health
from igaku.figures import plots, plots_scores
from igaku.figures.plots_study import looks
from igaku.pages.titles import titled
from igaku.pages.view import (
    origin,
    sections,
    status_word,
    weights,
    weights_told,
    weights_word,
    word,
)
from igaku.params.settings import card_rows
from igaku.shown import (
    Picture,
    Shown,
    figure_of,
    heading,
    is_missing,
    joined,
    kind_of_number,
    nothing,
    p_of,
    say,
    sentence,
    share,
    table,
)
from igaku.study import former_scoring as scoring
from igaku.study.audits import alarms, tainting
from igaku.study.former_lines import MOST_KINKI, Official, bounds, official
from igaku.study.runs import Run
from igaku.study.study import Study, role, size_gb

# --- audits ---------------------------------------------------------------------------


def audits(study: Study) -> Shown:
    """All alarms, the grave ones first, or the sentence that there is none."""
    lang, found = study.lang, alarms(study)
    if not study.runs and not found:
        return nothing_to_show(lang)
    if not found:
        clear = say(
            lang, "監査で見つかった警告はありません。", "No audit raised an alarm."
        )
        return _linked(sentence(clear, "note"))
    return _linked(
        joined(
            sentence(alarm.text(lang), "alarm" if alarm.is_grave else "note")
            for alarm in found
        )
    )


def _linked(alarms: Shown) -> Shown:
    """The alarms as a place that the findings link to."""
    return replace(alarms, html=f'<div id="{ALARMS}">{alarms.html}</div>')


ALARMS = "igaku-alarms"


PUBLISHED = ("published_sums", "published_shares", "published_otherwise")


def warned(study: Study, *runs: str, leave_out: Sequence[str] = ()) -> Shown:
    """The grave alarms that taint a result of these runs, to stand above it."""
    grave = [
        alarm
        for alarm in tainting(study, *runs)
        if alarm.is_grave and alarm.kind not in leave_out
    ]
    return joined(sentence(alarm.text(study.lang), "alarm") for alarm in grave)


def nothing_to_show(lang: str) -> Shown:
    """The sentence for a folder without runs."""
    return sentence(
        say(
            lang,
            "実行がまだありません。先にrun.ipynbを実行するか、igaku importで記録された"
            "回答を取り込んでください。",
            "There are no runs yet: execute run.ipynb first, or take in recorded "
            "answers with igaku import.",
        ),
        "alarm",
    )


# --- all models in one table ----------------------------------------------------------


def overview(study: Study, runs: Sequence[Run] | None = None) -> Shown:
    """Every run in one table: score, interval, lost replies, status and card."""
    lang, listed = study.lang, study.runs if runs is None else runs
    if not listed:
        return nothing_to_show(lang)
    head = say(
        lang,
        "#|モデル|監査|種別|試験|重み|正答|正答率|95 %信頼区間|空回答|APIエラー|状態"
        "|75 %の線|フォーマット|量子化|サイズ|HF DL数",
        "#|Model|Audits|Kind|Exam|Weights|Correct|Accuracy|95 % interval|Blank"
        "|API errors|Status|75 % line|Format|Quantization|Size|HF downloads",
    ).split("|")
    rows = [_overview_row(study, run, i) for i, run in enumerate(listed, 1)]
    kept = _known(rows)
    words = (1, 2, 3, 4, 5, 11, 12, 13, 14)
    left = [place for place, i in enumerate(kept) if i in words]
    cells = [[r[i] for i in kept] for r in rows]
    title = titled(lang, "overview") if runs is None else ""
    body = table([head[i] for i in kept], cells, title, left, lang)
    return joined([body, origin(listed, lang), _one_run(listed, lang)])


def _overview_row(study: Study, run: Run, number: int) -> list[object]:
    counts, lang = summary_of(run), study.lang
    asked = counts["asked"]
    low, high = share(counts["low"]), share(counts["high"])
    return [
        number, study.label(run.name), _mark(study, run),
        kind_of_number(run.origin, lang), word(run.exam, lang),
        weights_word(run, lang),
        f"{counts['correct']}/{asked}", share(counts["accuracy"]),
        f"{low}–{high}" if asked else None, counts["blank"], counts["api_errors"],
        status_word(scoring.status(run), lang), _line_word(counts["verdict"], lang),
        run.card.get("format"), run.card.get("quantization"),
        size_text(run),
        figure_of(counts["hf_downloads"]),
    ]  # fmt: skip


def _line_word(verdict: str | None, lang: str) -> str | None:
    return None if is_missing(verdict) else word(verdict, lang)


def size_text(run: Run) -> str | None:
    """The size of a model's weights, with more digits where it is a small one."""
    size = size_gb(run)
    return figure_of(size, 2 if size and size > 0.1 else 4, " GB")


def _mark(study: Study, run: Run) -> str | None:
    """How many grave alarms touch a run, to be seen beside its score."""
    grave = sum(alarm.is_grave for alarm in tainting(study, run.name))
    return f"⚠ {grave}" if grave else None


def reminder(study: Study) -> Shown:
    """Which runs the grave alarms touch, in one line above results that use them."""
    touched = [run for run in study.runs if _mark(study, run)]
    if not touched:
        return nothing()
    names = ", ".join(study.label(run.name) for run in touched)
    return sentence(
        say(
            study.lang,
            f"監査の警告が関わる実行を含みます（冒頭を参照）: {names}。",
            f"Runs that an alarm touches are among these (see the top): {names}.",
        ),
        "alarm",
    )


@cache
def summary_of(run: Run) -> dict[str, Any]:
    """The counts of one run, as `scoring.summary` has them."""
    found = scoring.summary([run]).iloc[0]
    return {str(name): value for name, value in found.items()}


def _known(rows: Sequence[Sequence[object]]) -> list[int]:
    """Columns in which at least one row has something to say."""
    columns = enumerate(zip(*rows, strict=True))
    return [i for i, cells in columns if any(not is_missing(cell) for cell in cells)]


def _one_run(runs: Sequence[Run], lang: str) -> Shown:
    if len(runs) != 1:
        return nothing()
    return sentence(
        say(
            lang,
            "実行は1件だけで、比べる相手がありません。",
            "There is one run only, so there is nothing to compare it with.",
        ),
        "note",
    )


def causes(study: Study) -> Shown:
    """How many replies of every run met each outcome, and the status that follows."""
    runs = study.runs
    if not runs:
        return nothing()
    met = set().union(*(run.rows["outcome"] for run in runs))
    outcomes = [name for name in plots.OUTCOMES if name in met]
    outcomes += sorted(met - set(outcomes))
    first, last = say(study.lang, "モデル|状態", "Model|Status").split("|")
    head = [first, *(word(name, study.lang) for name in [*outcomes, "not_run"]), last]
    body = [_cause_row(study, run, outcomes) for run in runs]
    title = titled(study.lang, "causes")
    shown = table(head, body, title, (0, len(head) - 1), study.lang)
    return shown + _cause_words(study.lang, met)


def _cause_row(study: Study, run: Run, outcomes: list[str]) -> list[object]:
    found = Counter(run.rows["outcome"])
    left = None if run.planned is None else run.planned - run.asked
    numbers = [found[name] for name in outcomes]
    state = status_word(scoring.status(run), study.lang)
    return [study.label(run.name), *numbers, left, state]


def _cause_words(lang: str, met: set[str]) -> Shown:
    """What the outcomes that occur mean, each in a few words."""
    words = {
        "answered": ("答えを読み取れた", "an answer was read"),
        "wrong_cardinality": ("選んだ数が違う", "too many letters, or too few"),
        "unparsable": ("本文はあるが答えがない", "text without an answer"),
        "refused": ("回答を断った", "declined to answer"),
        "truncated": ("トークン上限で切れた", "cut by the token budget"),
        "empty": ("空で、原因の記録がない", "blank, the cause not on record"),
        "api_error": ("サーバーの失敗", "the server failed"),
        "wrong_model": ("別のモデルが答えた", "another model answered"),
    }
    told = [(n, *words[n]) for n in words if n in met]
    ja = "、".join(f"{name} = {meaning}" for name, meaning, _ in told)
    en = ", ".join(f"{name} = {meaning}" for name, _, meaning in told)
    return sentence(
        say(
            lang,
            f"{ja}。未実施（not_run）= 聞いていない（誤答ではない）。"
            "破綻（BROKEN）= 失った返答（truncated, empty, api_error）が確実に"
            f"{health.BROKEN_SHARE:.0%}を超える。",
            f"{en}; not_run = never asked, which is not wrong. BROKEN: lost replies "
            "(truncated, empty, api_error) are surely more than "
            f"{health.BROKEN_SHARE:.0%}.",
        ),
        "note",
    )


def lost_reading(study: Study) -> Shown:
    """How many replies were lost, and by which run most of them."""
    runs = [run for run in study.variants if run.asked]
    if not runs:
        return nothing()
    lost = {run: int(scoring.is_lost(run.rows).sum()) for run in runs}
    worst = max(runs, key=lambda run: lost[run] / run.asked)
    total = f"{sum(lost.values())}/{sum(run.asked for run in runs)}"
    alike = [r for r in runs if lost[r] * worst.asked == lost[worst] * r.asked]
    names = ", ".join(study.label(run.name) for run in alike)
    if not lost[worst]:
        return sentence(
            say(
                study.lang,
                f"失った返答は{total}で、記録のどの実行にもありません。",
                f"Lost replies: {total}; no run on record has one.",
            )
        )
    whole = sum(not n for n in lost.values())
    told = _share_of(lost[worst], worst.asked)
    return sentence(
        say(
            study.lang,
            f"失った返答は計{total}。割合が最も高いのは{names}の{told}、"
            f"一つも失っていない実行は{len(runs)}件中{whole}件です。",
            f"Lost replies: {total} in all, the largest share by {names} with {told}. "
            f"Runs without a lost reply: {whole} of {len(runs)}.",
        )
    )


def _share_of(k: int, n: int) -> str:
    """A share with its counts and its Wilson interval."""
    low, high = scoring.interval(k, n)
    return f"{k}/{n} = {k / n:.1%} ({low:.1%}–{high:.1%})"


def section_reading(study: Study) -> Shown:
    """The section in which the fewest questions were right, over all runs."""
    cells = [
        (row["correct"] / row["asked"], study.label(run.name), str(name), row)
        for run in study.variants
        for name, row in scoring.section_counts(run).iterrows()
        if name != scoring.TOTAL and row["asked"]
    ]
    if not cells:
        return nothing()
    _, label, name, row = min(cells, key=lambda cell: cell[:3])
    told = _share_of(int(row["correct"]), int(row["asked"]))
    return sentence(
        say(
            study.lang,
            f"正答の割合が最も低い区分は{label}の{name}で、{told}。"
            "最も低いものを選んだ値なので、区分の差の検定にはなりません。",
            f"The lowest section is {name} of {label}: {told}. It was picked for being "
            "the lowest, so it is no test of a difference between sections.",
        )
    )


# --- the lines ------------------------------------------------------------------------


def lines_table(study: Study) -> Shown:
    """Every run of a year's exam against the 75 % line and the official lines."""
    lang = study.lang
    runs = [run for run in study.runs if not run.is_lab and run.asked]
    runs = [run for run in runs if role(run) != "follow-up"]
    if not runs:
        return sentence(
            say(
                lang,
                "合格線で判定するのは医師国家試験の実行だけです。",
                "Only runs of the medical exam are held against a pass line.",
            ),
            "note",
        )
    head = say(
        lang,
        "モデル|正答|75 %の線|あと|95 %信頼区間|必修|一般・臨床|禁忌|公式基準",
        "Model|Correct|75 % line|Short by|95 % interval|Compulsory (必修)"
        "|General, clinical|Prohibited (禁忌)|Official",
    ).split("|")
    body = [_line_row(study, run) for run in runs]
    return table(head, body, titled(lang, "lines"), (0, 2, 8), lang)


def _line_row(study: Study, run: Run) -> list[object]:
    counts = summary_of(run)
    found = official(run)
    low, high = share(counts["low"]), share(counts["high"])
    return [
        study.label(run.name), f"{counts['correct']}/{counts['asked']}",
        _line_word(counts["verdict"], study.lang)
        or say(study.lang, "判定なし", "not judged"),
        figure_of(counts["short"]), f"{low}–{high}",
        *(_part_cells(found) if found else [None, None, None]),
        _official_word(found, study.lang),
    ]  # fmt: skip


def _part_cells(found: Official) -> list[object]:
    parts = (found.compulsory, found.rest)
    return [
        *(f"{p.points}/{p.possible} (≥ {p.line})" for p in parts),
        f"{len(found.kinki)} (≤ {MOST_KINKI})",
    ]


def _official_word(found: Official | None, lang: str) -> str:
    if found is None:
        return say(lang, "判定なし", "not judged")
    if found.passed:
        return say(lang, "合格", "pass")
    return say(lang, "不合格", "fail")


def line_sentence(study: Study, run: Run) -> str:
    """What a run's score says about the lines, and what an unfinished one could reach.

    The 75 % line is the study's own; an interval that includes it is said to do so.
    """
    label = study.label(run.name)
    if not run.is_complete:
        return f"{label}: {bounds_sentence(run, study.lang)}"
    if not run.is_whole_exam:
        return f"{label}: " + say(
            study.lang,
            "試験の一部だけの実行なので、合格線では判定しません。",
            "a part of the exam only, so no line is applied.",
        )
    parts = [
        _share_sentence(run, study.lang),
        _lost_sentence(run, study.lang),
        official_sentence(run, study.lang),
    ]
    return f"{label}: " + say(study.lang, "", " ").join(filter(None, parts))


def _share_sentence(run: Run, lang: str) -> str:
    from scipy.stats import binomtest

    n, right = run.asked, scoring.correct(run.rows)
    line, short = scoring.pass_line(n), scoring.points_short(run)
    low, high = scoring.interval(right, n)
    side = "less" if right < scoring.PASS_MARK * n else "greater"
    p = binomtest(right, n, scoring.PASS_MARK, alternative=side).pvalue
    within = low <= scoring.PASS_MARK <= high
    told = f"{line}/{n}, {scoring.PASS_MARK:.0%}"
    ja = f"合格線（{told}）" + (f"まであと{short}問" if short else "に到達")
    en = f"the line ({told}) is " + (
        f"missed by {short} questions" if short else "reached"
    )
    return say(
        lang,
        f"{ja}。95 %区間{low:.1%}–{high:.1%}は線を{'含み' if within else '含まず'}、"
        f"片側正確二項検定{p_of(p)}。",
        f"{en}; the 95 % interval {low:.1%}–{high:.1%} "
        f"{'includes' if within else 'excludes'} it (one-sided exact binomial "
        f"{p_of(p)}).",
    )


def _lost_sentence(run: Run, lang: str) -> str:
    """How far the lost replies of a complete run could have carried it, at the most."""
    found = bounds(run)
    if found is None or not found.cut:
        return ""
    best = f"{found.highest_uncut}/{found.planned}"
    return say(
        lang,
        f"失った返答{found.cut}件がすべて正答だったとしても{best}。",
        f"Had all {found.cut} lost replies been right, it would be {best}.",
    )


def official_sentence(run: Run, lang: str) -> str:
    """The three-part verdict of a complete run in words; empty where there is none."""
    found = official(run)
    if found is None:
        return ""
    ja = f"公式基準: 必修{_part_words(found.compulsory, 'ja')}、"
    ja += f"一般・臨床{_part_words(found.rest, 'ja')}、"
    ja += f"禁忌の選択{_kinki_words(found, 'ja')}（{MOST_KINKI}問まで可）。"
    ja += f"判定: {_official_word(found, 'ja')}。"
    en = f"Official criterion: compulsory {_part_words(found.compulsory, 'en')}, "
    en += f"general and clinical {_part_words(found.rest, 'en')}, prohibited choices "
    en += f"{_kinki_words(found, 'en')} (up to {MOST_KINKI} are allowed). "
    en += f"Verdict: {_official_word(found, 'en')}."
    return say(lang, ja, en) + _unsure(found, lang)


def _part_words(part: Any, lang: str) -> str:
    gap = say(lang, f"、あと{part.short}点", f", {part.short} points short")
    shown = f"{part.points}/{part.possible}"
    inside = say(lang, f"基準{part.line}", f"line {part.line}")
    return say(
        lang,
        f"{shown}（{inside}{gap if part.short else ''}）",
        f"{shown} ({inside}{gap if part.short else ''})",
    )


def _kinki_words(found: Official, lang: str) -> str:
    names = ", ".join(found.kinki)
    inside = f" ({names})" if names else ""
    return say(lang, f"{len(found.kinki)}問{inside}", f"{len(found.kinki)}{inside}")


def _unsure(found: Official, lang: str) -> str:
    told = ""
    if not found.is_verified:
        told += say(
            lang,
            "この年の基準は公式発表で確認できていません。",
            " The lines of this year could not be verified in the announcement.",
        )
    if found.hinges:
        names = ", ".join(found.hinges)
        told += say(
            lang,
            f"{names}の扱い（誤答なら採点から除外とされる）次第で判定が変わります。",
            f" The verdict hinges on {names}, said to be struck when wrong.",
        )
    return told


def bounds_sentence(run: Run, lang: str) -> str:
    """What a run that did not ask everything has, and what it could still reach."""
    found = bounds(run)
    right, asked = scoring.correct(run.rows), run.asked
    if found is None:
        return say(
            lang,
            f"正答{right}/{asked}。全体の問題数は記録にありません。",
            f"{right} of {asked} right; how many were to be asked is not on record.",
        )
    line = scoring.pass_line(found.planned)
    reach = found.highest >= line
    return say(
        lang,
        f"正答{right}/{asked}、残り{found.unasked}問は未実施（誤答ではない）。"
        f"最終得点は{right}〜{found.highest}/{found.planned}の範囲で、"
        f"75 %（{line}問）には{'まだ届き得ます' if reach else '届きません'}。",
        f"{right} of {asked} right, {found.unasked} not asked (which is not wrong): "
        "the "
        f"final score lies between {right} and {found.highest} of {found.planned}, so "
        f"75 % ({line}) {'can still' if reach else 'cannot'} be reached.",
    )


# --- one model ------------------------------------------------------------------------


def model(study: Study, run: Run, level: int = 3) -> Shown:
    """One run whole: alarms, card, section table, causes, lines, published figures."""
    lang = study.lang
    title = f"{study.label(run.name)} [{kind_of_number(run.origin, lang)}]"
    return heading(title, level) + model_body(study, run)


def model_body(study: Study, run: Run) -> Shown:
    """What stands below the heading of one model."""
    lang = study.lang
    pieces = [warned(study, run.name), card(run, lang)]
    pieces += [weights_told(run, lang), weights(run, lang)]
    pieces += [sections(run, lang), _outcome_line(run, lang)]
    if not run.is_lab and role(run) != "follow-up":
        told = line_sentence(study, run) if run.asked else ""
        pieces.append(sentence(told) if told else nothing())
    pieces.append(published(run, lang))
    return joined(pieces)


def models(study: Study) -> Shown:
    """Every run whole, one below the other."""
    return joined(model(study, run) for run in study.runs)


def card(run: Run, lang: str) -> Shown:
    """The card of a run's model as the seed prints it."""
    rows = card_rows(run.card, lang)
    if not rows:
        none = say(lang, "カードはありません。", "There is no card.")
        return sentence(none, "note")
    head = [say(lang, "項目", "Item"), say(lang, "値", "Value")]
    return table(head, rows, left=(0, 1), lang=lang)


def _outcome_line(run: Run, lang: str) -> Shown:
    found = Counter(run.rows["outcome"])
    told = ", ".join(f"{word(name, lang)} {n}" for name, n in found.most_common())
    return sentence(say(lang, f"返答の内訳: {told}。", f"Outcomes: {told}."))


def published(run: Run, lang: str) -> Shown:
    """The figures published of a model, labelled as such, beside those counted here."""
    told = run.published.get("sections") or {}
    if not told:
        return nothing()
    counts = scoring.section_counts(run)
    head = [say(lang, "公表値（published）", "Published"), *told]
    rows = [
        [_published_name(key, lang), *(_shown(s.get(key)) for s in told.values())]
        for key in ("correct", "accuracy", "blank", "api_errors")
        if any(s.get(key) is not None for s in told.values())
    ]
    here = [
        int(row["correct"]) if row["asked"] else None
        for _, row in counts.loc[list(told)].iterrows()
    ]
    name = say(lang, f"ここで数えた正答（{kind_of_number(run.origin, lang)}）",
               f"Correct as counted here ({run.origin})")  # fmt: skip
    shown = table(head, [*rows, [name, *here]], lang=lang)
    words = [
        run.published.get(key) for key in ("verdict", "remark", "failure", "source")
    ]
    told_words = " / ".join(str(word) for word in words if word)
    return shown + sentence(
        say(lang, f"公表: {told_words}", f"Published: {told_words}"), "note"
    )


def _published_name(key: str, lang: str) -> str:
    return scoring.WORDS[lang][key]


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:.1f}%" if isinstance(value, float) else str(value)


# --- figures --------------------------------------------------------------------------


@cache
def accuracy_figure(study: Study) -> Picture | Shown:
    """Accuracy with intervals and the share of blank replies, a row per run."""
    runs = [run for run in study.runs if run.asked and role(run) != "follow-up"]
    if not runs:
        return nothing()
    named = scoring.summary(runs)
    named["label"] = [study.label(run.name) for run in runs]
    look = looks(study)
    return plots.accuracy_intervals(
        runs, named, [look[run.name] for run in runs], study.lang
    )


@cache
def heatmap(study: Study) -> Picture | Shown:
    """Correct of asked by section, what was not run hatched."""
    runs = [run for run in study.runs if run.asked and role(run) != "follow-up"]
    return plots_scores.section_heatmap(study, runs) if runs else nothing()


@cache
def pass_lines(study: Study) -> Picture | Shown:
    """Intervals against the 75 % line and against the official lines."""
    runs = [
        r for r in study.runs if r.asked and not r.is_lab and role(r) != "follow-up"
    ]
    return plots_scores.pass_lines(study, runs) if runs else nothing()


@cache
def memory(study: Study) -> Picture | Shown:
    """Size in memory against accuracy, with intervals and the margin."""
    runs = [run for run in study.variants if run.asked and size_gb(run)]
    return plots_scores.memory_accuracy(study, runs) if len(runs) > 1 else nothing()
