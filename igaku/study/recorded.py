"""Results recorded elsewhere, taken in as runs: JSON of one section, or JSON Lines.

What the record says stands: its grades are never replaced by ours, and what it does not
tell is null. Where our reading of a recorded text would grade otherwise, the manifest
lists the question under `regraded`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igaku import paths
from igaku.ask import health
from igaku.ask.folder import (
    ANSWERS,
    LOCK,
    MANIFEST,
    Manifest,
    Row,
    encoded,
    locked,
    replace,
    write_manifest,
)
from igaku.ask.manifest import FORMAT, environment
from igaku.errors import IgakuError
from igaku.exam.questions import Question, exam_hashes, load_exam
from igaku.params.settings import (
    ModelFile,
    checked,
    find_card,
    run_name,
    slugified,
    slugs,
)
from igaku.reading.answer import Graded, outcome_of
from igaku.server.reply import Reply
from igaku.study.answers import COLUMNS, DERIVED, FROM_PLAN, FROM_RUN
from igaku.study.lines import CREDITED
from igaku.study.recordings import (
    Recording,
    by_problem,
    clipped,
    content_of,
    disagreeing,
    error_of,
    found_in,
    named_after,
    recordings_of,
)
from igaku.study.runs import outputs_folder, settings_of

BASELINES = {
    "gpt3": ("GPT-3", "GPT-3"),
    "chatgpt": ("ChatGPT", "ChatGPT"),
    "translate_chatgpt-en": ("ChatGPT (English)", "ChatGPT (English)"),
    "gpt4": ("GPT-4", "GPT-4"),
    "student-majority": ("学生多数決", "Student majority"),
}
IN_ENGLISH = ("translate_chatgpt-en",)
# Of answers.jsonl, in its order.
FIELDS = [n for n in COLUMNS if n not in (*FROM_RUN, *DERIVED, *FROM_PLAN)]


@dataclass(frozen=True)
class Source:
    """Who was asked, and how: the card, the published figures, the known settings."""

    slug: str
    model: str | None
    card: dict[str, Any]
    published: dict[str, Any]
    max_tokens: int | None = None
    shots: int | None = None
    language: str = "ja"


@dataclass(frozen=True)
class Imported:
    """What became of one group of files: its folder, or the sentence that says why."""

    run: str
    folder: Path | None
    trouble: str | None = None

    def __str__(self) -> str:
        if self.folder is None:
            return f"{self.run}: {self.trouble}"
        told = json.loads((self.folder / MANIFEST).read_bytes())
        found = Counter(told["outcomes"])
        return (
            f"{self.folder}: {told['correct']}/{found.total()} correct, "
            f"{found['empty']} blank, {found['api_error']} API errors"
        )


# --- taking in ------------------------------------------------------------------------


def import_recorded(
    files: Iterable[str | Path],
    outputs_dir: str | Path,
    slug: str,
    year: int | str = 2022,
    data_dir: str | Path | None = None,
    prompt: str = "baseline",
) -> Path:
    """One run out of recorded results: `outputs_dir/slug/`, the folder returned.

    A file is one JSON object whose `details` hold the records of each prompt, or JSON
    Lines of records as IgakuQA publishes them. The files of several sections are one
    run; its plan is the whole exam, so that a record which stopped early is unfinished.
    The grade is the recorded one, else IgakuQA's scorer's, which gives 116A71 to all.

    Unreadable lines of JSON Lines are left out, and named in the manifest and in a
    warning. The same import again leaves the same bytes; a folder with anything else in
    it is refused with an `IgakuError`, and so are files that cannot be one run.
    """
    exam, run = checked("exam", year, "year"), _checked_slug(slug)
    recordings = recordings_of(files, prompt)
    source = _source(run, recordings)
    questions = load_exam(exam, data_dir=data_dir, language=source.language)
    found = by_problem(recordings, questions, exam)
    readings = [
        _reading(*found[question.problem_id], question)
        for question in questions
        if question.problem_id in found
    ]
    manifest: Manifest = {"format": FORMAT, "run": run, "origin": "recorded"}
    manifest |= _counted(readings, len(questions)) | _told(recordings)
    manifest |= _asked(run, exam, source, recordings) | environment()
    exam_files = exam_hashes(exam, data_dir, language=source.language, shots=0)
    manifest["exam"] = {"name": exam, "files": exam_files}
    manifest["questions"] = [_planned(question) for question in questions]
    folder = outputs_folder(outputs_dir) / run
    _put(folder, manifest, b"".join(encoded(reading.row) for reading in readings))
    for note in manifest["notes"]:
        warnings.warn(note, stacklevel=2)
    return folder


def import_folder(
    sources: Iterable[str | Path],
    outputs_dir: str | Path | None = None,
    slug: str | None = None,
    year: int | str = 2022,
    data_dir: str | Path | None = None,
) -> list[Imported]:
    """Every run that files and folders hold, grouped and named by the files' names.

    `<stem>_<year>_<section>.json` of a stem that a file of `params/` claims becomes
    `<slug>-recorded`, IgakuQA's `<exam>-<section>_gpt4.jsonl` becomes `gpt4-<year>`.
    `year` counts where a name has none. A group that fails does not stop the others.
    """
    groups: dict[tuple[str, int | str], list[Path]] = defaultdict(list)
    for path in found_in(sources):
        stem, named = named_after(path)
        exam = named or year
        groups[slug or _run_of(stem or path.stem, exam), exam].append(path)
    imported = []
    for (run, exam), files in groups.items():
        try:
            folder = import_recorded(
                files, outputs_dir or paths.OUTPUTS, run, exam, data_dir
            )
            imported.append(Imported(run, folder))
        except IgakuError as problem:
            imported.append(Imported(run, None, str(problem)))
    return imported


def _checked_slug(slug: str) -> str:
    run: str = checked("run", slug, "slug")
    if not run:
        raise IgakuError("slug is empty: give the run's folder a name.")
    return run


def _run_of(stem: str, year: int | str) -> str:
    """The folder of a run, by whose results they are.

    >>> _run_of("gpt-oss-20b-gguf", 2022), _run_of("gpt4", 2018)
    ('openai-8bit-recorded', 'gpt4-2018')
    """
    if stem in BASELINES:
        return f"{stem}-{year}"
    claim = _claim(stem)
    if claim is None:
        return f"{run_name(slugified(stem), year)}-recorded"
    budget = _recorded_as(claim, stem).get("max_tokens")
    other = budget is not None and budget != claim.values.get("max_tokens")
    name = f"{claim.slug}-mt{budget}" if other else claim.slug
    return f"{run_name(name, year)}-recorded"


# --- who was asked --------------------------------------------------------------------


def _source(run: str, recordings: Sequence[Recording]) -> Source:
    """Who was asked: the model of `params/` that the run or the files are named after.

    Systems of IgakuQA's own are references; anybody else has a card with a label only.
    """
    stem = next((taken.stem for taken in recordings if taken.stem), None)
    model = next((taken.model for taken in recordings if taken.model), None)
    claim = find_card(run) if run in slugs() else _claim(stem)
    if claim:
        asked = _recorded_as(claim, stem)
        return Source(
            claim.slug,
            claim.values["model"],
            card=claim.values.get("card") or {},
            published=claim.values.get("published") or {},
            max_tokens=asked.get("max_tokens"),
            shots=asked.get("shots"),
        )
    if stem in BASELINES:
        label, english = BASELINES[stem]
        card = {"label": label, "label_en": english, "origin": "reference"}
        language = "en" if stem in IN_ENGLISH else "ja"
        return Source(stem, model or stem, card, {}, language=language)
    return Source(run, model, {"label": run}, {})


def _claim(stem: str | None) -> ModelFile | None:
    """The file of `params/` whose `published.recorded` names this stem."""
    known = filter(None, map(find_card, slugs())) if stem else ()
    return next((model for model in known if _recorded_as(model, stem)), None)


def _recorded_as(model: ModelFile, stem: str | None) -> dict[str, Any]:
    """How the results of this stem were asked: `max_tokens`, `shots`."""
    told: dict[str, Any] = (model.values.get("published") or {}).get("recorded") or {}
    return told.get(stem or "") or {}


# --- rows -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """One record as a row, beside what our own reading of its text says."""

    record: Row
    row: Row
    reread: Graded

    @property
    def regraded(self) -> Row | None:
        """How our reading would grade otherwise than the record; None: it would not."""
        row, own = self.row, self.reread
        if row["correct"] is None or row["correct"] == own.correct:
            return None
        return {
            "problem_id": row["problem_id"],
            "recorded": row["correct"],
            "reread": own.correct,
            "answer": list(own.answer) if own.answer else None,
        }


def _reading(record: Row, taken: Recording, question: Question) -> Reading:
    """The row of a record; its keys and their order are those of a measured one."""
    error = error_of(record)
    content = None if error else content_of(record)
    reread = outcome_of(Reply(content=content or "", error=error), question)
    answer = None if error else _letters(record, question) or reread.answer
    correct = None if error else _is_correct(record, question)
    row = dict.fromkeys(FIELDS) | {
        "problem_id": question.problem_id,
        "section": question.section,
        "outcome": _outcome(reread, bool(correct and (answer or _is_graded(record)))),
        "answer": list(answer) if answer else None,
        "correct": correct,
        "content": content,
        "reasoning": record.get("reasoning"),
        "seconds": _seconds(record.get("time")),
        "served_model": taken.model,
        "error": error,
        "raw": record,
    }
    return Reading(record, row, reread)


def _letters(record: Row, question: Question) -> tuple[str, ...] | None:
    """The recorded prediction where it is a list of the question's letters, else None.

    >>> row = {"problem_id": "116A1", "problem_text": "?", "answer": ["c"]}
    >>> question = Question.from_record(row | {"choices": list("vwxyz")})
    >>> _letters({"prediction": "c, a"}, question)
    ('a', 'c')
    """
    letters = [letter.strip() for letter in record["prediction"].split(",")]
    is_list = len(set(letters)) == len(letters) and set(letters) <= {*question.labels}
    return tuple(sorted(letters)) if is_list else None


def _is_graded(record: Row) -> bool:
    return isinstance(record.get("correct"), bool)


def _is_correct(record: Row, question: Question) -> bool:
    """The recorded grade, else that of IgakuQA's scorer (scripts/evaluate_main.py).

    The scorer splits at commas and strips nothing: "b, e" is not "b,e" to it.
    """
    if _is_graded(record):
        return bool(record["correct"])
    if question.problem_id in CREDITED:
        return True
    return tuple(sorted(record["prediction"].split(","))) in question.accepted


def _outcome(reread: Graded, is_right: bool) -> str:
    if is_right and reread.outcome not in ("api_error", "empty"):
        return "answered"
    return reread.outcome


def _seconds(value: Any) -> float | None:
    """A recorded duration; NaN compares false with everything, and is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None


# --- the manifest ---------------------------------------------------------------------


def _counted(readings: Sequence[Reading], planned: int) -> Manifest:
    """What the rows add up to, and the state they leave the run in."""
    rows = [reading.row for reading in readings]
    outcomes = Counter(row["outcome"] for row in rows)
    is_broken = health.is_broken(outcomes)
    whole = "OK" if len(rows) == planned else "INCOMPLETE"
    return {
        "status": "BROKEN" if is_broken else whole,
        "cause": health.cause(outcomes) if is_broken else None,
        "why": None,
        "outcomes": dict(sorted(outcomes.items())),
        "correct": sum(row["correct"] is True for row in rows),
        "graded_here": sum(not _is_graded(reading.record) for reading in readings),
        "regraded": [told for reading in readings if (told := reading.regraded)],
        "clipped": clipped([reading.record for reading in readings]),
    }


def _told(recordings: Sequence[Recording]) -> Manifest:
    """What the files say of themselves; a time is the recorder's own, without zone."""
    times = sorted(taken.timestamp for taken in recordings if taken.timestamp)
    system = next((t.system for t in recordings if t.system is not None), None)
    text = None if system is None else system.encode("utf-8", "replace")
    return {
        "start": times[0] if times else None,
        "end": times[-1] if times else None,
        "files": {taken.path.name: taken.sha256 for taken in recordings},
        "recorded_model": next((t.model for t in recordings if t.model), None),
        "recorded_summary": disagreeing(recordings),
        "system_prompt": system,
        "system_prompt_sha256": hashlib.sha256(text).hexdigest() if text else None,
        "notes": [note for taken in recordings for note in taken.notes],
    }


def _asked(
    run: str, exam: int | str, source: Source, recordings: Sequence[Recording]
) -> Manifest:
    """The settings as far as they are known, the card and the published figures."""
    settings = {
        "model": source.model,
        "slug": source.slug,
        "run": run,
        "exam": exam,
        "max_tokens": source.max_tokens,
        "shots": source.shots,
        "prompt": next((t.prompt for t in recordings if t.prompt), None),
        "language": source.language,
        "serial_context": "as_released",
    }
    about = {"card": source.card, "published": source.published}
    return {"settings": settings, **about, "sessions": []}


def _planned(question: Question) -> Row:
    """What an analysis must know of a question, also of one that was never asked."""
    plain = ("problem_id", "section", "kind", "points", "text_only", "stem", "category")
    return {
        **{name: getattr(question, name) for name in plain},
        "gold": list(question.answer),
        "accepted": [list(answer) for answer in question.accepted],
        "kinki": list(question.kinki),
        "human_accuracy": question.human_accuracy,
    }


# --- the folder -----------------------------------------------------------------------


def _put(folder: Path, manifest: Manifest, answers: bytes) -> None:
    """Write a run where there is none yet, or where the same files were imported."""
    _refuse_other(folder, manifest)
    with locked(folder):
        old = _refuse_other(folder, manifest)
        path = folder / ANSWERS
        if path.is_file() and path.read_bytes() == answers:
            manifest = _as_before(manifest, old)
        # First the manifest: without it, an import that was killed could not go on.
        write_manifest(folder, manifest)
        replace(path, answers)


def _refuse_other(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of the same import, {} where the folder is free; else an error."""
    there = folder.iterdir() if folder.is_dir() else ()
    if not {path.name for path in there} - {LOCK, f".{MANIFEST}.draft"}:
        return {}
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and _identity(found) == _identity(manifest):
        return found
    raise IgakuError(
        f"{folder} holds something other than an import of these files: give another "
        "slug, or delete that folder."
    )


def _identity(manifest: Manifest) -> list[Any]:
    """What tells one import from another: whose answers, to which prompt."""
    prompt = settings_of(manifest).get("prompt")
    return [manifest.get("origin"), manifest.get("files"), prompt]


def _as_before(manifest: Manifest, old: Manifest) -> Manifest:
    """The old manifest where only versions differ: what they made is the same."""
    versions = environment().keys()
    new = json.loads(json.dumps(manifest))
    if any(old.get(name) != new[name] for name in new.keys() - versions):
        return manifest
    return manifest | {name: old[name] for name in versions & old.keys()}
