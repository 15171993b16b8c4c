"""A damaged folder, healed: what its rows tell is rebuilt, the rest is unknown.

A run does this by itself where everything that can be known agrees with its settings;
`igaku repair` shows it beforehand, and does it without a server.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from igaku import writing
from igaku.ask.folder import (
    ANSWERS,
    MANIFEST,
    Manifest,
    Row,
    is_file,
    locked,
    now,
    run_folder,
    write_manifest,
)
from igaku.ask.plan import contradicted, misplaced, planned
from igaku.ask.rows import (
    REPEATED,
    Survey,
    bad_name,
    firsts,
    mend,
    numbered,
    set_aside,
    survey,
)
from igaku.ask.shape import FORMAT, examined
from igaku.errors import IgakuError
from igaku.exam.igakuqa import EXAMS, kept_folder
from igaku.exam.questions import CALIBRATION, load_exam
from igaku.params.settings import Role, of_role

BAD, BROKEN = bad_name(Path(ANSWERS)), "manifest.broken.json"
NUMBERED: dict[str, int | str] = {str(n): year for year, n in EXAMS.items()}
NUMBERED |= {"900": CALIBRATION}


def repair(run: str, outputs_dir: Path, write: bool = False) -> list[str]:
    """What is damaged in a run's folder and what becomes of it, a sentence each.

    Nothing is changed unless told to `write`. Raises IgakuError where there is no such
    run, its manifest is of a later format, or another process is at work on it.

    >>> repair("openai-8bit", Path("outputs"))  # doctest: +SKIP
    ['openai-8bit: nothing is damaged.']
    """
    folder = run_folder(outputs_dir, run)
    with locked(folder) if write else nullcontext():
        return _repair(folder, write)


def _repair(folder: Path, write: bool) -> list[str]:
    found, (parts, trouble) = survey(folder / ANSWERS), examined(folder)
    known = {each["problem_id"]: each for each in parts.get("questions") or ()}
    damage = damaged(found, misplaced(found.rows, known) if known else {})
    told = damage_told(folder, found, damage)
    if trouble:
        manifest = rebuilt(folder, parts, firsts(found.rows, damage), trouble)
        record, broken = manifest["rebuilt"], (folder / MANIFEST).exists()
        copy = f"{BROKEN} keeps the old one. " if broken else ""
        told += [
            f"{trouble}: it is rebuilt. {copy}Known by {record['rows']} answers: "
            f"{len(manifest['questions'])} questions, when they were asked, which "
            f"model the server named ({', '.join(record['served']) or 'none'}). "
            "Unknown, and recorded as such: "
            f"{', '.join(record['unknown']) or 'nothing'}."
        ]
    if write:
        mend(folder / ANSWERS)
        set_aside(folder / ANSWERS, dict.fromkeys(damage, BAD))
        if trouble:
            keep_broken(folder)
            write_manifest(folder, manifest)
    if not told:
        return [f"{folder.name}: nothing is damaged."]
    end = f"`igaku repair {folder.name} --write` does this; nothing was changed yet."
    return [*told, "This is done." if write else end]


def damage_told(folder: Path, found: Survey, damage: Mapping[int, str]) -> list[str]:
    """A sentence on the lines that are no answers; none where there is none."""
    if not damage:
        return []
    by_fault: dict[str, list[int]] = {}
    for start, fault in sorted(damage.items()):
        by_fault.setdefault(fault, []).append(found.numbers[start])
    told = "; ".join(f"{numbered(n)}: {fault}" for fault, n in by_fault.items())
    return [
        f"{folder.name}/{ANSWERS}, {told}. Set aside in {BAD}, as "
        "they stand; a question left without an answer is asked again by the run."
    ]


def damaged(found: Survey, misplaced: Mapping[int, str]) -> dict[int, str]:
    """Every line that is to be set aside, the second answers to a question too."""
    damage = {**found.bad, **misplaced}
    known = {*damage, *(row["at"] for row in firsts(found.rows, damage))}
    starts = (row["at"] for row in found.rows)
    return damage | {start: REPEATED for start in starts if start not in known}


# --- a manifest out of rows ---------------------------------------------------------


def rebuilt(
    folder: Path, parts: Manifest, rows: Sequence[Row], trouble: str
) -> Manifest:
    """A manifest of what rows tell and of the sound parts of the old one.

    Its `rebuilt` says why, out of how many rows, and which settings are unknown.
    """
    rows = sorted(rows, key=lambda row: in_exam_order(row["problem_id"]))
    times = sorted(filter(None, (row["asked_at"] for row in rows)))
    first, last = (times[0], times[-1]) if times else (None, None)
    sitting = {"start": first, "end": last, "ended": "unknown", "rebuilt": True}
    sitting["requests"] = sum(row["attempts"] for row in rows)
    facts = facts_of(rows) if "questions" not in parts else {}
    served = sorted({row["served_model"] for row in rows} - {None})
    kept = parts.get("condition") or parts.get("settings") or {}
    of_row = ("problem_id", "section", "prompt_sha256")
    lost = {"status": "unverified", "why": f"{trouble}, and was rebuilt"}
    told: Manifest = {
        **blank(folder.name),
        "start": first,
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "correct": sum(row["correct"] is True for row in rows),
        "sessions": [sitting] if rows else [],
        "identity": lost | {"checks": [], "source": None, "fingerprint": {}},
        "questions": [
            facts.get(row["problem_id"], {})
            | {name: row[name] for name in of_row if row[name] is not None}
            for row in rows
        ],
    }
    told |= {name: value for name, value in parts.items() if value is not None}
    return told | {
        "format": FORMAT,
        "end": None,
        "rebuilt": {
            "at": now(), "why": trouble, "rows": len(rows), "served": served,
            "unknown": [name for name in of_role(Role.KEPT) if name not in kept],
        },
    }  # fmt: skip


def in_exam_order(name: str) -> list[str | int]:
    """What sorts questions by section and number.

    >>> sorted(["116B1", "116A10", "116A9"], key=in_exam_order)
    ['116A9', '116A10', '116B1']
    """
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]


def facts_of(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What an exam on this machine says of the questions of rows, by problem_id.

    Nothing unless every row is of one exam by its question's number, and its grade is
    what that exam's answers give: an exam is not guessed at, and never fetched.
    """
    numbers = {row["problem_id"][:3] for row in rows}
    exam = NUMBERED.get(min(numbers)) if len(numbers) == 1 else None
    try:
        questions = load_exam(exam, data_dir=kept_folder()) if exam else []
    except (IgakuError, OSError):
        return {}
    known = {question.problem_id: planned(question) for question in questions}
    if any(contradicted(row, known.get(row["problem_id"])) for row in rows):
        return {}
    return {row["problem_id"]: known[row["problem_id"]] for row in rows}


def blank(run: str) -> Manifest:
    """Every part of a manifest, with nothing known but the name of the run."""
    empty: Manifest = dict.fromkeys(("origin", "cause", "why", "end", "early_stop"))
    empty |= dict.fromkeys(("prompt_sha256", "condition", "condition_sha256"))
    empty |= dict.fromkeys(("server_before", "server_after", "effort", "declared"))
    return empty | {
        "format": FORMAT, "run": run, "status": "INCOMPLETE", "start": None,
        "outcomes": {}, "correct": 0, "exam": {"name": None, "files": {}},
        "settings": {}, "card": {}, "published": {}, "sessions": [], "identity": None,
        "sampling": {}, "questions": [],
    }  # fmt: skip


def keep_broken(folder: Path) -> None:
    """Copy a damaged manifest beside itself, before another takes its place."""
    if is_file(folder / MANIFEST):
        writing.put(folder / BROKEN, (folder / MANIFEST).read_bytes())
