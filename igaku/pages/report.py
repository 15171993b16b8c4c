"""The comparison document: Markdown, one self-contained page, and tables as CSV.

Its sections are those of the document that the project grew from. Every sentence is
computed from the runs; every figure says whether it was measured, recorded, published
or is the lab's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from igaku import paths, shown
from igaku.ask.folder import replace
from igaku.pages import findings, models, pairs, strata, tokens
from igaku.pages.tables import frames, put_table
from igaku.params.settings import ROWS, card_rows
from igaku.shown import (
    Picture,
    Shown,
    heading,
    joined,
    kind_of_number,
    mark_words,
    marked,
    nothing,
    say,
    sentence,
    table,
)
from igaku.study import former_scoring as scoring
from igaku.study.runs import Run
from igaku.study.study import CONDITION, Study, condition, role, size_gb

REPORT = "report"
TABLES = "report/tables"
FIGURES = "report/figures"


@dataclass(frozen=True)
class Part:
    """A piece of the document; a picture has a file name and a caption."""

    body: Shown | Picture
    name: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    markdown: Path
    page: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...] = field(default=())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()

    def __repr__(self) -> str:
        return self._shown().text

    def _shown(self) -> Shown:
        folder = self.markdown.parent
        listed = [self.markdown, self.page, *self.tables, *self.figures]
        names = ", ".join(str(path.relative_to(folder)) for path in listed)
        return sentence(names, "note")


def write(study: Study) -> Written:
    """Write `report.md`, `report.html`, tables and figures into the folder of the runs.

    Files of an earlier report are replaced.
    """
    folder = study.folder or paths.OUTPUTS
    document = list(parts(study))
    figures = tuple(_put_figure(folder, part) for part in document if part.name)
    tables = tuple(
        put_table(folder / TABLES, name, frame) for name, frame in frames(study).items()
    )
    markdown, page = folder / f"{REPORT}.md", folder / f"{REPORT}.html"
    replace(markdown, as_markdown(document).encode())
    replace(page, as_html(document, study.lang).encode())
    return Written(markdown, page, tables, figures)


# --- the document ---------------------------------------------------------------------


def parts(study: Study) -> Iterator[Part]:
    """The pieces of the document in order."""
    yield Part(heading(title(study), 1))
    yield Part(_facts(study))
    if not study.runs:
        yield Part(models.nothing_to_show(study.lang))
        return
    yield Part(_kinds(study))
    for number, (name, chapter) in enumerate(CHAPTERS.items(), 1):
        words = CHAPTER_NAMES[name]
        yield Part(heading(f"{number}. {say(study.lang, *words)}", 2))
        yield from chapter(study)


def title(study: Study) -> str:
    """The title: the base model that most variants share, or just models."""
    base = _base(study)
    name = str(base).split("/")[-1] if base else None
    return say(
        study.lang,
        f"{name or 'ローカルモデル'} モデル詳細・量子化比較",
        f"{name or 'Local models'}: the models in detail, and their quantizations "
        "compared",
    )


def _facts(study: Study) -> Shown:
    """When, on which exam, against which line and under which settings."""
    lang, points = study.lang, pairs.margin_points(study)
    head = [say(lang, "項目", "Item"), say(lang, "値", "Value")]
    rows: list[tuple[str, str | None]] = [
        (say(lang, "評価データ", "Exam"), _exams(study))
    ]
    for title, runs in _groups(study):
        rows += [(say(lang, f"評価日 {title}", f"Asked {title}"), _dates(runs))]
        told = _conditions(runs, lang)
        rows += [(say(lang, f"評価条件 {title}", f"Settings {title}"), told)]
    rows += [
        (say(lang, "合格ライン", "Pass line"), _pass_line(study)),
        (say(lang, "非劣性マージン", "Non-inferiority margin"),
         say(lang, f"{points}ポイント", f"{points} points")),
    ]  # fmt: skip
    return table(head, rows, left=(0, 1), lang=lang)


def _groups(study: Study) -> list[tuple[str, list[Run]]]:
    """The variants by exam and kind of number, each group with its heading."""
    groups: dict[str, list[Run]] = {}
    for run in study.variants:
        title = f"[{run.exam}, {kind_of_number(run.origin, study.lang)}]"
        groups.setdefault(title, []).append(run)
    return list(groups.items())


def _dates(runs: Sequence[Run]) -> str | None:
    """First and last day on which questions were asked, as far as it is on record."""
    days = []
    for run in runs:
        told = [run.manifest.get("start"), run.manifest.get("end")]
        days += [str(when)[:10] for when in told if when]
    if not days:
        return None
    first, last = min(days), max(days)
    return first if first == last else f"{first} – {last}"


def _exams(study: Study) -> str:
    names = []
    for exam in study.exams:
        n = max(r.planned or r.asked for r in study.runs if str(r.exam) == exam)
        names.append(f"{exam_name(exam, study.lang)} ({n})")
    return ", ".join(names)


def exam_name(exam: str, lang: str) -> str:
    """An exam in words: the 116th national exam, or the lab's own."""
    if exam.isdecimal():
        number = int(exam) - 1906
        return say(
            lang,
            f"IgakuQA {exam}（第{number}回医師国家試験）",
            f"IgakuQA {exam} (exam {number})",
        )
    if exam == "calibration":
        return say(
            lang, "calibration（labの人工の試験）", "calibration (the lab's own)"
        )
    return exam


def _pass_line(study: Study) -> str:
    lines = []
    for exam in study.exams:
        if not exam.isdecimal():
            continue
        runs = [r for r in study.runs if str(r.exam) == exam and r.is_whole_exam]
        if runs:
            n = runs[0].planned or runs[0].asked
            line = scoring.pass_line(n)
            lines.append(f"{scoring.PASS_MARK:.0%} ({line}/{n}) [{exam}]")
    return ", ".join(lines) or say(study.lang, "なし", "none")


def _conditions(runs: Sequence[Run], lang: str) -> str:
    """The settings of runs; what is not on record says so, and is in no silence."""
    unknown, told = say(lang, "記録なし", "not on record"), []
    for name in CONDITION:
        values = [condition(run)[name] for run in runs]
        known = sorted({v for v in values if isinstance(v, int | float)})
        texts = [str(v) for v in known]
        texts += sorted({str(v) for v in values if v and str(v) not in texts})
        is_choice = name in ("seed", "extra_body")  # None is the server's own there
        texts += [unknown] if None in values and not is_choice else []
        if texts:
            told.append(f"{name} = {' / '.join(texts)}")
    return ", ".join(told)


def _kinds(study: Study) -> Shown:
    """What the labels mean: the kinds of number never mix without one."""
    lang = study.lang
    words = {
        "measured": ("この環境で測定した返答", "replies measured here"),
        "recorded": (
            "他所で記録され取り込まれた回答",
            "answers recorded elsewhere and imported",
        ),
        "published": ("数値だけが公表されたもの", "figures published without answers"),
        "lab": ("内蔵の極小モデルの結果", "the embedded tiny model on its own exam"),
    }
    met = {run.origin for run in study.runs} | {"published"}
    told = [
        f"{kind_of_number(kind, lang)} = {say(lang, *words[kind])}"
        for kind in words
        if kind in met
    ]
    return sentence(say(lang, "、", "; ").join(told) + say(lang, "。", "."), "note")


# --- chapters -------------------------------------------------------------------------


def _audit_chapter(study: Study) -> Iterator[Part]:
    yield Part(models.audits(study))
    yield Part(findings.findings_table(study))


def _common(study: Study) -> Iterator[Part]:
    yield Part(common_card(study))


def _model_list(study: Study) -> Iterator[Part]:
    for number, run in enumerate(study.runs, 1):
        kind = kind_of_number(run.origin, study.lang)
        yield Part(heading(f"{number}. {study.label(run.name)} [{kind}]", 3))
        yield Part(models.model_body(study, run))


def _summary(study: Study) -> Iterator[Part]:
    yield Part(models.reminder(study))
    yield Part(models.overview(study))
    yield from _picture(study, "accuracy", models.accuracy_figure(study))
    yield Part(models.causes(study))
    yield from _picture(study, "sections", models.heatmap(study))
    yield Part(strata.strata_tables(study))
    yield Part(strata.vignette_sentences(study))
    yield Part(strata.kinki_table(study))
    yield from _picture(study, "difficulty", strata.difficulty_figure(study))


def _pairs(study: Study) -> Iterator[Part]:
    yield Part(pairs.warnings(study))
    yield Part(pairs.families(study))
    yield Part(pairs.noise_floor(study))
    yield Part(pairs.gate(study))
    yield from _picture(study, "tables", pairs.tables_figure(study))
    yield Part(pairs.pair_tables(study))
    yield from _picture(study, "flips", pairs.barcode(study))
    yield from _picture(study, "forest", pairs.forest(study))
    yield from _picture(study, "power", pairs.power_figure(study))
    yield from _picture(study, "patterns", pairs.patterns_figure(study))
    yield Part(strata.pattern_table(study))


def _tokens(study: Study) -> Iterator[Part]:
    yield Part(models.reminder(study))
    yield Part(tokens.token_table(study))
    yield from _picture(study, "tokens", tokens.curves_figure(study))
    yield from _picture(study, "distribution", tokens.distribution_figure(study))
    yield from _picture(study, "reasoning", tokens.reasoning_figure(study))
    yield Part(tokens.logrank_table(study))
    yield Part(tokens.right_wrong_table(study))
    yield from _picture(study, "budget", tokens.budget_figure(study))
    yield Part(tokens.budget_table(study))
    yield Part(tokens.rescue_table(study))
    yield Part(tokens.loop_table(study))


def _findings(study: Study) -> Iterator[Part]:
    yield Part(findings.findings(study))


def _cost(study: Study) -> Iterator[Part]:
    yield Part(models.reminder(study))
    yield Part(findings.cost(study))
    yield from _picture(study, "memory", models.memory(study))


def _lines(study: Study) -> Iterator[Part]:
    yield Part(models.reminder(study))
    yield Part(models.lines_table(study))
    yield from _picture(study, "lines", models.pass_lines(study))
    yield Part(findings.reference_rows(study))


def _methods(study: Study) -> Iterator[Part]:
    yield Part(sentence(methods(study)))
    yield Part(_limits(study))


CHAPTERS = {
    "audits": _audit_chapter,
    "common": _common,
    "models": _model_list,
    "summary": _summary,
    "pairs": _pairs,
    "tokens": _tokens,
    "findings": _findings,
    "cost": _cost,
    "lines": _lines,
    "methods": _methods,
}
CHAPTER_NAMES = {
    "audits": ("監査と要点", "Audits, and what was found"),
    "common": ("共通仕様", "What the models share"),
    "models": ("モデル一覧", "The models"),
    "summary": ("比較サマリー", "Comparison"),
    "pairs": ("対の比較", "Pairs"),
    "tokens": ("トークンと上限", "Tokens and the budget"),
    "findings": ("重要な発見", "Findings"),
    "cost": ("コストパフォーマンス", "Cost and performance"),
    "lines": ("合格線と参照", "Pass lines and references"),
    "methods": ("方法", "Methods"),
}
CAPTIONS = {
    "accuracy": ("正答率と95 % Wilson区間、右は空回答の割合（白抜きは状態がOKでない）",
                 "Accuracy with 95 % Wilson intervals; right, blank replies (hollow: "
                 "the "
                 "status is not OK)"),
    "sections": ("区分ごとの正答 / 聞いた数。斜線は未実施",
                 "Correct of asked by section; hatched: not run"),
    "difficulty": ("受験者の正答率の帯ごとの正答率と95 % Wilson区間",
                   "Accuracy by the examinees' accuracy, 95 % Wilson intervals"),
    "tables": ("対の2×2表（共通の問題、McNemar mid-p）",
               "Paired 2×2 tables on the common questions, with McNemar's mid-p"),
    "flips": ("試験の順に並べた正誤の入れ替わり", "Flips in the order of the exam"),
    "forest": ("正答率の差 A − B と90 %（太）・95 %（細）Tango区間",
               "Paired differences A − B with 90 % (thick) and 95 % (thin) Tango "
               "intervals"),
    "power": ("この問題数で言えること: mid-p検定の検出力と、入れ替わりの許容数",
              "What this many questions can say: power of the mid-p test, and flip "
              "budgets"),
    "patterns": ("どの問題を誰が正答したか（全員が聞かれた問題）",
                 "Who got what right, over the questions that all were asked"),
    "tokens": ("まだ終わっていない返答の割合（Kaplan–Meier、"
    "上限で切れた返答は打ち切り）",
               "Share of replies not yet finished (Kaplan–Meier; replies cut by the "
               "budget are censored)"),
    "distribution": ("返答の長さの分布（上限は線）",
                     "How long the replies are, with the budget as a line"),
    "reasoning": ("推論だけの長さの分布（推論のトークン数の記録がある実行）",
                  "How long the reasoning alone is, where its tokens are on record"),
    "budget": ("上限がもっと小さかったら: 正答率と、答えのない返答の割合",
               "Had the budget been smaller: accuracy, and the share without an "
               "answer"),
    "memory": ("サイズと正答率（95 % Wilson区間、帯は基準からの非劣性マージン）",
               "Size against accuracy (95 % Wilson; the band is the margin below the "
               "reference)"),
    "lines": ("正答率と二つの合格線（75 %の線、公式基準）",
              "Intervals against both pass lines: 75 %, and the official ones"),
}  # fmt: skip


def caption(study: Study, name: str) -> Shown:
    """The caption of a figure, with its number and the n of the runs it shows.

    A figure that has nothing to show is not drawn, and has no caption.
    """
    number = list(CAPTIONS).index(name) + 1
    words = say(study.lang, *CAPTIONS[name])
    numbers = sorted(_numbers(study, name))
    if not numbers:
        return nothing()
    first, last = numbers[0], numbers[-1]
    n = f"{first}" if first == last else f"{first}–{last}"
    if name == "forest" and len(pairs.forest_pairs(study)) < pairs.conclusive(study):
        words += say(
            study.lang,
            "。収まらない組は表（CSV）にある",
            "; pairs that do not fit are in the CSV table",
        )
    ja, en = f"図{number}. {words}。n = {n}。", f"Figure {number}. {words}. n = {n}."
    marks = mark_words((study.label(run.name) for run in study.runs), study.lang)
    return sentence(f"{say(study.lang, ja, en)} {marks}".strip(), "note")


def _numbers(study: Study, name: str) -> set[int]:
    """How many questions, or replies, each line of a figure is about."""
    if name in ("tables", "flips", "power"):
        return set(map(int, pairs.drawn(study)["n"]))
    if name == "forest":
        return set(map(int, pairs.forest_pairs(study)["n"]))
    if name == "patterns":
        return pairs.pattern_numbers(study)
    if name in ("tokens", "distribution", "reasoning", "budget"):
        of = "reasoning" if name == "reasoning" else "completion"
        return {len(each.rows) for each in tokens.spendings(study, of)}
    runs = study.variants if name == "memory" else study.runs
    kept = [run for run in runs if run.asked and role(run) != "follow-up"]
    if name in ("difficulty", "lines"):
        kept = [run for run in kept if not run.is_lab]
    return {run.asked for run in kept if name != "memory" or size_gb(run)}


def _picture(study: Study, name: str, drawn: Picture | Shown) -> Iterator[Part]:
    if isinstance(drawn, Picture):
        yield Part(drawn, name)
        yield Part(caption(study, name))
    elif drawn.text:
        yield Part(drawn)


# --- 共通仕様 -------------------------------------------------------------------------


def common_card(study: Study) -> Shown:
    """The rows of the cards that most models share, and who departs from them."""
    runs = [run for run in study.variants if not run.is_lab] or study.variants
    cards = {run.name: dict(card_rows(run.card, study.lang)) for run in runs}
    names = [say(study.lang, ja, en) for _, ja, en in ROWS]
    rows = [row for name in names if (row := _common_row(study, name, cards))]
    head = [say(study.lang, "項目", "Item"), say(study.lang, "値", "Value"),
            say(study.lang, "異なるもの", "Departing from it")]  # fmt: skip
    if not rows:
        none = say(study.lang, "共通の項目はありません。", "The cards share nothing.")
        return sentence(none, "note")
    return table(head, rows, left=(0, 1, 2), lang=study.lang)


def _common_row(
    study: Study, name: str, cards: dict[str, dict[str, str]]
) -> list[str | None] | None:
    """One row of the common card: a value that more than half of the models have."""
    values = [card[name] for card in cards.values() if name in card]
    usual = max(values, key=values.count, default=None)
    if usual is None or 2 * values.count(usual) <= len(cards):
        return None
    others = [
        f"{study.label(run)}: {card[name]}"
        for run, card in cards.items()
        if name in card and card[name] != usual
    ]
    return [name, usual, "; ".join(others) or None]


def _base(study: Study) -> Any:
    runs = [run for run in study.variants if not run.is_lab] or study.variants
    bases = [base for run in runs if (base := run.card.get("base_model"))]
    return max(bases, key=bases.count, default=None)


# --- methods --------------------------------------------------------------------------


def methods(study: Study) -> str:
    """A methods paragraph that can be pasted into a paper, with versions."""
    points, versions = pairs.margin_points(study), _versions()
    runs, exams = len(study.variants), _exams(study)
    settings = "; ".join(
        f"{title} {_conditions(group, study.lang)}" for title, group in _groups(study)
    )
    origin = (
        " ".join(_handled(study)) if study.lang == "en" else "".join(_handled(study))
    )
    words = say(study.lang, *METHODS)
    return words.format(
        runs=runs, exams=exams, settings=settings, origin=origin, points=points,
        versions=versions,
    )  # fmt: skip


METHODS = (
    "{runs}件の実行を{exams}の問題で比べた。設定: {settings}。{origin}"
    "上限で切れた返答・空の返答・サーバーの失敗は正答でないものとして数え、原因を別に"
    "示した。聞いていない問題は誤答に含めない。割合には95 % Wilson区間、同じ問題での"
    "差にはTangoのスコア区間（Newcombeの方法10を併記）、検定にはMcNemarのmid-p"
    "（正確法を併記）を用い、宣言した族の中でHolm法により調整した。3件以上の族では"
    "先にCochranのQを求めた。非劣性はTangoのスコア検定で片側2.5 %、マージンは"
    "{points}ポイントとした。連問はクラスターとして頑健な標準誤差を併記した。"
    "返答の長さは、切れた返答を打ち切りとしたKaplan–Meier法とログランク検定で比べた。"
    "検出力はConnorの式と正確な列挙による。解析: {versions}。",
    "{runs} runs were compared on {exams}. Settings: {settings}. {origin} Replies that "
    "the token budget cut, blank replies and server failures count as not right, with "
    "their causes given apart; questions never asked do not count as wrong. Shares "
    "carry 95 % Wilson intervals, paired differences Tango's score interval "
    "(Newcombe's "
    "method 10 beside it); the test is McNemar's mid-p (exact p beside it), adjusted "
    "by "
    "Holm within declared families, with Cochran's Q before families of three or more. "
    "Non-inferiority was tested by Tango's score test, one-sided 2.5 %, at a margin of "
    "{points} points. Serial questions were taken as clusters for a robust standard "
    "error. Reply lengths were compared by Kaplan–Meier curves with cut replies "
    "censored, and log-rank tests. Power is by Connor's formula and exact enumeration. "
    "Analysed with {versions}.",
)


def _handled(study: Study) -> list[str]:
    """How replies were kept and read, which differs by the kind of the runs."""
    kinds, told = {run.origin for run in study.variants}, []
    if kinds - {"recorded"}:
        told.append(
            say(
                study.lang,
                "返答は全文を保存し、"
                "回答は本文だけから読み取った（推論文からは読まない）。",
                "Replies were kept whole, and answers read from the reply alone, never "
                "from the reasoning.",
            )
        )
    if "recorded" in kinds:
        told.append(
            say(
                study.lang,
                "他所で記録された回答は、記録の採点のまま取り込んだ。",
                "Answers recorded elsewhere were taken over with the grades of their "
                "record.",
            )
        )
    return told


@cache
def _versions() -> str:
    from igaku.ask.manifest import environment

    found = environment()
    wanted = ("igaku", "pandas", "numpy", "scipy", "statsmodels", "matplotlib")
    packages = {k: v for k, v in found["packages"].items() if k in wanted}
    shown_packages = ", ".join(
        f"{name} {version}" for name, version in packages.items()
    )
    commit = found.get("git_commit")
    tail = f", commit {commit[:12]}" if commit else ""
    return f"Python {found['python']}, {shown_packages}{tail}"


def _limits(study: Study) -> Shown:
    """What the document does not show, for these runs."""
    words = []
    if study.exams and not pairs.pairs_of(study)["kind"].eq("repeats").any():
        words.append(
            say(
                study.lang,
                "反復測定がないため、"
                "入れ替わりのうち測定のゆらぎが占める割合は分かりません。",
                "Without repeats, the part of the flips that is noise is unknown.",
            )
        )
    if any(run.origin == "recorded" for run in study.variants):
        words.append(
            say(
                study.lang,
                "記録された回答にはトークン数もfinish_reasonもなく、"
                "空回答の原因は記録からは"
                "決まりません。",
                "The recorded answers hold neither tokens nor finish_reason: why a "
                "reply "
                "is blank is not settled by the record.",
            )
        )
    blind = max((_blind(run) for run in study.variants), default=0)
    if blind:
        words.append(
            say(
                study.lang,
                f"画像を要する{blind}問は画像なしで聞いています。",
                f"{blind} questions that need an image were asked without it.",
            )
        )
    return joined(sentence(text, "note") for text in words)


def _blind(run: Run) -> int:
    return int(run.rows["text_only"].eq(False).fillna(False).sum())


# --- files ----------------------------------------------------------------------------


def as_markdown(document: Sequence[Part]) -> str:
    """The document as Markdown; pictures are files beside it."""
    blocks = []
    for part in document:
        if isinstance(part.body, Picture):
            blocks.append(f"![{marked(part.body.alt)}]({FIGURES}/{part.name}.png)")
        else:
            blocks.append(part.body.markdown)
    return "\n\n".join(filter(None, blocks)) + "\n"


def as_html(document: Sequence[Part], lang: str) -> str:
    """The document as one page that asks nothing of any other host."""
    from igaku.pages.render import page_of

    pieces = [
        shown.as_image(part.body) if isinstance(part.body, Picture) else part.body.html
        for part in document
    ]
    return page_of("igaku: report", "".join(pieces), lang)


def _put_figure(folder: Path, part: Part) -> Path:
    path = folder / FIGURES / f"{part.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert isinstance(part.body, Picture)
    replace(path, part.body.png)
    return path
