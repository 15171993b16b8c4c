"""Audits: what must be known of the runs before any of their numbers is read.

An alarm names the runs it speaks of and holds the facts; the sentence about them is the
block `audit_<kind>` of `text/audits.*.yaml`. It stands above every result of its runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from igaku.server.fingerprint import served_as
from igaku.server.identity import shown
from igaku.server.parts import at, maps
from igaku.study import copies, efforts, evidence, scoring
from igaku.study.alarms import (
    Alarm,
    alarm_on,
    apart,
    by_exam,
    grouped,
    names_of,
)
from igaku.study.designs import condition, known
from igaku.study.families import Source, Study, label_of, role, study_in
from igaku.study.runs import Run, unmeasured, unreadable
from igaku.words import HELD_FIXED, say

LISTED = 6  # names in a sentence before "and … more"

# Alarms whose runs leave every count, and those of which one run stays.
WRONG = (
    "wrong_weights", "other_model", "other_wording", "other_exam", "other_gold",
    "wrong_grades",
)  # fmt: skip
SAME = ("identical_replies", "shared_replies", "same_weights")
# Alarms that turn the study over: what was compared is not what the names say.
OVERTURNING = (
    *WRONG, *SAME, "other_settings", "other_effort", "effort_unshown", "unverified",
    "unknown_effort",
)  # fmt: skip
AUDIT = ("kind", "grave", "overturns", "runs", "text", "facts")


def audit(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per alarm: what must be known before any number is read.

    `kind`: see `igaku.study.audits.AUDITS`. `grave`: something is wrong, not unknown.
    `overturns`: the study cannot be read before it is understood; these come first.
    `runs`: the names of the runs it speaks of. `text`: the sentence in the study's
    language. `facts`: the numbers and names in it.

    >>> igaku.audit("outputs").query("overturns")["text"]  # doctest: +SKIP
    """
    study, rows = study_in(outputs_dir), []
    words = {"named": partial(_named, study), "some": partial(_listed, study.lang)}
    for alarm in study.once(_alarms):
        facts = {"runs": alarm.runs, **words, **alarm.facts}
        text = say(f"audit_{alarm.kind}", study.lang, **facts)
        about = (alarm.kind, alarm.grave, _overturns(alarm), alarm.runs)
        rows.append((*about, text, dict(alarm.facts)))
    found = pd.DataFrame(rows, columns=list(AUDIT))
    return found.astype({"grave": bool, "overturns": bool})


def wrong_runs(study: Study) -> dict[str, str | None]:
    """The runs that leave every count → the run they are the same replies as, or None.

    Shown to be wrong: other weights answered, by name or by the server's own word; the
    wording, the exam, the gold or the grades are not the others'; or the replies or the
    weights are another run's, under another model's name.
    """
    found: dict[str, str | None] = {}
    alarms = chain.from_iterable(study.once(_of_wrong).values())
    told = [alarm for alarm in alarms if alarm.grave]
    for alarm in told:
        if alarm.kind in WRONG:
            found |= dict.fromkeys(alarm.runs)
    for alarm in told:
        if alarm.kind in SAME:
            first, *rest = sorted(alarm.runs, key=lambda name: name in found)
            found |= dict.fromkeys(rest, found.get(first) or first)
    return found


def _alarms(study: Study) -> list[Alarm]:
    """Everything the audits find: what overturns the study first, then the grave."""
    known, found = study.once(_of_wrong), list[Alarm]()
    for audit in AUDITS:
        name = audit.__name__
        found += known[name] if name in known else audit(study)
    return sorted(found, key=lambda alarm: (not _overturns(alarm), not alarm.grave))


def _of_wrong(study: Study) -> dict[str, list[Alarm]]:
    """What the audits find that can make a run leave the counts, by their names."""
    named = {audit.__name__: audit for audit in AUDITS}
    return {name: list(named[name](study)) for name in named if name in (*WRONG, *SAME)}


def _overturns(alarm: Alarm) -> bool:
    is_proof = alarm.grave or alarm.kind not in SAME
    return alarm.kind in OVERTURNING and is_proof


def _named(study: Study, names: str | Sequence[str]) -> str:
    """Runs by their labels, with their own names where a label does not tell them."""
    known = {run.name: label_of(run, study.lang) for run in study.runs}
    names = [names] if isinstance(names, str) else names
    return _listed(study.lang, [known.get(name, name) for name in names])


def _listed(lang: str, names: Sequence[str]) -> str:
    shown = names if len(names) <= LISTED + 1 else names[:LISTED]  # no "1 more"
    return say("audit_list", lang, names=shown, more=len(names) - len(shown))


# --- which model answered -------------------------------------------------------------


def other_model(study: Study) -> Iterator[Alarm]:
    """Runs whose replies came, by name, from a model that was not asked for."""
    for run in study.runs:
        if at(run.manifest, "identity.status") == "wrong_model":
            continue  # said already, and in more than a name: see wrong_weights
        wrong = {name: n for name, n in _served(run).items() if not _fits(run, name)}
        if wrong and run.model:
            yield alarm_on("other_model", run, model=run.model, served=wrong)


def wrong_weights(study: Study) -> Iterator[Alarm]:
    """Runs whose server said of itself that it serves other weights than the card's."""
    for run in study.runs:
        told = run.manifest.get("identity") or {}
        if told.get("status") == "wrong_model":
            checks: list[dict[str, Any]] = [
                {"what": (what := str(check.get("what")))}
                | {side: shown(what, check.get(side)) for side in ("card", "server")}
                for check in maps(told.get("checks"))
                if check.get("agrees") is False
            ]
            about, why = {"model": run.model, "checks": checks}, str(told.get("why"))
            yield alarm_on("wrong_weights", run, True, **about, why=why)


def unverified(study: Study) -> Iterator[Alarm]:
    """Runs of which no word of a server confirms the weights, all in one alarm."""
    runs = [run for run in study.runs if run.identity == "unverified"]
    if runs:
        facts = {
            "here": names_of([run for run in runs if run.origin != "recorded"]),
            "recorded": names_of([run for run in runs if run.origin == "recorded"]),
            "unnamed": [told for run in runs for told in _unnamed_variant(run)],
        }
        yield Alarm("unverified", tuple(names_of(runs)), facts, grave=False)


def _unnamed_variant(run: Run) -> Iterator[dict[str, Any]]:
    """The variant of a run, as in `name@8bit`, if no record of the run names it."""
    variant = (run.model or "").partition("@")[2]
    served = [name for name in _served(run) if _fits(run, name)]
    told = [*served, str(run.manifest.get("server_before") or "")]
    is_told = any(variant.casefold() in text.casefold() for text in told)
    if variant and served and not is_told:
        about = {"run": run.name, "model": run.model, "variant": variant}
        yield about | {"served": served}


def _served(run: Run) -> dict[str, int]:
    """The model names that the replies carry, and how many carry each."""
    told = (each for each in run.rows["served_model"].tolist() if isinstance(each, str))
    return dict(Counter(told).most_common())


def _fits(run: Run, served: str) -> bool:
    return served_as(str(run.model), served, run.manifest.get("server_before"))


# --- figures that do not add up -------------------------------------------------------


def published_sums(study: Study) -> Iterator[Alarm]:
    """Published totals that are not the sum of their sections."""
    for run in study.runs:
        total = run.published.get("correct")
        parts = [told.get("correct") for told in run.published["sections"].values()]
        is_told = parts and all(isinstance(n, int) for n in (total, *parts))
        if is_told and sum(parts) != total:
            yield alarm_on("published_sums", run, total=total, parts=parts)


def published_shares(study: Study) -> Iterator[Alarm]:
    """Published percentages that their own sections do not give, by a point or more."""
    for run in study.runs:
        sections = filter(None, run.published["sections"].values())
        counts = [(told.get("correct"), told.get("questions")) for told in sections]
        share = run.published["summary"].get("accuracy")
        told = re.search(r"\d+(?:\.\d+)?", str(share))
        if told is None or not counts or any(None in pair for pair in counts):
            continue
        right, asked = map(sum, zip(*counts, strict=True))
        if asked and abs(100 * right / asked - float(told[0])) >= 1:
            share = str(share)
            yield alarm_on(
                "published_shares", run, told=share, right=right, asked=asked
            )


def published_otherwise(study: Study) -> Iterator[Alarm]:
    """Recorded answers that disagree with the figures published of them."""
    table = scoring.published(study)
    is_other = ~table["agrees"].fillna(True) & (table["section"] != "total")
    table = table[is_other & table["measure"].isin(["correct", "blank"])]
    for run in study.runs:
        rows = table[table["run"] == run.name]
        if run.origin == "recorded" and len(rows):
            told = rows.drop(columns=["run", "agrees"]).astype({"counted": int})
            yield alarm_on("published_otherwise", run, found=told.to_dict("records"))


def regraded(study: Study) -> Iterator[Alarm]:
    """Grades that were taken over and that a reading of the text does not bear out."""
    for run in study.runs:
        listed = maps(run.manifest.get("regraded"))
        if names := [str(each.get("problem_id")) for each in listed]:
            yield alarm_on("regraded", run, False, questions=names)


# --- what is compared with what -------------------------------------------------------


def other_settings(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that were asked under different settings.

    The reasoning effort has an audit of its own: see `other_effort`. A model that was
    asked again with its choices in another order is one variant, under several orders.
    Runs of a design stand aside: they differ because they were to.
    """
    repeats = (pair for each in study.families if each.kind == "repeats"
               for pair in each.pairs)  # fmt: skip
    again = {name for _, name in repeats}
    for runs in by_exam(study, study.aside):
        for place, name in enumerate(HELD_FIXED):
            if name == "reasoning_effort":
                continue
            is_order = name == "choice_order"
            asked = [run for run in runs if not (is_order and run.name in again)]
            told = grouped((known(run)[place], run) for run in asked)
            values = (condition(each[0])[name] for each in told.values())
            shown = ("–" if value is None else str(value) for value in values)
            groups = dict(zip(shown, told.values(), strict=True))
            yield from apart("other_settings", groups, setting=name)


# --- what was not measured, and what could not be read --------------------------------


def not_measured(study: Study) -> Iterator[Alarm]:
    """Runs that a sweep was to make and that failed before their first answer."""
    for job in unmeasured(study.folder) if study.folder else ():
        name, why = str(job["run"]), str(job.get("why"))
        yield Alarm("not_measured", (name,), {"run": name, "why": why}, grave=False)


def unread(study: Study) -> Iterator[Alarm]:
    """Lines, manifests and files that could not be read, and whole runs."""
    for run in study.runs:
        imported = run.manifest.get("notes")
        told = imported if isinstance(imported, list) else []
        for note in (*run.notes, *map(str, told)):
            yield alarm_on("unread", run, note=note)
    for name, why in unreadable(study.folder).items() if study.folder else ():
        yield Alarm("unread", (name,), {"run": name, "note": why})


def one_name_twice(study: Study) -> Iterator[Alarm]:
    """Folders whose manifests claim to be the same run."""
    claimed = grouped((run.manifest.get("run"), run) for run in study.runs)
    for told, runs in claimed.items():
        if len(runs) > 1:
            yield Alarm("one_name_twice", tuple(names_of(runs)), {"claimed": told})


def clipped(study: Study) -> Iterator[Alarm]:
    """Recorded runs whose texts were cut off by whoever recorded them."""
    counts = {}
    for run in study.runs:
        told = run.manifest.get("clipped")
        numbers = told.values() if isinstance(told, dict) else ()
        if n := sum(n for n in numbers if isinstance(n, int)):
            counts[run.name] = n
    if counts:
        yield Alarm("clipped", tuple(counts), {"counts": counts}, grave=False)


def ended_oddly(study: Study) -> Iterator[Alarm]:
    """Complete runs whose manifest says that something was wrong all the same."""
    for run in study.runs:
        if (why := run.manifest.get("why")) and role(run) == "finished":
            yield alarm_on("ended_oddly", run, why=str(why))


def other_than_asked(study: Study) -> Iterator[Alarm]:
    """Runs whose server, read back, had loaded or did other than it was asked."""
    for run in study.runs:
        found: list[dict[str, str | None]] = []
        for session in maps(run.manifest.get("sessions")):
            for told in maps(at(session, "loaded.differing")):
                values = {name: told.get(name) for name in ("what", "asked", "got")}
                texts = {n: v if v is None else str(v)[:100] for n, v in values.items()}
                if texts not in found:
                    found.append(texts)
        if found:
            yield alarm_on("other_than_asked", run, False, found=found)


AUDITS: tuple[Callable[[Study], Iterator[Alarm]], ...] = (
    copies.identical_replies, other_model, wrong_weights, published_sums,
    *(published_shares, other_settings, efforts.other_effort, efforts.told_otherwise),
    *(efforts.effort_unshown, one_name_twice, unread, ended_oddly),
    *(published_otherwise, not_measured, unverified, efforts.unknown_effort),
    *(efforts.other_length, regraded, clipped),
    *(copies.shared_replies, copies.same_weights, evidence.other_wording),
    *(evidence.other_exam, evidence.other_gold, evidence.wrong_grades),
    *(evidence.over_budget, evidence.outside_sessions, evidence.side_by_side),
    *(evidence.repeated_texts, evidence.constant_tokens, evidence.other_serving),
    *(evidence.other_versions, evidence.other_pace, evidence.repeated_ids),
    *(evidence.anothers_reply, evidence.other_when_warm, evidence.reused_prompts),
    other_than_asked,
)  # fmt: skip
