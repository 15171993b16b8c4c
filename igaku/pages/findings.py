"""The findings: the study's claims as statements that hold, with tests and causes.

Each is computed; where the numbers do not support a claim, the sentence says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from igaku.pages.models import ALARMS, bounds_sentence, size_text
from igaku.pages.pairs import (
    CONCLUSIVE,
    LEVEL,
    LISTED,
    ONE_SIDED,
    evidence,
    kind_name,
    kinds_of,
    margin_points,
    pairs_of,
    reading,
    verdict_word,
)
from igaku.pages.titles import titled
from igaku.pages.tokens import budget_evidence
from igaku.pages.view import status_word, word
from igaku.params.settings import ROWS
from igaku.shown import (
    Shown,
    escaped,
    figure_of,
    heading,
    is_missing,
    joined,
    say,
    sentence,
    share,
    table,
)
from igaku.study import former_scoring as scoring
from igaku.study.audits import alarms, effort_of, tainting
from igaku.study.former_lines import official
from igaku.study.pairs import SMALL, with_power
from igaku.study.runs import Run
from igaku.study.study import Study, role, size_gb

if TYPE_CHECKING:
    import pandas as pd


def findings_table(study: Study) -> Shown:
    """What was found, a line for each question of the study, to be read first."""
    lang = study.lang
    if not study.variants:
        return Shown("", "")
    first = _announced(study)
    head = [say(lang, "問い", "Question"), say(lang, "答え", "Answer")]
    rows = [
        (say(lang, "監査", "Audits"), _audit_line(study)),
        (say(lang, "完走した実行", "Finished runs"), _finished_line(study)),
        (say(lang, "差", "Differences"), _difference_line(study)),
        (say(lang, "破綻・中断", "Broken or stopped"), _stopped_line(study)),
        (say(lang, "合格線", "Pass lines"), _line_line(study)),
        (say(lang, "メモリ", "Memory"), _memory_line(study)),
    ]
    return first + table(head, rows, titled(lang, "findings"), (0, 1), lang)


def _announced(study: Study) -> Shown:
    """The grave alarms, announced above the findings that they taint, with a link."""
    grave = sum(alarm.is_grave for alarm in alarms(study))
    told = sentence(
        say(
            study.lang,
            f"重大な警告が{grave}件あります。",
            f"Grave alarms: {grave}.",
        ),
        "alarm" if grave else "note",
    )
    words = escaped(say(study.lang, "警告の一覧へ", "See the alarms"))
    link = f' <a href="#{ALARMS}">{words}</a></p>'
    return replace(told, html=told.html.removesuffix("</p>") + link)


def score_reading(study: Study) -> Shown:
    """How far apart the finished runs are, and which runs have no place among them."""
    words = _ranges(study)
    if left := study.of_role("stopped"):
        names = ", ".join(
            f"{study.label(run.name)} {_lost(run)}/{run.asked}" for run in left
        )
        words.append(
            say(
                study.lang,
                f"終わっていない、または破綻した実行は順位に入れません（失った返答）: "
                f"{names}。",
                f"Unfinished and broken runs have no rank (replies lost): {names}.",
            )
        )
    return joined(map(sentence, words))


def _audit_line(study: Study) -> str:
    found = alarms(study)
    grave = [alarm for alarm in found if alarm.is_grave]
    tainted = {name for alarm in grave for name in alarm.runs}
    return say(
        study.lang,
        f"重大な警告{len(grave)}件（{len(tainted)}件の実行に関わる）、"
        f"注意{len(found) - len(grave)}件。",
        f"{len(grave)} grave alarms that touch {len(tainted)} runs, "
        f"{len(found) - len(grave)} notes.",
    )


def _finished_line(study: Study) -> str:
    groups: dict[str, list[str]] = {}
    for run in study.of_role("finished"):
        right = scoring.correct(run.rows)
        told = (
            f"{study.label(run.name)} {right}/{run.asked} ({share(right / run.asked)})"
        )
        groups.setdefault(kinds_of(study, [run.name]), []).append(told)
    shown = [f"[{kind}] {', '.join(runs)}" for kind, runs in groups.items()]
    return "; ".join(shown) or say(study.lang, "なし", "none")


def _difference_line(study: Study) -> str:
    rows, known = _main(study), evidence(study)
    if not len(rows):
        return say(
            study.lang, "比べられる組はありません。", "There is no pair to compare."
        )
    told = [
        _difference_words(study, list(group["a"]), group, known[known["exam"] == exam])
        for exam, group in rows.groupby("exam", sort=False)
    ]
    return say(study.lang, "", " ").join(told)


def _difference_words(
    study: Study, names: list[str], rows: pd.DataFrame, known: pd.DataFrame
) -> str:
    """What the pairs of one exam show, those of one model measured twice left out."""
    points, doubled = margin_points(study), len(rows) - len(known)
    differ = int((known["holm"] < LEVEL).sum())
    fine = int((known["noninferior"] < ONE_SIDED).sum())
    kind = kinds_of(study, names)
    twice = say(
        study.lang,
        f"ほか{doubled}組は返答が同一で、比較になりません。",
        f" {doubled} more have identical replies and compare nothing.",
    )
    return say(
        study.lang,
        f"[{kind}] {len(known)}組のうち差が示されたのは{differ}組（Holm）、"
        f"非劣性（マージン{points}ポイント）が示されたのは{fine}組。",
        f"[{kind}] Of {len(known)} pairs a difference is shown for {differ} (Holm), "
        "and "
        f'"not worse by {points} points" for {fine}.',
    ) + (twice if doubled else "")


def _stopped_line(study: Study) -> str:
    shown = [
        f"{study.label(run.name)} {status_word(scoring.status(run), study.lang)}, "
        + say(study.lang, "失った返答", "lost")
        + f" {_lost(run)}/{run.asked}"
        for run in study.of_role("stopped")
    ]
    return "; ".join(shown) or say(study.lang, "なし", "none")


def _line_line(study: Study) -> str:
    judged = [r for r in study.of_role("finished") if scoring.verdict(r)]
    if not judged:
        return say(
            study.lang,
            "比較するモデルに、医師国家試験を全問解いたものはありません。",
            "none of the models under comparison sat the whole medical exam.",
        )
    mark = f"{scoring.PASS_MARK:.0%}"
    passed = sum(scoring.verdict(run) == "PASS" for run in judged)
    ministry = [o for run in judged if (o := official(run))]
    good = sum(each.passed for each in ministry)
    return say(
        study.lang,
        f"{mark}の線: {len(judged)}件中{passed}件が到達。"
        f"公式基準: {len(ministry)}件中{good}件が合格。",
        f"the {mark} line is reached by {passed} of {len(judged)}, the official "
        f"criterion by {good} of {len(ministry)}.",
    )


def _memory_line(study: Study) -> str:
    saved = savings(study)
    if not saved:
        return _no_sizes(study.lang)
    base, name, least = saved
    return say(
        study.lang,
        f"{study.label(name)}は{study.label(base)}より{_smaller(least, 'ja')}。",
        f"{study.label(name)} is {_smaller(least, 'en')} than {study.label(base)}.",
    )


def _no_sizes(lang: str) -> str:
    return say(
        lang,
        "同じ設定で完走し、サイズの分かる実行が2件ないため、比べられません。",
        "No two runs finished under the same settings with their sizes on record, so "
        "nothing can be compared.",
    )


def _smaller(saved: float, lang: str) -> str:
    """By how much a model is smaller, or larger, than the reference."""
    by = share(abs(saved), 0)
    if saved < 0:
        return say(lang, f"{by}大きい", f"{by} larger")
    return say(lang, f"{by}小さい", f"{by} smaller")


def savings(study: Study) -> tuple[str, str, float] | None:
    """Reference, smallest run of its family, and the share of memory that it saves."""
    done = _sized(study)
    if len(done) < 2:
        return None
    base, least = done[0], min(done, key=lambda run: size_gb(run) or 0)
    if base is least:
        return None
    return base.name, least.name, 1 - (size_gb(least) or 0) / (size_gb(base) or 1)


def _lost(run: Run) -> int:
    return int(scoring.is_lost(run.rows).sum())


# --- the five findings of the seed ----------------------------------------------------


FINDINGS = (
    ("完走したモデルの差", "How the finished models differ"),
    ("フォーマット・量子化と返答", "Format, quantization and replies"),
    ("非エキスパート重みの精度", "The precision of the non-experts"),
    ("メモリと正答率", "Memory and accuracy"),
    ("合格線", "The pass lines"),
)


def findings(study: Study, level: int = 3) -> Shown:
    """The findings in full, in the order in which the study's document gave them."""
    parts = zip(
        FINDINGS, (differences, formats, non_experts, cost_words, verdicts), strict=True
    )
    pieces = []
    for number, (words, body) in enumerate(parts, 1):
        title = f"{number}. {say(study.lang, *words)}"
        pieces += [heading(title, level), body(study)]
    return joined(pieces)


def differences(study: Study) -> Shown:
    """Range of the finished scores, then each pair: shown or not shown."""
    pieces = [sentence(text) for text in _ranges(study)]
    rows = with_power(_main(study).groupby("exam").head(LISTED), study.margin)
    for _, group in rows.groupby("exam", sort=False):
        pieces += [sentence(reading(study, row)) for _, row in group.iterrows()]
        needed = [n for n in group["needed"] if not is_missing(n)]
        if needed:
            kind = kinds_of(study, list(group["a"]))
            pieces.append(sentence(_needed_words(study, kind, min(needed))))
    return joined(pieces) if pieces else sentence(_nothing_finished(study.lang), "note")


def _needed_words(study: Study, kind: str, needed: float) -> str:
    small = f"{100 * SMALL:g}"
    return say(
        study.lang,
        f"[{kind}] {small}ポイントの差の有無を論じるには、この入れ替わりの率では"
        f"{figure_of(needed)}問以上が要ります。「無視できる」とは言えません。",
        f"[{kind}] To speak of a difference of {small} points takes "
        f"{figure_of(needed)} "
        f"questions or more at this rate of flips; that a loss of {small} points can "
        "be "
        "neglected is not shown.",
    )


def _ranges(study: Study) -> list[str]:
    words = []
    for family in study.of_kind("finished"):
        runs = [study.run(name) for name in family.runs]
        scores = [scoring.correct(run.rows) / run.asked for run in runs]
        low, high = min(scores), max(scores)
        kind = kinds_of(study, family.runs)
        words.append(
            say(
                study.lang,
                f"[{kind}] {kind_name('finished', 'ja')}、{word(family.exam, 'ja')}: "
                f"{len(runs)}件の"
                f"正答率は{low:.1%}〜{high:.1%}（最大差{100 * (high - low):.1f}ポ"
                "イント）。",
                f"[{kind}] {len(runs)} finished runs of exam {family.exam} score "
                f"{low:.1%} to "
                f"{high:.1%} (largest difference {100 * (high - low):.1f} points).",
            )
        )
    return words


def _main(study: Study) -> pd.DataFrame:
    rows = pairs_of(study)
    return rows[rows["kind"] == "finished"]


def _nothing_finished(lang: str) -> str:
    return say(
        lang,
        "同じ試験を同じ設定で完走した実行が2件ないため、差は論じられません。",
        "No two runs finished the same exam under the same settings, so differences "
        "cannot be spoken of.",
    )


def formats(study: Study) -> Shown:
    """Format and quantization beside blank replies and errors, run by run."""
    lang = study.lang
    head = say(
        lang,
        "モデル|フォーマット|量子化|サイズ|返答|空回答|APIエ"
        "ラー|切れた・失った割合（95 %区間）",
        "Model|Format|Quantization|Size|Replies|Blank|API errors|Lost (95 % interval)",
    )
    runs = [run for run in study.variants if run.asked]
    rows = [_format_row(study, run) for run in runs]
    shown = (
        table(head.split("|"), rows, left=(0, 1, 2), lang=lang)
        if rows
        else Shown("", "")
    )
    return joined([shown, _healthy(study), budget_evidence(study)])


def _healthy(study: Study) -> Shown:
    """Which runs lose no reply and which broke, and what their cards differ in."""
    runs = [run for run in study.variants if run.asked and not run.is_lab]
    runs = runs or [run for run in study.variants if run.asked]
    whole = [run for run in runs if not _lost(run)]
    broken = [run for run in runs if scoring.status(run).name == "BROKEN"]
    if not whole or not broken:
        return Shown("", "")

    def told(listed: Sequence[Run]) -> str:
        return ", ".join(
            f"{study.label(run.name)} ({run.card.get('format', '–')}, {size_text(run)})"
            for run in listed
        )

    found = _differing(study, [*whole, *broken])
    return sentence(
        say(
            study.lang,
            f"失った返答のない実行: {told(whole)}。破綻した実行: {told(broken)}。"
            f"カードの上でこれらの間に違いのある項目: {found}。"
            "どれが原因かは、この並びだけでは決まりません。",
            f"Without a lost reply: {told(whole)}. Broken: {told(broken)}. What their "
            f"cards differ in: {found}. This list alone does not settle which of them "
            "is the cause.",
        )
    )


def _differing(study: Study, runs: Sequence[Run]) -> str:
    """The rows of the cards in which these runs differ, by their headings."""
    told = ("base_model", "huggingface_id", "format", "quantization", "engine")
    names = [
        say(study.lang, ja, en)
        for key, ja, en in ROWS
        if key in told and len({str(run.card.get(key)) for run in runs}) > 1
    ]
    return ", ".join(names) or say(study.lang, "なし", "nothing")


def _format_row(study: Study, run: Run) -> list[object]:
    lost, n = _lost(run), run.asked
    low, high = scoring.interval(lost, n)
    return [
        study.label(run.name), run.card.get("format"), run.card.get("quantization"),
        size_text(run), n,
        int(scoring.blank(run.rows).sum()),
        int((run.rows["outcome"] == "api_error").sum()),
        f"{lost}/{n} = {lost / n:.1%} ({low:.1%}–{high:.1%})",
    ]  # fmt: skip


def non_experts(study: Study) -> Shown:
    """The one pair that differs in the non-experts alone, and what confounds it."""
    pair = _twins(study)
    if pair is None:
        return sentence(
            say(
                study.lang,
                "エキスパート以外の精度だけが違う組（…Q8と…Q4）がそろっていません。",
                "There is no pair that differs in the non-experts alone (…Q8 and …Q4).",
            ),
            "note",
        )
    eight, four = pair
    rows = pairs_of(study)
    found = rows[
        rows["a"].isin([eight.name, four.name])
        & rows["b"].isin([eight.name, four.name])
    ]
    found = found[found["kind"].isin(CONCLUSIVE)]
    pieces = []
    if len(found):
        row = with_power(found.head(1), study.margin).iloc[0]
        pieces.append(sentence(reading(study, row)))
    else:
        pieces.append(sentence(_untested(study, eight, four), "note"))
    for run in pair:
        if any(a.is_grave and a.kind in IDENTITY for a in tainting(study, run.name)):
            pieces.append(sentence(_tainted(study, run), "alarm"))
    pieces.append(sentence(_twin_words(study, eight, four)))
    return joined(pieces)


IDENTITY = ("identical_replies", "other_model", "wrong_weights")


def _untested(study: Study, eight: Run, four: Run) -> str:
    names = f"{study.label(eight.name)} / {study.label(four.name)}"
    return say(
        study.lang,
        f"{names}: 設定や問題が異なるため、この組では検定しません。",
        f"{names}: their settings or questions differ, so this pair is not tested.",
    )


def _twins(study: Study) -> tuple[Run, Run] | None:
    """Two variants whose experts are alike and whose non-experts have 8 and 4 bits."""

    def with_(suffix: str) -> Run | None:
        found = (
            run
            for run in study.variants
            if not run.is_lab
            and run.asked
            and str(run.card.get("quantization", "")).startswith("MXFP4")
            and suffix in str(run.card.get("quantization"))
        )
        return next(found, None)

    eight, four = with_("Q8"), with_("Q4")
    return (eight, four) if eight and four else None


def _tainted(study: Study, run: Run) -> str:
    return say(
        study.lang,
        f"{study.label(run.name)}にはどの重みが答えたかの警告があるため、"
        "この組は非エキスパート重みの効果の証拠になりません。",
        f"An alarm stands against which weights answered as {study.label(run.name)}, "
        "so "
        "this pair is no evidence of what the non-experts do.",
    )


def _twin_words(study: Study, eight: Run, four: Run) -> str:
    blank = [f"{int(scoring.blank(r.rows).sum())}/{r.asked}" for r in (eight, four)]
    efforts = [effort_of(run)[0] for run in (eight, four)]
    if None in efforts:
        effort_ja = "エンジンの版や推論の強さが同じだったかは記録にありません。"
        effort_en = "Whether engine and reasoning effort were alike is not on record."
    else:
        effort_ja = f"推論の強さ: {efforts[0]}と{efforts[1]}。"
        effort_en = f"Reasoning effort: {efforts[0]} and {efforts[1]}."
    return say(
        study.lang,
        f"空回答: {study.label(eight.name)} {blank[0]}、{study.label(four.name)} "
        f"{blank[1]}。カード上の違いは非エキスパート重み（attention、埋め込み、"
        "出力層）の"
        f"ビット数です。{effort_ja}",
        f"Blank replies: {study.label(eight.name)} {blank[0]}, "
        f"{study.label(four.name)} "
        f"{blank[1]}. By their cards they differ in the bits of the non-expert weights "
        f"(attention, embedding, output layer). {effort_en}",
    )


def cost(study: Study) -> Shown:
    """Memory saved against the reference, and the paired difference it comes with."""
    done = _sized(study)
    if len(done) < 2:
        return cost_words(study)
    base, rows, body = done[0], pairs_of(study), []
    for run in done:
        pair = rows[(rows["a"] == base.name) & (rows["b"] == run.name)]
        body.append(_cost_row(study, base, run, pair.iloc[0] if len(pair) else None))
    points = margin_points(study)
    head = say(
        study.lang,
        f"モデル|サイズ|節約（対 {study.label(base.name)}）|正答率|差（候補 − 基準、"
        "ポイント）"
        f"|95 % Tango|非劣性（マージン{points}ポイント）",
        f"Model|Size|Saved (against {study.label(base.name)})|Accuracy"
        f"|Difference (candidate − reference, points)|95 % Tango|Not worse by {points}",
    )
    title = titled(study.lang, "cost")
    shown = table(head.split("|"), body, title, (0, 6), study.lang)
    return shown + cost_words(study)


def cost_words(study: Study) -> Shown:
    """What the smaller models save, and what is shown of the price, in words."""
    done = _sized(study)
    if len(done) < 2:
        return sentence(_no_sizes(study.lang), "note")
    words = [_saving(study, done[0], run) for run in done[1:]]
    return joined(map(sentence, [*words, _cost_verdict(study)]))


def _sized(study: Study) -> list[Run]:
    """The runs of the first main family whose sizes are on record."""
    main = study.of_kind("finished")
    runs = [study.run(name) for name in main[0].runs] if main else []
    return [run for run in runs if size_gb(run)]


def _saving(study: Study, base: Run, run: Run) -> str:
    saved = 1 - (size_gb(run) or 0) / (size_gb(base) or 1)
    gap = 100 * (scoring.correct(run.rows) / run.asked)
    gap -= 100 * (scoring.correct(base.rows) / base.asked)
    a, b = study.label(base.name), study.label(run.name)
    return say(
        study.lang,
        f"{b}は{a}より{_smaller(saved, 'ja')}（{size_text(run)}対{size_text(base)}）。"
        f"正答率の差は{gap:+.1f}ポイント。",
        f"{b} is {_smaller(saved, 'en')} than {a} ({size_text(run)} against "
        f"{size_text(base)}); its accuracy differs by {gap:+.1f} points.",
    )


def _cost_row(study: Study, base: Run, run: Run, pair: Any) -> list[object]:
    saved = 1 - (size_gb(run) or 0) / (size_gb(base) or 1)
    cells: list[object] = [study.label(run.name), size_text(run)]
    cells += [None if run is base else share(saved, 0)]
    cells += [share(scoring.correct(run.rows) / run.asked)]
    if pair is None:
        return [*cells, None, None, None]
    low, high = -100 * pair["tango_high"], -100 * pair["tango_low"]
    verdict = verdict_word(study, pair)
    return [
        *cells,
        f"{round(-100 * pair['difference'], 1) + 0.0:+.1f}",  # -0.0 is a zero
        f"{low:+.1f}…{high:+.1f}",
        verdict,
    ]


def _cost_verdict(study: Study) -> str:
    names, points = [run.name for run in _sized(study)], margin_points(study)
    rows = evidence(study)
    rows = rows[rows["a"].isin(names) & rows["b"].isin(names)]
    fine = int((rows["noninferior"] < ONE_SIDED).sum())
    return say(
        study.lang,
        f"マージン{points}ポイントでの非劣性が示されたのは、主な族の別々の測定"
        f"{len(rows)}組中{fine}組です。"
        "示されていない組では、大きいモデルに利点がないとは言えません。",
        f"Non-inferiority at a margin of {points} points is shown for {fine} of the "
        f"{len(rows)} pairs of separate measurements; where it is not, it cannot be "
        "said that the larger model has no advantage.",
    )


def verdicts(study: Study) -> Shown:
    """Who reaches which line, what unfinished runs could reach, and the reference."""
    runs = [r for r in study.variants if not r.is_lab and r.asked]
    if not runs:
        return sentence(
            say(
                study.lang,
                "比較するモデルに医師国家試験を受けたものはなく、合格線で判定しません。",
                "None of the models under comparison sat the medical exam, so no line "
                "is applied to them.",
            ),
            "note",
        )
    words = [_verdict(study, run) for run in runs]
    words += _published_references(study)
    words.append(
        say(
            study.lang,
            "線に届かないことは得点についての事実で、"
            "能力の上限を示すものではありません。"
            "上限、推論の強さ、欠けた症例文が得点を下げ得ます。",
            "Missing a line is a fact about a score, not a limit of ability: the "
            "budget, "
            "the reasoning effort and missing vignettes can all lower it.",
        )
    )
    return joined(map(sentence, words))


def _verdict(study: Study, run: Run) -> str:
    from igaku.pages.models import line_sentence

    if not run.is_complete:
        return f"{study.label(run.name)}: {bounds_sentence(run, study.lang)}"
    return line_sentence(study, run)


def _published_references(study: Study) -> list[str]:
    """Reference rows that were published as figures only, such as the 120B model's."""
    words = []
    for model in references():
        for section, row in (model.get("sections") or {}).items():
            if not isinstance(row, dict) or row.get("accuracy") is None:
                continue
            words.append(
                say(
                    study.lang,
                    f"参考（published）: {model['label']} はセクション{section}で"
                    f"{row['accuracy']:.1f} %（出典: {model['source']}）。"
                    "回答の記録がないため検定はできません。",
                    f"Reference (published): {model['label']} scored "
                    f"{row['accuracy']:.1f} % on section {section} (source: "
                    f"{model['source']}). No answers are on record, so nothing can be "
                    "tested.",
                )
            )
    return words


def references() -> Sequence[dict[str, Any]]:
    """The models of `params/` that are references and have published figures only."""
    from igaku.params.settings import find_card, slugs

    cards = [model for slug in slugs() if (model := find_card(slug))]
    return [
        {
            "label": (model.values.get("card") or {}).get("label", model.slug),
            "source": (model.values.get("published") or {}).get("source"),
            "sections": (model.values.get("published") or {}).get("sections"),
        }
        for model in cards
        if (model.values.get("card") or {}).get("origin") == "reference"
    ]


def reference_rows(study: Study) -> Shown:
    """GPT-4, ChatGPT and other references beside the models, as a table."""
    from igaku.pages.models import overview

    runs = [run for run in study.runs if role(run) == "reference"]
    if not runs:
        return sentence(
            say(
                study.lang,
                "参照の実行がありません。igaku importでIgakuQAのbaseline_resultsを"
                "取り込むと、GPT-4などが並びます。",
                "There are no reference runs: igaku import takes in IgakuQA's "
                "baseline_results, GPT-4 among them.",
            ),
            "note",
        )
    return overview(study, runs)
