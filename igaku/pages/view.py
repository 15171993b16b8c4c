"""What the notebooks show, one function per stop of the page.

Every sentence is computed here from the run it speaks of, in the reader's language; no
number is typed into prose.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from igaku import paths
from igaku.ask import health
from igaku.figures import plots
from igaku.shown import (
    MARKS,
    MISSING,
    Picture,
    Shown,
    figure_of,
    folded,
    heading,
    is_missing,
    joined,
    nothing,
    say,
    sentence,
    table,
    written,
)
from igaku.study import former_scoring as scoring
from igaku.study.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from igaku.ask.preflight import Check
    from igaku.exam.questions import Question
    from igaku.params.settings import Settings

SAMPLES = {  # the outcomes behind each kind of reply a reader should see
    "wrong": ("answered",),
    "unparsable": ("unparsable", "wrong_cardinality", "refused", "wrong_model"),
    "blank": ("truncated", "empty"),
    "failed": ("api_error",),
}


# --- words ----------------------------------------------------------------------------

# The files of a run keep the machine's word, so a Japanese page shows both.
WORDS = {
    "answered": "回答あり",
    "wrong_cardinality": "選択数の違い",
    "unparsable": "読み取れず",
    "refused": "回答拒否",
    "truncated": "上限切れ",
    "empty": "原因不明の空",
    "api_error": "サーバー失敗",
    "wrong_model": "別のモデル",
    "not_run": "未実施",
    "calibration": "較正試験",
    "OK": "完了",
    "INCOMPLETE": "途中",
    "BROKEN": "破綻",
    "PASS": "到達",
    "FAIL": "未到達",
}
CAUSES = {"budget": "上限", "api": "サーバー", "output": "空の返答"}


def word(name: object, lang: str) -> str:
    """A word of the record in the reader's language, the record's own beside it.

    >>> word("truncated", "ja"), word("truncated", "en"), word(2022, "ja")
    ('上限切れ（truncated）', 'truncated', '2022')
    """
    known = WORDS.get(str(name))
    return say(lang, f"{known}（{name}）" if known else str(name), str(name))


def status_word(state: scoring.Status, lang: str) -> str:
    """A status with its cause.

    >>> status_word(scoring.Status("BROKEN", "budget"), "ja")
    '破綻（BROKEN、上限 budget）'
    """
    known, cause = WORDS.get(state.name, state.name), state.cause
    why = f"、{CAUSES.get(cause, '')} {cause}" if cause else ""
    return say(lang, f"{known}（{state.name}{why}）", str(state))


# --- the model and its settings -------------------------------------------------------


def settings(chosen: Settings, lang: str = "ja") -> Shown:
    """The name of the model, and the settings of the run as a table."""
    values = chosen.to_dict()
    rows = [(name, _value(v)) for name, v in values.items() if name not in CARDS]
    rows = [(name, _from_root(value)) for name, value in rows]
    head = [say(lang, "設定", "Setting"), say(lang, "値", "Value")]
    return heading(chosen.label, 2) + table(head, rows, left=(0, 1))


CARDS = ("card", "published")


def _from_root(value: str | None) -> str | None:
    """A path inside the checkout without the reader's home folder in front of it."""
    return value and value.replace(f"{paths.ROOT}{os.sep}", "")


def card(chosen: Settings, lang: str = "ja") -> Shown:
    """What is known of the model, and what was published of it elsewhere."""
    from igaku.params.settings import card_rows

    rows = card_rows(chosen.card, lang)
    if not rows:
        unknown = say(
            lang,
            f"{chosen.model} のカードはparams/にありません。",
            f"There is no card for {chosen.model} in params/.",
        )
        return sentence(unknown, "note")
    head = [say(lang, "項目", "Item"), say(lang, "値", "Value")]
    return table(head, rows, left=(0, 1)) + _published(chosen.published, lang)


def _published(published: dict[str, Any], lang: str) -> Shown:
    if "correct" not in published or "questions" not in published:
        return nothing()
    k, n = published["correct"], published["questions"]
    source = published.get("source", say(lang, "出典不明", "source unknown"))
    return sentence(
        say(
            lang,
            f"公表値（published）: {k}/{n} = {k / n:.1%}。出典: {source}",
            f"Published: {k}/{n} = {k / n:.1%}. Source: {source}",
        ),
        "note",
    )


# --- what is asked, and whether it can be -------------------------------------------


def prompt(chosen: Settings, questions: Sequence[Question], lang: str = "ja") -> Shown:
    """How many questions are asked, and the messages that ask the first one."""
    from igaku.ask.asking import plan_of

    plan = plan_of(chosen, questions[:1])
    sizes = Counter(question.section for question in questions)
    each = ", ".join(f"{section} {n}" for section, n in sorted(sizes.items()))
    count = say(
        lang,
        f"{len(questions)}問（{each}）。例題{chosen.shots}問、"
        f"prompt {chosen.prompt}（sha256 {plan.prompt_sha256[:12]}）。",
        f"{len(questions)} questions ({each}), {chosen.shots} worked examples, prompt "
        f"{chosen.prompt} (sha256 {plan.prompt_sha256[:12]}).",
    )
    messages = plan.items[0].chat if plan.items else []
    shown = [sentence(m["role"]) + written(m["content"]) for m in messages]
    title = say(lang, "最初の問題の送信内容", "The first question as it is sent")
    return sentence(count) + folded(title, joined(shown))


def check(found: Check, lang: str = "ja") -> Shown:
    """What was found before the first question."""
    if found.asked is None:
        done = say(
            lang,
            "この実行は終わっています。サーバーには何も送りません。",
            "This run is finished: nothing is sent to the server.",
        )
        return sentence(done, "note")
    names = say(
        lang,
        "サーバー|指定したモデル|返答したモデル|重み|コンテキスト長"
        "|最長の問題 + 上限|試しの返答",
        "Server|Model asked for|Model that answered|Weights|Context length"
        "|Longest prompt + budget|Trial reply",
    )
    values = [
        found.base_url,
        found.model,
        found.served_model,
        word_of_weights(found.weights, found.source, lang),
        figure_of(found.context_length),
        figure_of(found.needed),
        f"{found.said} ({found.asked}, {figure_of(found.seconds, 1)} s)",
    ]
    head = [say(lang, "確認", "Check"), say(lang, "結果", "Found")]
    return table(head, list(zip(names.split("|"), values, strict=True)), left=(0, 1))


# --- one run --------------------------------------------------------------------------


def result(run: Run, lang: str = "ja") -> Shown:
    """The section table of a run, what it says in words, and what it speaks of."""
    return joined([sections(run, lang), weights_told(run, lang), origin([run], lang)])


def sections(run: Run, lang: str = "ja") -> Shown:
    """The section table of a run, its score with an interval, and its status."""
    counts = scoring.section_table(run, lang).reset_index()
    rows = counts.to_numpy().tolist()
    head = [_column_word(str(name), lang) for name in counts.columns]
    pieces = [notes([run]), table(head, rows)]
    return joined([*pieces, _score(run, lang), _standing(run, lang)])


def _column_word(name: str, lang: str) -> str:
    """A heading of the section table, whose letters are the same in any language."""
    ja = name.replace("Section", "区分").replace(scoring.TOTAL, "合計")
    return say(lang, ja, name)


def _score(run: Run, lang: str) -> Shown:
    n, right = run.asked, scoring.correct(run.rows)
    if not n:
        return sentence(say(lang, "返答はまだありません。", "No replies yet."))
    low, high = (f"{limit:.1%}" for limit in scoring.interval(right, n))
    score = f"{right}/{n} = {right / n:.1%}"
    return sentence(
        say(
            lang,
            f"正答率 {score}（95 % Wilson信頼区間 {low}–{high}）。",
            f"Accuracy {score} (95 % Wilson interval {low}–{high}).",
        )
    )


def _standing(run: Run, lang: str) -> Shown:
    """The status of a run, and its verdict where it may have one."""
    state = scoring.status(run)
    if state.name == "BROKEN":
        return sentence(_broken(run, state, lang), "alarm") + _probe(run, lang)
    if state.name == "INCOMPLETE":
        return sentence(_incomplete(run, lang), "alarm")
    if why := run.manifest.get("why"):  # all were asked, and yet something is wrong
        return sentence(why, "alarm")
    given = scoring.verdict(run)
    if given is None:
        return sentence(_no_verdict(lang), "note")
    return sentence(_verdict(run, given, lang))


def _verdict(run: Run, given: str, lang: str) -> str:
    mark = f"{scoring.PASS_MARK:.0%}"
    short = scoring.points_short(run)
    rest = say(lang, f"、あと{short}問", f", {short} questions short") if short else ""
    return say(
        lang, f"状態 完了（OK）。{mark}の合格線: {word(given, 'ja')}{rest}。",
        f"Status OK. The {mark} line: {given}{rest}.",
    )  # fmt: skip


def _no_verdict(lang: str) -> str:
    mark = f"{scoring.PASS_MARK:.0%}"
    return say(
        lang,
        f"状態 完了（OK）。{mark}の合格線で判定するのは、"
        "医師国家試験の全問を解いた実行だけです。",
        f"Status OK. Only runs of the whole medical exam get a verdict at the {mark} "
        "line.",
    )


def _incomplete(run: Run, lang: str) -> str:
    planned = say(lang, "不明", "unknown") if run.planned is None else run.planned
    return say(
        lang,
        f"状態 途中（INCOMPLETE）。{planned}問中{run.asked}問の返答があります。"
        "同じ設定でもう一度実行すると続きから始まります。",
        f"Status INCOMPLETE: {run.asked} of {planned} questions have a reply. "
        "Run it again with the same settings to ask the rest.",
    )


def _broken(run: Run, state: scoring.Status, lang: str) -> str:
    lost = health.lost(Counter(run.rows["outcome"]))
    causes = {
        "budget": say(
            lang, "トークン上限が回答の前に尽きた", "the budget ended before an answer"
        ),
        "api": say(lang, "サーバーが失敗した", "the server failed"),
        "output": say(lang, "空の返答が返った", "replies came back empty"),
    }
    cause = causes.get(state.cause or "", state.cause or "?")
    lost_of = f"{lost}/{run.asked}"
    return say(
        lang,
        f"状態 {status_word(state, 'ja')}。{lost_of}の返答が失われました。"
        f"主な原因: {cause}。"
        "この正答率はモデルの実力を示しません。",
        f"Status BROKEN ({state.cause}): {lost_of} replies were lost, mostly because "
        f"{cause}. This accuracy does not speak of what the model knows.",
    )


def _probe(run: Run, lang: str) -> Shown:
    """What a larger budget did for a few of the lost replies, where it was tried."""
    probe = (run.manifest.get("early_stop") or {}).get("probe")
    if not probe:
        return nothing()
    n, budget = probe["asked"], f"{probe['max_tokens']:,}"
    answered = probe["outcomes"].get("answered", 0)
    return sentence(
        say(
            lang,
            f"失われた返答のうち{n}問をmax_tokens = {budget} で聞き直すと、"
            f"{answered}問に回答があり、正答は{probe['correct']}問でした。",
            f"Of {n} lost replies asked again at max_tokens = {budget}, {answered} "
            f"were answered, {probe['correct']} of them rightly.",
        )
    )


def origin(runs: Sequence[Run], lang: str) -> Shown:
    """The sentence that every number of the embedded model needs beside it."""
    if not any(run.is_lab for run in runs):
        return nothing()
    return sentence(
        say(
            lang,
            "lab: この種別の数値は内蔵の極小モデルのもので、"
            "gpt-oss-20bについては何も示しません。",
            "lab: numbers of this kind speak of the embedded tiny model, "
            "and say nothing of gpt-oss-20b.",
        ),
        "note",
    )


def tokens(run: Run, lang: str = "ja") -> Shown:
    """What the replies used of the token budget, per outcome, and in a sentence."""
    use = scoring.token_use(run.rows, run.budget)
    head = say(
        lang,
        "結果|返答|計数|中央値|90 %点|最大|上限到達|推論 中央値|秒 中央値|トークン/秒",
        "Outcome|Replies|Counted|Median|90th pct.|Max|At the cap|Reasoning, median"
        "|Seconds, median|Tokens/s",
    )
    rows = [
        (_total_or_word(str(outcome), lang), *_token_cells(row))
        for outcome, row in use.iterrows()
    ]
    return table(head.split("|"), rows) + _budget_sentence(run, use, lang)


def _total_or_word(name: str, lang: str) -> str:
    return say(lang, "合計", name) if name == scoring.TOTAL else word(name, lang)


def _token_cells(row: pd.Series) -> list[str | None]:
    digits = {"seconds_median": 2, "tokens_per_second": 1}
    return [figure_of(row[name], digits.get(name, 0)) for name in scoring.TOKEN_USE]


def _budget_sentence(run: Run, use: pd.DataFrame, lang: str) -> Shown:
    whole = use.loc[scoring.TOTAL].to_dict()
    counted, at_cap = int(whole["counted"]), whole["at_cap"]
    if not counted or is_missing(at_cap):
        return sentence(
            say(
                lang,
                "サーバーがトークン数を返さないか上限が不明なため、上限との比較はできません。",
                "The server gave no token counts, or the budget is unknown: there is "
                "nothing to compare.",
            ),
            "note",
        )
    at_cap = int(at_cap)
    return sentence(
        say(
            lang,
            f"max_tokens = {run.budget:,}。計数できた{counted}件のうち{at_cap}件"
            f"（{at_cap / counted:.1%}）が上限まで使いました。",
            f"max_tokens = {run.budget:,}: {at_cap} of {counted} counted replies "
            f"({at_cap / counted:.1%}) used all of it.",
        )
    )


def token_figure(run: Run, lang: str = "ja") -> Picture | Shown:
    """The histogram of tokens with the budget as a line, where tokens were counted."""
    if run.rows["completion_tokens"].notna().any():
        return plots.token_histogram(run, lang)
    return sentence(say(lang, "図にするトークン数がありません。", "No tokens to draw."))


# --- which weights answered, and how they were asked to think -------------------------


def weights(run: Run, lang: str = "ja") -> Shown:
    """The card held against the server's word, then effort and sampling, as on record.

    Nothing where neither the server nor a trial is on record.
    """
    return _checks(run, lang) + _asked_how(run, lang)


def weights_word(run: Run, lang: str) -> str:
    """What a table of runs says of the weights: by which path, unverified or wrong."""
    return word_of_weights(run.identity, _entry(run, "identity").get("source"), lang)


def word_of_weights(identity: str, source: str | None, lang: str) -> str:
    """The word for an identity, with the paths that a confirmed one rests on."""
    path = f"({source})" if source else ""
    return {
        "verified": say(lang, f"確認済み {path}", f"verified {path}").strip(),
        "unverified": say(lang, "未確認", "unverified"),
        "wrong_model": say(lang, "別の重み", "wrong model"),
    }[identity]


def weights_told(run: Run, lang: str) -> Shown:
    """Whether the server's own word confirms the weights, and why it does not."""
    told = _entry(run, "identity")
    if run.identity == "verified":
        source = told.get("source") or say(lang, "サーバー", "the server")
        ja = f"重みはサーバー自身の情報（{source}）で確認済みです。"
        return sentence(say(lang, ja, f"Weights verified by {source}."))
    sign, ja, en = MARKS[run.identity]
    why = f" {told['why']}" if told.get("why") else ""
    kind = "alarm" if run.identity == "wrong_model" else "note"
    return sentence(f"{sign} {say(lang, ja, en)}{why}", kind)


def _checks(run: Run, lang: str) -> Shown:
    checks = _entry(run, "identity").get("checks")
    rows = [
        [_check_name(check, lang), of_check(check, "card"), of_check(check, "server"),
         _agreement(check.get("agrees"), lang)]
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, dict)
    ]  # fmt: skip
    if not rows:
        return nothing()
    head = say(
        lang, "重み|カード|サーバー|一致", "Weights|Card|Server|Agreement"
    ).split("|")
    return table(head, rows, left=(0, 1, 2, 3))


CHECKS = {
    "name": ("名前", "name"),
    "variant": ("変種", "variant"),
    "format": ("フォーマット", "format"),
    "quantization": ("量子化", "quantization"),
    "size": ("サイズ", "size"),
}


def _check_name(check: dict[str, Any], lang: str) -> str:
    what = str(check.get("what"))
    return say(lang, *CHECKS.get(what, (what, what)))


def of_check(check: dict[str, Any], side: str) -> str | None:
    """One side of a check in words, "card" or "server"; sizes in GB (10⁹ bytes)."""
    value = check.get(side)
    if check.get("what") != "size" or not isinstance(value, int | float):
        return _value(value)
    return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value:,.0f} bytes"


def _agreement(agrees: object, lang: str) -> str:
    if agrees is True:
        return say(lang, "一致", "agrees")
    if agrees is False:
        return say(lang, "不一致", "differs")
    return say(lang, "判断できない", "cannot be told")


def _asked_how(run: Run, lang: str) -> Shown:
    """The reasoning effort with its trials, and the sampling with who set what."""
    effort, sampling = _entry(run, "effort"), _entry(run, "sampling")
    rows = [
        (say(lang, "推論の強さ", "Reasoning effort"), _effort_words(effort, lang)),
        (say(lang, "サーバーの既定の強さ", "The server's own effort"),
         _value(effort.get("default"))),
        (say(lang, "送ったサンプリング", "Sampling that was sent"),
         _pairs(sampling.get("sent"))),
        (say(lang, "送らなければ使われた値", "What the server would use otherwise"),
         _pairs(sampling.get("otherwise"), sampling.get("source"))),
    ]  # fmt: skip
    rows = [(name, value) for name, value in rows if value]
    head = [say(lang, "項目", "Item"), say(lang, "値", "Value")]
    return table(head, rows, left=(0, 1)) if rows else nothing()


TOLD_BY = {
    "field": ("リクエストの欄", "a field of the request"),
    "system": ("システムプロンプト", "the system prompt"),
    "responses": ("/v1/responses", "/v1/responses"),
}


def _effort_words(effort: dict[str, Any], lang: str) -> str | None:
    """The effort asked for, how the server was told, and whether trials show it."""
    if not effort.get("asked"):
        return None
    by = say(lang, *TOLD_BY.get(str(effort.get("told_by")), ("–", "–")))
    seen = say(lang, "効果を確認", "effect shown")
    unseen = say(lang, "効果は見られない", "no effect shown")
    told = seen if effort.get("shown") else unseen
    parts = [str(effort["asked"]), by, told, trials_words(effort, lang)]
    return ", ".join(filter(None, parts))


def trials_words(effort: dict[str, Any], lang: str) -> str:
    """The tokens of the trial questions under the effort asked for and a contrast.

    >>> trial = {"problem_id": "116A1", "told_by": "system"}
    >>> trial |= {"asked_tokens": 40, "contrast_tokens": 160}
    >>> trials_words({"asked": "low", "contrast": "high", "trials": [trial]}, "en")
    '116A1 [system] low 40 / high 160 tokens'
    """
    trials = effort.get("trials")
    asked, contrast = effort.get("asked"), effort.get("contrast")
    told = [
        f"{trial.get('problem_id')} [{trial.get('told_by')}] "
        f"{asked} {_counted(trial.get('asked_tokens'))}"
        f" / {contrast} {_counted(trial.get('contrast_tokens'))}"
        for trial in (trials if isinstance(trials, list) else [])
        if isinstance(trial, dict)
    ]
    unit = say(lang, "トークン", "tokens")
    return f"{'; '.join(told)} {unit}" if told else ""


def _counted(tokens: object) -> str:
    return figure_of(tokens) or MISSING


def _pairs(told: object, source: object = None) -> str | None:
    if not isinstance(told, dict) or not told:
        return None
    listed = ", ".join(f"{name} {_value(value)}" for name, value in told.items())
    return f"{listed} ({source})" if source else listed


def _entry(run: Run, name: str) -> dict[str, Any]:
    told = run.manifest.get(name)
    return told if isinstance(told, dict) else {}


# --- replies, whole -------------------------------------------------------------------


def samples(
    run: Run,
    kind: str,
    questions: Sequence[Question] = (),
    lang: str = "ja",
    n: int = 3,
) -> Shown:
    """A few replies of a kind in full: "wrong", "unparsable", "blank" or "failed".

    They are spread evenly over the run, the same ones each time.
    """
    found = _of_kind(run.rows, kind)
    name = _kind_name(kind, lang)
    title = heading(name[0].upper() + name[1:])
    if not len(found):
        none = say(lang, f"{name}はありません。", f"There are no {name}.")
        return title + sentence(none, "note")
    asked = {question.problem_id: question for question in questions}
    picked = found.iloc[_spread(len(found), n)]
    shown = [
        _sample(row, asked.get(row["problem_id"]), lang) for _, row in picked.iterrows()
    ]
    count = say(
        lang,
        f"{name} {len(found)}件のうち{len(picked)}件を全文で示します。",
        f"{len(picked)} of {len(found)} {name}, in full.",
    )
    return joined([title, sentence(count), *shown])


def _of_kind(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    found = rows[rows["outcome"].isin(SAMPLES[kind])]
    return found[found["correct"].eq(False).fillna(False)] if kind == "wrong" else found


def _kind_name(kind: str, lang: str) -> str:
    return {
        "wrong": say(lang, "誤答", "wrong answers"),
        "unparsable": say(
            lang, "答えを読み取れない返答", "replies without a valid answer"
        ),
        "blank": say(lang, "空回答", "blank or cut replies"),
        "failed": say(lang, "APIエラー", "API errors"),
    }[kind]


def _spread(available: int, wanted: int) -> list[int]:
    """Positions spread evenly: first, last and between.

    >>> _spread(10, 3)
    [0, 4, 9]
    """
    if available <= wanted:
        return list(range(available))
    return [i * (available - 1) // max(1, wanted - 1) for i in range(wanted)]


def _sample(row: pd.Series, question: Question | None, lang: str) -> Shown:
    """One question and its reply, whole and harmless."""
    parts = [heading(str(row["problem_id"]), 4), sentence(_facts(row, lang), "note")]
    if question:
        parts.append(folded(say(lang, "問題", "Question"), written(_as_read(question))))
    if not is_missing(row["reasoning"]) and row["reasoning"]:
        n = f"{len(row['reasoning']):,}"
        title = say(lang, f"推論（{n}字）", f"Reasoning ({n} characters)")
        parts.append(folded(title, written(row["reasoning"])))
    if not is_missing(row["error"]):
        parts.append(written(row["error"]))
    elif is_missing(row["content"]) or not row["content"].strip():
        parts.append(
            sentence(say(lang, "（返答本文は空です）", "(the reply is blank)"))
        )
    else:
        parts.append(written(row["content"]))
    return joined(parts)


def _facts(row: pd.Series, lang: str) -> str:
    facts = [word(row["outcome"], lang)]
    facts.append(f"{say(lang, '回答', 'answer')} {_letters(row['answer'])}")
    facts.append(f"{say(lang, '正解', 'gold')} {_letters(row['gold'])}")
    if not is_missing(row["completion_tokens"]):
        facts.append(f"{row['completion_tokens']:,} {say(lang, 'トークン', 'tokens')}")
    if not is_missing(row["finish_reason"]):
        facts.append(f"finish_reason {row['finish_reason']}")
    return " · ".join(facts)


def _letters(answer: Any) -> str:
    return "–" if is_missing(answer) or not answer else ", ".join(answer)


def _as_read(question: Question) -> str:
    labelled = zip(question.labels, question.choices, strict=False)
    choices = "\n".join(f"{label}. {choice}" for label, choice in labelled)
    return f"{question.prompt_text}\n{choices}".rstrip()


# --- where and with what --------------------------------------------------------------


def environment(run: Run, lang: str = "ja") -> Shown:
    """What the run was made with: versions, commit, prompt, exam files, the server."""
    facts, large = _split(run.manifest)
    head = [say(lang, "項目", "Item"), say(lang, "値", "Value")]
    pieces = [weights(run, lang)]
    pieces += [table(head, facts, left=(0, 1))] if facts else []
    pieces += [folded(name, written(text)) for name, text in large]
    return joined(pieces) if facts or large else notes([run])


def _split(
    manifest: dict[str, Any],
) -> tuple[list[tuple[str, str | None]], list[tuple[str, str]]]:
    """Manifest entries that fit a table, and those to fold away as JSON."""
    facts: list[tuple[str, str | None]] = []
    large = []
    for name, value in manifest.items():
        if name in ("settings", "questions", "effort", "sampling", *CARDS):
            continue
        if name == "packages" and isinstance(value, dict):
            facts.append((name, ", ".join(f"{k} {v}" for k, v in value.items())))
        elif isinstance(value, dict | list) and len(json.dumps(value)) > 80:
            large.append((name, json.dumps(value, ensure_ascii=False, indent=1)))
        else:
            facts.append((name, _value(value)))
    return facts, large


def _value(value: Any) -> str | None:
    if value is None or value == {}:
        return None
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def notes(runs: Sequence[Run]) -> Shown:
    """What could not be read, above everything it taints."""
    return joined(sentence(note, "alarm") for run in runs for note in run.notes)
