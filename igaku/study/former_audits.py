"""Audits: what must be known of the runs before any of their numbers is read.

An alarm names the runs it taints and says what it means for them. It stands above
every result of those runs, in the notebook and in the report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

from igaku.pages.view import of_check, trials_words
from igaku.server.client import served_as
from igaku.shown import is_missing, say
from igaku.study import former_scoring as scoring
from igaku.study.runs import Run, unmeasured
from igaku.study.study import CONDITION, Study, condition, role, unlike

if TYPE_CHECKING:
    import pandas as pd

LISTED = 6  # names in a sentence before "and … more"


@dataclass(frozen=True)
class Alarm:
    """One thing that an audit found, in both languages, and the runs it taints.

    The kinds are those of `AUDITS`. `is_grave` alarms can turn a conclusion round;
    the others say what is not known, or not on record. Where it is the difference
    between `groups` of runs that taints, a result of one group alone is untouched.
    """

    kind: str
    runs: tuple[str, ...]
    ja: str
    en: str
    is_grave: bool = True
    groups: tuple[tuple[str, ...], ...] = ()

    def text(self, lang: str) -> str:
        """The sentence in a language."""
        return say(lang, self.ja, self.en)


@cache
def alarms(study: Study) -> tuple[Alarm, ...]:
    """Everything the audits find, the grave first."""
    found = [alarm for audit in AUDITS.values() for alarm in audit(study)]
    return tuple(sorted(found, key=lambda alarm: not alarm.is_grave))


def tainting(study: Study, *runs: str) -> list[Alarm]:
    """The alarms that touch a result of these runs."""
    return [alarm for alarm in alarms(study) if _touches(alarm, set(runs))]


def is_one_measurement(study: Study, a: str, b: str) -> bool:
    """Whether an alarm says that these two runs are one model measured twice."""
    return any(
        alarm.kind == "identical_replies"
        and alarm.is_grave
        and {a, b} <= set(alarm.runs)
        for alarm in alarms(study)
    )


def _touches(alarm: Alarm, runs: set[str]) -> bool:
    if alarm.groups:
        return sum(not runs.isdisjoint(group) for group in alarm.groups) > 1
    return not runs.isdisjoint(alarm.runs)


# --- one model measured twice ---------------------------------------------------------


def identical_replies(study: Study) -> Iterator[Alarm]:
    """Groups of runs whose replies to all common questions are the same texts."""
    for group in _identical_groups(study.runs):
        yield _identical(study, group)


def _identical_groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that are alike, reply by reply, each in the group of the first like it."""
    groups: list[list[Run]] = []
    texts = {run.name: _texts(run) for run in runs}
    for run in runs:
        alike = (g for g in groups if _are_alike(texts[g[0].name], texts[run.name]))
        home = next(alike, None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return [group for group in groups if len(group) > 1]


def _texts(run: Run) -> dict[str, tuple[str, str | None]]:
    """Question → the reply's hash and its reasoning, where the server replied."""
    rows = run.rows[run.rows["outcome"] != "api_error"]
    reasoning = rows.get("reasoning", rows["reply_sha256"].map(lambda _: None))
    pairs = zip(rows["reply_sha256"], reasoning, strict=True)
    return {
        name: (sha, None if is_missing(thought) else str(thought))
        for name, (sha, thought) in zip(rows["problem_id"], pairs, strict=True)
    }


def _are_alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two runs share two replies or more and every one of them is one text.

    Replies that are all blank are alike in nothing but their silence.
    """
    common = a.keys() & b.keys()
    blank = _hash_of_nothing()
    if len(common) < 2 or not any(a[name][0] != blank for name in common):
        return False
    return all(_is_one_text(a[name], b[name]) for name in common)


def _is_one_text(a: tuple[str, str | None], b: tuple[str, str | None]) -> bool:
    is_silent = a[1] is None or b[1] is None  # a record without reasoning shows none
    return a[0] == b[0] and (is_silent or a[1] == b[1])


def _hash_of_nothing() -> str:
    import hashlib

    return hashlib.sha256(b"").hexdigest()


def _identical(study: Study, group: Sequence[Run]) -> Alarm:
    names = tuple(run.name for run in group)
    replied = [r.rows["problem_id"][r.rows["outcome"] != "api_error"] for r in group]
    shared = set.intersection(*map(set, replied))
    common = group[0].rows[group[0].rows["problem_id"].isin(shared)]
    told_of = common[~scoring.blank(common)]  # silence is alike in any two models
    n, wrong = len(common), len(told_of) - scoring.correct(told_of)
    models = {run.settings.get("slug") or run.model for run in group}
    is_one = len(models) == 1 and None not in models
    told = REPEATED if is_one else TELLING if wrong >= TELLING_WRONG else UNTELLING
    ja, en = told
    return Alarm(
        "identical_replies",
        names,
        f"{_listed(study, names, 'ja')}: 共通の{n}問への返答が一字一句同じです"
        f"（本文のある{len(told_of)}件のうち、正答でないもの{wrong}件）。{ja}",
        f"{_listed(study, names, 'en')}: their replies to all {n} common questions are "
        f"the same, character for character (of {len(told_of)} with text, {wrong} are "
        f"not right). {en}",
        is_grave=told is TELLING,
    )


# Two models that err independently pick one wrong option of four with a chance of a
# quarter: five such replies alike by chance are one in a thousand.
TELLING_WRONG = 5
REPEATED = (
    "同じモデルに聞き直した結果が再現したもので、これらの問題での測定のゆらぎは"
    "0問です。",
    "One model was asked again and reproduced itself: its noise floor on these "
    "questions is 0 flips.",
)
TELLING = (
    "量子化の異なる重みがこのように一致することは考えにくく、一つのモデルを別名で"
    "二度測ったとみるのが自然です。両者の差は何も示さず、独立な測定は1件と数えます。",
    "Different weights hardly do that: this reads as one model measured twice, under "
    "two names. The difference between the two says nothing; count them as one "
    "measurement.",
)
UNTELLING = (
    "ただし誤りがほとんどないので、答えを知る別々のモデルでも起こり得ます。"
    "どの重みが答えたかはサーバーの記録で確かめてください。",
    "But hardly any is wrong, and different models that know the answers would agree "
    "as well: see by the server's own word which weights answered.",
)


# --- which model answered -------------------------------------------------------------


def other_model(study: Study) -> Iterator[Alarm]:
    """Runs whose replies came, by name, from a model that was not asked for."""
    for run in study.runs:
        if _entry(run, "identity").get("status") == "wrong_model":
            continue  # said already, and in more than a name: see wrong_weights
        wrong = {name: n for name, n in _served(run).items() if not _fits(run, name)}
        if wrong and run.model:
            given = ", ".join(f"{name} ({n})" for name, n in wrong.items())
            yield Alarm(
                "other_model",
                (run.name,),
                f"{_of(study, run, 'ja')}: 指定は{run.model}、返答したのは{given}。"
                "この行がどの重みの成績かは示されていません。",
                f"{_of(study, run, 'en')}: asked for {run.model}, answered by {given}. "
                "Nothing shows which weights this row is about.",
            )


def wrong_weights(study: Study) -> Iterator[Alarm]:
    """Runs whose server said of itself that it serves other weights than the card's."""
    for run in study.runs:
        told = _entry(run, "identity")
        if told.get("status") != "wrong_model":
            continue
        why = _disagreements(told) or str(told.get("why"))
        yield Alarm(
            "wrong_weights",
            (run.name,),
            f"{_of(study, run, 'ja')}: サーバー自身の情報は、指定した重みのもので"
            f"はありません（{why}）。この行は{run.model}の成績ではありません。",
            f"{_of(study, run, 'en')}: by the server's own word these are not the "
            f"weights that were asked for ({why}). This row is no result of "
            f"{run.model}.",
        )


def _disagreements(told: Mapping[str, Any]) -> str:
    """What the card has and what the server says instead, in numbers and names."""
    checks = told.get("checks")
    return ", ".join(
        f"{check.get('what')} {of_check(check, 'card')} → {of_check(check, 'server')}"
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, dict) and check.get("agrees") is False
    )


def unverified(study: Study) -> Iterator[Alarm]:
    """Runs of which no word of a server confirms the weights, all in one alarm."""
    runs = [run for run in study.runs if run.identity == "unverified"]
    if runs:
        names = tuple(run.name for run in runs)
        ja, en = ("".join(_unverified(study, runs, "ja")),
                  " ".join(_unverified(study, runs, "en")))  # fmt: skip
        yield Alarm("unverified", names, ja, en, is_grave=False)


def _unverified(study: Study, runs: Sequence[Run], lang: str) -> Iterator[str]:
    """Runs made here, recorded ones, and the variants that nothing on record names."""
    recorded = [run.name for run in runs if run.origin == "recorded"]
    if here := [run.name for run in runs if run.origin != "recorded"]:
        listed = _listed(study, here, lang)
        yield say(
            lang,
            f"サーバー自身の情報では重みを確認できていない実行（†）: {listed}。",
            f"Runs whose weights no word of the server's own confirms (†): {listed}.",
        )
    if recorded:
        listed = _listed(study, recorded, lang)
        yield say(
            lang,
            "記録された回答には、サーバーが何を動かしていたかの記録がありません"
            f"（†）: {listed}。",
            "The record of these answers does not hold what the server was running "
            f"(†): {listed}.",
        )
    yield from (told for run in runs if (told := _unnamed_variant(study, run, lang)))


def _unnamed_variant(study: Study, run: Run, lang: str) -> str:
    """The sentence that a variant, as in `name@8bit`, is on no record of the run."""
    variant = (run.model or "").partition("@")[2]
    served = [name for name in _served(run) if _fits(run, name)]
    if not variant or not served or _says_variant(run, variant, served):
        return ""
    names = ", ".join(served)
    return say(
        lang,
        f"{_of(study, run, 'ja')}は{run.model}を指定していますが、記録された名前は"
        f"{names}だけで、@{variant}が答えた証拠はありません。",
        f"{_of(study, run, 'en')} asked for {run.model}, but the name on record is "
        f"only {names}: nothing proves that @{variant} answered.",
    )


def _served(run: Run) -> dict[str, int]:
    """The model names that the replies carry, and how many carry each."""
    counts = run.rows["served_model"].dropna().value_counts()
    return {str(name): int(n) for name, n in counts.items()}


def _fits(run: Run, served: str) -> bool:
    return served_as(str(run.model), served, run.manifest.get("server_before"))


def _says_variant(run: Run, variant: str, served: Sequence[str]) -> bool:
    """Whether a reply's name, or what the server listed, names the variant."""
    told = [*served, str(run.manifest.get("server_before") or "")]
    return any(variant.casefold() in text.casefold() for text in told)


# --- figures that do not add up -------------------------------------------------------


def published_sums(study: Study) -> Iterator[Alarm]:
    """Published totals that are not the sum of their sections."""
    for run in study.runs:
        total = run.published.get("correct")
        sections = run.published.get("sections") or {}
        parts = [s.get("correct") for s in sections.values() if isinstance(s, dict)]
        known = [part for part in parts if isinstance(part, int)]
        if not isinstance(total, int) or not known or len(known) < len(parts):
            continue
        if sum(known) != total:
            added = "+".join(map(str, known))
            yield Alarm(
                "published_sums",
                (run.name,),
                f"{_of(study, run, 'ja')}: 公表された合計{total}は、"
                f"区分の和{added} = {sum(known)} と一致しません。",
                f"{_of(study, run, 'en')}: the published total {total} is not the sum "
                f"of its sections, {added} = {sum(known)}.",
            )


def published_shares(study: Study) -> Iterator[Alarm]:
    """Published percentages that their own sections do not give, by a point or more."""
    for run in study.runs:
        sections = [s for s in (run.published.get("sections") or {}).values() if s]
        counts = [(s.get("correct"), s.get("questions")) for s in sections]
        summary = run.published.get("summary") or {}
        told = re.search(r"\d+(?:\.\d+)?", str(summary.get("accuracy")))
        if told is None or not counts or any(None in pair for pair in counts):
            continue
        right, asked = (sum(column) for column in zip(*counts, strict=True))
        if asked and abs(100 * right / asked - float(told[0])) >= 1:
            yield Alarm(
                "published_shares",
                (run.name,),
                f"{_of(study, run, 'ja')}: "
                f"公表された要約の正答率{summary['accuracy']}は、"
                f"公表された区分の和{right}/{asked} = {right / asked:.1%} "
                "と合いません。",
                f"{_of(study, run, 'en')}: the published summary says "
                f"{summary['accuracy']}, its own sections give {right}/{asked} = "
                f"{right / asked:.1%}.",
            )


def published_otherwise(study: Study) -> Iterator[Alarm]:
    """Recorded answers that disagree with the figures published of them."""
    for run in study.runs:
        if run.origin != "recorded" or not _is_published_budget(run):
            continue
        counts = scoring.section_counts(run)
        found = [
            (section, key, told, int(counts.loc[section, name]))
            for section, row in (run.published.get("sections") or {}).items()
            for key, name in (("correct", "correct"), ("blank", "blank"))
            if _is_whole(counts.loc[section])
            and (told := _number(row.get(key))) is not None
            and told != int(counts.loc[section, name])
        ]
        if found:
            yield _otherwise(study, run, found)


def _is_whole(row: pd.Series) -> bool:
    """Whether all of a section was asked, so that its counts can be held against it."""
    return bool(row["asked"] > 0 and row["asked"] == row["planned"])


def _otherwise(
    study: Study, run: Run, found: Sequence[tuple[str, str, int, int]]
) -> Alarm:
    words = {"correct": ("正答", "correct"), "blank": ("空回答", "blank")}
    ja = "、".join(f"{s} {words[k][0]} {a}→{b}" for s, k, a, b in found)
    en = ", ".join(f"{s} {words[k][1]} {a} → {b}" for s, k, a, b in found)
    return Alarm(
        "published_otherwise",
        (run.name,),
        f"{_of(study, run, 'ja')}: 公表値と記録された回答が違います（公表→記録）: "
        f"{ja}。"
        "この文書は記録から数えています。",
        f"{_of(study, run, 'en')}: the published figures are not those of the recorded "
        f"answers (published → recorded): {en}. This document counts the answers.",
    )


def _is_published_budget(run: Run) -> bool:
    """Whether the figures were published of a run with this budget."""
    told = re.search(r"max_tokens\s*=\s*(\d+)", str(run.published.get("condition")))
    return told is None or run.budget in (None, int(told[1]))


def _number(value: Any) -> int | None:
    """A published count; "60+" is held to be 60."""
    digits = re.match(r"\d+", str(value))
    return None if value is None or digits is None else int(digits[0])


def regraded(study: Study) -> Iterator[Alarm]:
    """Grades that were taken over and that a reading of the text does not bear out."""
    for run in study.runs:
        listed = run.manifest.get("regraded") or []
        names = [str(e.get("problem_id")) for e in listed if isinstance(e, dict)]
        if names:
            yield Alarm(
                "regraded",
                (run.name,),
                f"{_of(study, run, 'ja')}: 引き継いだ採点（記録、"
                "またはIgakuQAの規則）と"
                f"本文の読み取りが{len(names)}問で違います（{_some(names, 'ja')}）。"
                "採点は引き継いだままです。",
                f"{_of(study, run, 'en')}: {len(names)} grades taken over (recorded, "
                "or "
                "by IgakuQA's own rule) differ from a reading of the text "
                f"({_some(names, 'en')}). They are kept as they were taken over.",
                is_grave=False,
            )


# --- what is compared with what -------------------------------------------------------


def other_settings(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that were asked under different settings."""
    for exam in study.exams:
        runs = [run for run in study.variants if str(run.exam) == exam]
        differing = {name for a, b in combinations(runs, 2) for name in unlike(a, b)}
        differing -= {"reasoning_effort"}  # has an audit of its own, other_effort
        for name in (n for n in CONDITION if n in differing):
            values: dict[str, list[str]] = {}
            for run in runs:
                value = condition(run)[name]
                if value is not None or run.origin != "recorded":
                    told = "–" if value is None else str(value)
                    values.setdefault(told, []).append(run.name)
            yield _settings_alarm(study, name, values)


def _settings_alarm(
    study: Study, name: str, values: Mapping[str, Sequence[str]]
) -> Alarm:
    runs = tuple(run for names in values.values() for run in names)

    def told(lang: str) -> str:
        return "; ".join(
            f"{value}: {_listed(study, names, lang)}" for value, names in values.items()
        )

    return Alarm(
        "other_settings",
        runs,
        f"{name}の異なる実行が並んでいます（{told('ja')}）。",
        f"Runs under different {name} stand side by side ({told('en')}).",
        groups=tuple(tuple(names) for names in values.values()),
    )


def effort_of(run: Run) -> tuple[str | None, str]:
    """The reasoning effort a run was under, and how that is known.

    That is the effort asked for ("shown" where trials bore it out, else "asked"), or
    the server's own ("default"); None where no effort is on record.
    """
    told = _entry(run, "effort")
    if asked := told.get("asked") or run.settings.get("reasoning_effort"):
        return str(asked), "shown" if told.get("shown") else "asked"
    default = told.get("default") or _default_effort(run)
    return (str(default), "default") if default else (None, "")


def _default_effort(run: Run) -> object:
    """The server's own effort, where it said so of the weights."""
    said = _entry(run, "identity").get("fingerprint")
    return said.get("effort") if isinstance(said, dict) else None


KNOWN_BY = {
    "shown": ("効果を確認", "effect shown"),
    "asked": ("指定、効果は未確認", "asked for, effect not shown"),
    "default": ("サーバーの既定値", "the server's own"),
    "": ("記録なし", "not on record"),
}


def other_effort(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that thought under different efforts.

    What a recorded run does not tell is not known, and no difference.
    """
    for exam in study.exams:
        groups: dict[str, list[str]] = {}
        for run in study.variants:
            effort, _ = effort_of(run)
            if str(run.exam) == exam and (effort or run.origin != "recorded"):
                groups.setdefault(effort or "–", []).append(run.name)
        if len(groups) > 1:
            yield _effort_alarm(study, groups)


def _effort_alarm(study: Study, groups: Mapping[str, Sequence[str]]) -> Alarm:
    def told(lang: str) -> str:
        parts = []
        for effort, names in groups.items():
            ways = dict.fromkeys(effort_of(study.run(name))[1] for name in names)
            known = ", ".join(say(lang, *KNOWN_BY[way]) for way in ways)
            parts.append(f"{effort} [{known}]: {_listed(study, names, lang)}")
        return "; ".join(parts)

    return Alarm(
        "other_effort",
        tuple(name for names in groups.values() for name in names),
        f"推論の強さの異なる実行が並んでいます（{told('ja')}）。推論の強さだけで成績は"
        "大きく変わるため、量子化の効果とは分けられません。",
        f"Runs under different reasoning effort stand side by side ({told('en')}). "
        "Effort alone moves scores by far more than the effect under test, so the two "
        "cannot be told apart.",
        groups=tuple(tuple(names) for names in groups.values()),
    )


def told_otherwise(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that were told the same effort in different ways."""
    for exam in study.exams:
        groups: dict[str, list[str]] = {}
        for run in study.variants:
            way = _entry(run, "effort").get("told_by")
            if str(run.exam) == exam and way:
                groups.setdefault(str(way), []).append(run.name)
        if len(groups) > 1:
            yield _way_alarm(study, groups)


WAYS = {
    "field": ("要求の項目", "a field of the request"),
    "system": ("システムメッセージの一行", "a line of the system message"),
    "responses": ("/v1/responses", "/v1/responses"),
}


def _way_alarm(study: Study, groups: Mapping[str, Sequence[str]]) -> Alarm:
    ja, en = (
        "; ".join(
            f"{say(lang, *WAYS.get(way, (way, way)))}: {_listed(study, names, lang)}"
            for way, names in groups.items()
        )
        for lang in ("ja", "en")
    )
    return Alarm(
        "told_otherwise",
        tuple(name for names in groups.values() for name in names),
        f"推論の強さの伝え方が実行により違います（{ja}）。送った文面が一行ぶん違うため、"
        "量子化だけの比較ではありません。",
        f"The effort was told in different ways ({en}): the words sent differ by that "
        "line, so the comparison is not of quantization alone.",
        is_grave=False,
        groups=tuple(tuple(names) for names in groups.values()),
    )


def effort_unshown(study: Study) -> Iterator[Alarm]:
    """Runs that asked for an effort of which the trials saw no effect."""
    for run in study.variants:
        told = _entry(run, "effort")
        if not told.get("asked") or told.get("shown") is not False:
            continue
        asked, contrast = told["asked"], told.get("contrast")
        ja, en = (trials_words(told, lang) or "–" for lang in ("ja", "en"))
        yield Alarm(
            "effort_unshown",
            (run.name,),
            f"{_of(study, run, 'ja')}: 推論の強さ{asked}を指定しましたが、"
            f"試しの質問では{contrast}との違いが見られません（{ja}）。モデルに届いたとは言えません。",
            f"{_of(study, run, 'en')}: asked for the reasoning effort {asked}, but the "
            f"trials show no difference from {contrast} ({en}). Nothing shows that the "
            "model was told.",
        )


def unknown_effort(study: Study) -> Iterator[Alarm]:
    """Runs whose reasoning effort is not on record, neither asked for nor told."""
    names = tuple(run.name for run in study.variants if effort_of(run)[0] is None)
    if names:
        yield Alarm(
            "unknown_effort",
            names,
            f"推論の強さ（reasoning effort）が記録にありません: "
            f"{_listed(study, names, 'ja')}。既定値はサーバーやダウンロードごとに違い"
            "得て、量子化と取り違えるおそれがあります。",
            f"The reasoning effort is not on record: {_listed(study, names, 'en')}. "
            "Its default can differ between servers and downloads, and can be mistaken "
            "for an effect of quantization.",
            is_grave=False,
        )


# --- what was not measured ------------------------------------------------------------


def not_measured(study: Study) -> Iterator[Alarm]:
    """Runs that a sweep was to make and that failed before their first answer."""
    for job in unmeasured(study.folder) if study.folder else ():
        name, why = str(job["run"]), str(job.get("why"))
        yield Alarm(
            "not_measured",
            (name,),
            f"{name}は測定されていません: {why}",
            f"{name} was not measured: {why}",
            is_grave=False,
        )


# --- what could not be read -----------------------------------------------------------


def unread(study: Study) -> Iterator[Alarm]:
    """Lines, manifests and files that could not be read."""
    for run in study.runs:
        imported = run.manifest.get("notes")
        told = imported if isinstance(imported, list) else []
        for note in (*run.notes, *map(str, told)):
            yield Alarm("unread", (run.name,), note, note)


def one_name_twice(study: Study) -> Iterator[Alarm]:
    """Folders whose manifests claim to be the same run."""
    claimed: dict[str, list[str]] = {}
    for run in study.runs:
        told = run.manifest.get("run")
        if isinstance(told, str):
            claimed.setdefault(told, []).append(run.name)
    for told, names in claimed.items():
        if len(names) > 1:
            listed = ", ".join(names)
            yield Alarm(
                "one_name_twice",
                tuple(names),
                f"フォルダ{listed}はどれも実行{told}を名乗っています。"
                "別々の実行か、写しかを確かめてください。",
                f"The folders {listed} all claim to be the run {told}: see whether "
                "they "
                "are runs of their own or copies.",
            )


def clipped(study: Study) -> Iterator[Alarm]:
    """Recorded runs whose texts were cut off by whoever recorded them."""
    told = {run: n for run in study.runs if (n := _clipped(run))}
    if not told:
        return
    ja = "、".join(f"{_of(study, run, 'ja')} {n}件" for run, n in told.items())
    en = ", ".join(f"{_of(study, run, 'en')} {n}" for run, n in told.items())
    yield Alarm(
        "clipped",
        tuple(run.name for run in told),
        f"記録の側で切り詰められた本文や推論文があり（{ja}）、"
        "そこからは反復の有無を判断できません。",
        f"Texts were clipped by the record ({en}): loops cannot be judged from them.",
        is_grave=False,
    )


def _clipped(run: Run) -> int:
    """How many texts of a run the record clipped."""
    cut = run.manifest.get("clipped")
    counts = cut.values() if isinstance(cut, dict) else ()
    return sum(n for n in counts if isinstance(n, int))


def ended_oddly(study: Study) -> Iterator[Alarm]:
    """Complete runs whose manifest says that something was wrong all the same."""
    for run in study.runs:
        why = run.manifest.get("why")
        if why and role(run) == "finished":
            yield Alarm("ended_oddly", (run.name,), str(why), str(why))


AUDITS: dict[str, Callable[[Study], Iterator[Alarm]]] = {
    "identical_replies": identical_replies,
    "other_model": other_model,
    "wrong_weights": wrong_weights,
    "published_sums": published_sums,
    "published_shares": published_shares,
    "other_settings": other_settings,
    "other_effort": other_effort,
    "told_otherwise": told_otherwise,
    "effort_unshown": effort_unshown,
    "one_name_twice": one_name_twice,
    "unread": unread,
    "ended_oddly": ended_oddly,
    "published_otherwise": published_otherwise,
    "not_measured": not_measured,
    "unverified": unverified,
    "unknown_effort": unknown_effort,
    "regraded": regraded,
    "clipped": clipped,
}


# --- words ----------------------------------------------------------------------------


def _entry(run: Run, name: str) -> dict[str, Any]:
    """An entry of the manifest that is a mapping, empty where it is none."""
    told = run.manifest.get(name)
    return told if isinstance(told, dict) else {}


def _of(study: Study, run: Run, lang: str) -> str:
    from igaku.study.families import label_of

    label = label_of(run, lang)
    return label if run.name in label else f"{label} [{run.name}]"


def _listed(study: Study, names: Sequence[str], lang: str) -> str:
    shown = [_of(study, study.run(name), lang) for name in names[:LISTED]]
    more = len(names) - LISTED
    rest = say(lang, f" ほか{more}件", f" and {more} more") if more > 0 else ""
    return say(lang, "、", ", ").join(shown) + rest


def _some(names: Sequence[str], lang: str) -> str:
    more = len(names) - LISTED
    rest = say(lang, f" ほか{more}問", f" and {more} more") if more > 0 else ""
    return ", ".join(names[:LISTED]) + rest


# --- frames ---------------------------------------------------------------------------


def wrong_runs(study: Study) -> dict[str, str | None]:
    """The runs that leave every count → the run they are the same replies as, or None.

    Shown to be wrong: other weights answered, by name or by the server's own word; or
    the replies are another run's, character for character, under another model's name.
    """
    found: dict[str, str | None] = {}
    told = alarms(study)
    for alarm in told:
        if alarm.kind in ("wrong_weights", "other_model"):
            found |= dict.fromkeys(alarm.runs)
    for alarm in told:
        if alarm.kind == "identical_replies" and alarm.is_grave:
            first, *rest = sorted(alarm.runs, key=lambda name: name in found)
            found |= dict.fromkeys(rest, first)
    return found


def audit_frame(study: Study, lang: str = "en") -> pd.DataFrame:
    """One row an alarm, the grave first; see `igaku.audit`."""
    import pandas as pd

    rows = [(a.kind, a.is_grave, a.runs, a.text(lang)) for a in alarms(study)]
    return pd.DataFrame(rows, columns=["kind", "grave", "runs", "text"])
