"""The numbers behind the document as tables, and their CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku.ask.folder import replace
from igaku.pages import pairs, strata, tokens
from igaku.study import former_scoring as scoring
from igaku.study.audits import alarms
from igaku.study.former_lines import Official, official
from igaku.study.pairs import patterns
from igaku.study.study import Study, role, size_gb

if TYPE_CHECKING:
    import pandas as pd


def frames(study: Study) -> dict[str, pd.DataFrame]:
    """The numbers behind the document, one table a file."""
    import pandas as pd

    runs = list(study.runs)
    if not runs:
        return {}
    counts = pd.concat(
        {run.name: scoring.section_counts(run) for run in runs},
        names=["run", "section"],
    ).reset_index()
    summary = scoring.summary(runs)
    summary["role"] = [role(run) for run in runs]
    summary["size_gb"] = [size_gb(run) for run in runs]
    verdicts = pd.DataFrame([_verdict(official(run)) for run in runs])
    summary = pd.concat([summary, verdicts], axis=1)
    named = {
        "models": summary,
        "sections": counts,
        "pairs": _pairs(study),
        "patterns": _patterns(study),
        "strata": strata.strata_of(study),
        "alarms": _alarms(study),
        "answers": _answers(study),
        **tokens.frames(study),
    }
    return {name: _identified(study, frame) for name, frame in named.items()}


def _identified(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose every column of runs has what is known of their weights beside it.

    Labels carry marks on a page; a column is what a program can filter by.
    """
    known = {run.name: run.identity for run in study.runs}
    for name, told in (("run", "identity"), ("a", "identity_a"), ("b", "identity_b")):
        if name in frame.columns:
            frame = frame.assign(**{told: frame[name].map(known)})
    return frame


def _pairs(study: Study) -> pd.DataFrame:
    """All pairs; Holm's p is of the families that claims are made of."""
    rows = pairs.pairs_of(study)
    return rows.assign(holm=rows["holm"].where(rows["kind"].isin(pairs.CONCLUSIVE)))


def _verdict(found: Official | None) -> dict[str, Any]:
    """The official verdict as columns, missing where a run has none."""
    names = ("compulsory_points", "general_points", "kinki_chosen", "official_pass")
    if found is None:
        return dict.fromkeys(names)
    points = (found.compulsory.points, found.rest.points)
    return dict(zip(names, (*points, len(found.kinki), found.passed), strict=True))


def _patterns(study: Study) -> pd.DataFrame:
    """Who got what right in each main family: a row for each pattern and exam."""
    import pandas as pd

    found = [
        patterns([study.run(name) for name in family.runs]).assign(exam=family.exam)
        for family in study.of_kind("finished")
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _alarms(study: Study) -> pd.DataFrame:
    """What the audits found, a row for each alarm."""
    import pandas as pd

    rows = [
        (alarm.kind, alarm.is_grave, " ".join(alarm.runs), alarm.text(study.lang))
        for alarm in alarms(study)
    ]
    return pd.DataFrame(rows, columns=["kind", "is_grave", "runs", "text"])


def _answers(study: Study) -> pd.DataFrame:
    """Every reply in one long table without its texts, for other people's tools."""
    import pandas as pd

    kept = [
        "run", "label", "origin", "exam", "problem_id", "section", "outcome", "answer",
        "gold", "correct", "finish_reason", "completion_tokens", "reasoning_tokens",
        "seconds", "points", "stem", "text_only", "category", "human_accuracy",
    ]  # fmt: skip
    rows = pd.concat([run.rows[kept] for run in study.runs], ignore_index=True)
    for name in ("answer", "gold"):
        rows[name] = [
            "".join(value) if isinstance(value, tuple) else None for value in rows[name]
        ]
    return rows


def put_table(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Write one table as CSV into a folder."""
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    # With its mark, a spreadsheet takes the file for UTF-8 and shows Japanese.
    text = "\ufeff" + _harmless(frame).to_csv(index=False, lineterminator="\n")
    replace(path, text.encode("utf-8", "replace"))
    return path


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for a formula."""
    import pandas as pd

    texts = frame.select_dtypes(include=["object", "str"]).columns
    guarded = {name: frame[name].map(_guarded) for name in texts}
    return frame.assign(**guarded) if len(texts) else pd.DataFrame(frame)


def _guarded(value: Any) -> Any:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
