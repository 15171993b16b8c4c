"""The declared analysis of a study: written once, and held against what was run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from igaku import writing
from igaku.ask.folder import ANSWERS, now
from igaku.errors import IgakuError
from igaku.params.declared import (
    ALL,
    SAID,
    STOPPING,
    STUDY,
    Declared,
    as_yaml,
    read_declared,
)
from igaku.params.fields import reject_unknown
from igaku.paths import outputs_folder
from igaku.server.parts import at
from igaku.study.families import Study, is_called
from igaku.study.runs import Run
from igaku.words import say

FEW = 6  # names in a sentence
FARTHEST = timedelta(hours=12)  # the clock that is most behind UTC


def declare(outputs_dir: str | Path | None = None, **said: Any) -> Path:
    """Write `study.yaml` into the folder of the runs: once, and before they are made.

    `said` are the keys of `igaku.params.declared.Declared`; a None was not given. The
    same words again change nothing; other words are refused.

    >>> declare("outputs", question="Does 4 bit cost accuracy?")  # doctest: +SKIP
    """
    folder = outputs_folder(outputs_dir)
    given = {name: value for name, value in said.items() if value is not None}
    begun = sum(path.stat().st_size > 0 for path in folder.glob(f"*/{ANSWERS}"))
    reject_unknown(given, SAID, "part of a declaration")
    new = Declared(**given, at=now(), begun=begun)
    path = folder / STUDY
    if old := read_declared(folder):
        _refuse_other(old, new, path)
        return path
    writing.create(path, as_yaml(new))
    return path


def _refuse_other(old: Declared, new: Declared, path: Path) -> None:
    changed = [name for name in new.said if new.said[name] != old.said[name]]
    if changed:
        raise IgakuError(
            f"{path} was declared on {old.at[:10]} with another {', '.join(changed)}: "
            "declare another analysis in a folder of its own, or move this file away, "
            "which every page will tell once runs have begun."
        )


# --- held against what was run --------------------------------------------------------


def standing(study: Study) -> str:
    """What was declared, when, and how the runs and this analysis stand to it.

    Sentences in the study's language. That a run began under what is declared is shown
    by its manifest alone; a date can show no more than that it began before.
    """
    found, runs = study.declaration, study.variants
    if found is None:
        return say("declared_nothing", study.lang)
    is_all = found.family == (ALL,)
    told = {"digest": found.digest[:12], "day": _minute(found.at), "n": len(runs)}
    blocks = (
        say("declared_said", study.lang, **found.said, is_all=is_all, **told),
        say("declared_when", study.lang, **_when(found, runs), **told),
        say("declared_otherwise", study.lang, told=list(_departures(study, found))),
    )
    return " ".join(filter(None, map(str.strip, blocks)))


def _when(found: Declared, runs: Sequence[Run]) -> dict[str, Any]:
    """The runs by how they stand to the declaration, and what else tells its time."""
    kinds: dict[str, list[Run]] = {k: [] for k in ("held", "changed", "late", "blind")}
    for run in runs:
        kinds[_stand(found, run)].append(run)
    ended = [run for run in kinds["late"] if _is_before(run.manifest.get("end"), found)]
    starts = sorted((str(r.manifest.get("start")), r.name) for r in kinds["held"])
    names = {
        kind: ", ".join([run.name for run in each[:FEW]] + ["…"] * (len(each) > FEW))
        for kind, each in kinds.items()
    }
    return names | {
        "is_held": bool(runs) and len(kinds["held"]) == len(runs),
        "begun": max(len(kinds["late"]), found.begun), "ended": len(ended),
        "first": starts and (starts[0][1], _minute(starts[0][0])),
        "is_edited": found.sha256 != found.digest,
    }  # fmt: skip


def _stand(found: Declared, run: Run) -> str:
    """How a run stands to what is declared.

    held: its manifest has this hash; changed: it has another; late: it began before;
    blind: nothing tells, as of a run that was recorded elsewhere.
    """
    if digest := at(run.manifest, "declared.sha256"):
        return "held" if digest == found.digest else "changed"
    return "late" if _is_before(run.manifest.get("start"), found) else "blind"


def _is_before(moment: Any, found: Declared) -> bool:
    """Whether a moment lies before the declaration, wherever its clock stood."""
    try:
        told, begun = (datetime.fromisoformat(str(x)) for x in (moment, found.at))
        if told.tzinfo is None:
            told = (told + FARTHEST).replace(tzinfo=UTC)
        return told < begun
    except (ValueError, TypeError):
        return False


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _departures(study: Study, found: Declared) -> Iterator[str]:
    """What this analysis, and these runs, do otherwise than was declared."""
    own, given = study.reference, study.chosen
    named = [n for n in (found.reference, *found.family) if n not in (None, ALL)]
    is_one = own and found.reference and is_called(study.run(own), found.reference)
    exams = {*map(str, found.exams)} - {*study.exams}
    unmet = [n for n in named if not any(is_called(r, n) for r in study.runs)]
    main = {n for f in study.families if f.kind == "finished" for n in f.runs}
    again = [p for f in study.families if f.kind == "repeats" for p in f.pairs]
    times = {n: 1 + sum(n in pair for pair in again) for n in sorted(main)}
    may_stop = {r.name: r.settings.get("stop_when_broken") for r in study.variants}
    stops = found.stopping == STOPPING[0]
    told = {
        "margin": study.margin if study.margin != found.margin else None,
        "reference": None if is_one else own,
        "family": given if given and {*given} != {*found.family} else None,
        "unmet": [*dict.fromkeys(unmet), *sorted(exams)],
        "repeats": [(n, k) for n, k in times.items() if k != found.repeats],
        "stopping": [n for n, may in may_stop.items() if may is (not stops)],
    }
    for what, value in told.items():
        if value:
            declared = found.said.get(what)
            yield say(f"departs_{what}", study.lang, given=value, declared=declared)
