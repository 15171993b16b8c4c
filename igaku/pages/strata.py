"""Strata in words: sections, images, vignettes, difficulty, 禁忌, and who got what."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from igaku.figures import plots_scores
from igaku.pages.models import nothing_to_show
from igaku.pages.titles import titled
from igaku.pages.view import word
from igaku.shown import (
    Picture,
    Shown,
    heading,
    joined,
    nothing,
    say,
    sentence,
    share,
    table,
)
from igaku.study.former_levels import level_name, stratum_name, stratum_table
from igaku.study.former_lines import kinki_choices
from igaku.study.pairs import patterns
from igaku.study.runs import Run
from igaku.study.study import Study, role

if TYPE_CHECKING:
    import pandas as pd

WIDE = 8  # runs in one table; the CSV beside the report has all of them
PATTERNS = 16
FEWEST = 10  # questions of a speciality before it gets a row


@cache
def strata_of(study: Study) -> pd.DataFrame:
    """Every run's strata, references included; follow-ups saw a selection."""
    return stratum_table([r for r in study.runs if r.asked and role(r) != "follow-up"])


def strata_tables(study: Study) -> Shown:
    """Right of asked, per level and run, one table for each exam and stratum."""
    rows = strata_of(study)
    if not len(rows):
        return nothing_to_show(study.lang)
    pieces = []
    for exam in study.exams:
        runs = [r for r in study.runs if str(r.exam) == exam and role(r) != "follow-up"]
        pieces += [
            _stratum(study, rows, runs[:WIDE], name) for name in _met(rows, runs)
        ]
        if len(runs) > WIDE:
            pieces.append(sentence(_left_out(study, runs[WIDE:]), "note"))
    return joined(pieces)


def strata_reading(study: Study) -> Shown:
    """Where the first run of each exam does worst and best, by every stratum."""
    rows, words = strata_of(study), []
    for exam in study.exams:
        runs = [r for r in study.variants if str(r.exam) == exam and r.asked]
        for name in _met(rows, runs[:1]) if runs else []:
            own = rows[(rows["run"] == runs[0].name) & (rows["stratum"] == name)]
            own = own[own["n"] >= FEWEST]
            if own["accuracy"].nunique() > 1:
                words.append(_extremes(study, runs[0], name, own))
    if not words:
        return sentence(
            say(
                study.lang,
                f"{FEWEST}問以上の層の間に、正答率の開きは記録されていません。検定は"
                "していません。",
                f"On record no strata of {FEWEST} questions or more are apart in "
                "accuracy. Nothing was tested.",
            ),
            "note",
        )
    note = say(study.lang, "層の差は記述だけで、検定していません。",
               "Strata are described, and not tested.")  # fmt: skip
    return joined(map(sentence, words)) + sentence(note, "note")


def _extremes(study: Study, run: Run, stratum: str, rows: pd.DataFrame) -> str:
    lang = study.lang
    ordered = rows.sort_values("accuracy", kind="stable")
    ends = [
        f"{level_name(stratum, row['level'], lang)} {row['right']}/{row['n']} "
        f"({share(row['accuracy'], 0)})"
        for row in (ordered.iloc[0], ordered.iloc[-1])
    ]
    label, title = study.label(run.name), stratum_name(stratum, lang)
    return say(
        lang,
        f"{label}、{title}: 最低は{ends[0]}、最高は{ends[1]}。",
        f"{label}, {title}: lowest {ends[0]}, highest {ends[1]}.",
    )


def _left_out(study: Study, runs: Sequence[Run]) -> str:
    names = ", ".join(study.label(run.name) for run in runs[:WIDE])
    return say(
        study.lang,
        f"表の幅のため{len(runs)}件（{names}など）はCSVだけにあります。",
        f"For want of width {len(runs)} runs ({names}, …) are in the CSV table only.",
    )


def _met(rows: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """The strata that divide these runs: those with two levels or more."""
    own = rows[rows["run"].isin([run.name for run in runs])]
    levels = own.groupby("stratum", sort=False)["level"].nunique()
    return [str(name) for name, n in levels.items() if n > 1 or name == "kinki"]


def _stratum(
    study: Study, rows: pd.DataFrame, runs: Sequence[Run], stratum: str
) -> Shown:
    lang = study.lang
    own = rows[rows["stratum"] == stratum].set_index(["level", "run"])
    names = [r.name for r in runs if r.name in set(own.index.get_level_values(1))]
    levels = list(dict.fromkeys(lv for lv, name in own.index if name in names))
    if stratum == "speciality":
        levels = [level for level in levels if own.loc[level]["n"].max() >= FEWEST]
    title = stratum_name(stratum, lang)
    head = [title, *(study.label(name) for name in names)]
    body = [
        [level_name(stratum, level, lang), *(_cell(own, level, n) for n in names)]
        for level in levels
    ]
    exam = word(runs[0].exam, lang)
    shown = heading(f"{title} [{exam}]", 4) + table(head, body, lang=lang)
    return shown + _rare(lang) if stratum == "speciality" else shown


def _rare(lang: str) -> Shown:
    return sentence(
        say(
            lang,
            f"{FEWEST}問以上の診療科だけを示します。すべては表（CSV）にあります。",
            f"Specialities of {FEWEST} questions or more; the CSV table has all.",
        ),
        "note",
    )


def _cell(rows: pd.DataFrame, level: str, run: str) -> str | None:
    if (level, run) not in rows.index:
        return None
    row: Any = rows.loc[(level, run)]
    return f"{row['right']}/{row['n']} ({share(row['accuracy'], 0)})"


def kinki_table(study: Study) -> Shown:
    """Which 禁忌 options were chosen, and by whom."""
    lang = study.lang
    runs = [
        r for r in study.runs if not r.is_lab and r.asked and role(r) != "follow-up"
    ]
    if not runs:
        return nothing()
    body = [_kinki_row(study, run) for run in runs]
    head = say(
        lang,
        "モデル|禁忌肢のある問題（聞いた数）|選んだ数|問題",
        "Model|Questions with a 禁忌 option (asked)|Chosen|Questions",
    )
    return table(head.split("|"), body, titled(lang, "kinki"), (0, 3), lang)


def _kinki_row(study: Study, run: Run) -> list[object]:
    chosen = kinki_choices(run.rows)
    offered = int(run.rows["kinki"].notna().sum())
    return [study.label(run.name), offered, len(chosen), ", ".join(chosen) or None]


def vignette_sentences(study: Study) -> Shown:
    """How much worse follow-ups without their case are answered, run by run."""
    rows, lang = strata_of(study), study.lang
    rows = rows[(rows["stratum"] == "vignette")]
    words = []
    for run in study.runs:
        levels = rows[rows["run"] == run.name].set_index("level")
        if "missing" not in levels.index or "none" not in levels.index:
            continue
        alone, rest = levels.loc["missing"], levels.loc["none"]
        words.append(
            say(
                lang,
                f"{study.label(run.name)}: 症例文のない連問の続き"
                f"{alone['right']}/{alone['n']}（{share(alone['accuracy'])}）、"
                "連"
                "問"
                f"でない問題{rest['right']}/{rest['n']}（{share(rest['accuracy'])}）。",
                f"{study.label(run.name)}: follow-ups released without their case "
                f"{alone['right']}/{alone['n']} ({share(alone['accuracy'])}), "
                "questions "
                f"outside of cases {rest['right']}/{rest['n']} "
                f"({share(rest['accuracy'])}).",
            )
        )
    return joined(sentence(text) for text in words)


def pattern_table(study: Study) -> Shown:
    """All patterns of who got what right in each main family."""
    pieces = []
    for family in study.of_kind("finished"):
        runs = [study.run(name) for name in family.runs[:WIDE]]
        found = patterns(runs)
        head = [study.label(run.name) for run in runs]
        head.append(say(study.lang, "問題数", "Questions"))
        body = [
            [*("✓" if row[run.name] else "✗" for run in runs), row["questions"]]
            for _, row in found.head(PATTERNS).iterrows()
        ]
        title = titled(study.lang, "patterns")
        pieces.append(table(head, body, title, range(len(runs)), study.lang))
        if len(found) > PATTERNS:
            more = len(found) - PATTERNS
            text = say(study.lang, f"ほか{more}通り。", f"{more} more patterns.")
            pieces.append(sentence(text, "note"))
    return joined(pieces)


def pattern_reading(study: Study) -> Shown:
    """How many questions all, none and some of the runs of a main family got right."""
    words = []
    for family in study.of_kind("finished"):
        runs = [study.run(name) for name in family.runs]
        found = patterns(runs)
        names = [run.name for run in runs]
        right = found[names].sum(axis=1)
        n, asked = found["questions"], int(found["questions"].sum())
        every, none = int(n[right == len(names)].sum()), int(n[right == 0].sum())
        words.append(
            say(
                study.lang,
                f"{word(family.exam, 'ja')}の{asked}問のうち、{len(names)}件すべてが"
                f"正答した問題は{every}問、どれも正答しなかった問題は{none}問、"
                f"分かれた問題は{asked - every - none}問です。",
                f"Of {asked} questions ({family.exam}) all {len(names)} runs got "
                f"{every} right, none of them got {none}, and they part on "
                f"{asked - every - none}.",
            )
        )
    return joined(map(sentence, words))


@cache
def difficulty_figure(study: Study) -> Picture | Shown:
    """Accuracy in bands of the examinees' accuracy."""
    runs = [
        run
        for run in study.runs
        if run.asked and not run.is_lab and role(run) != "follow-up"
        and run.rows["human_accuracy"].notna().any()
    ]  # fmt: skip
    return plots_scores.human_accuracy(study, runs) if runs else nothing()
