"""Results recorded elsewhere, taken in as runs: JSON of one section, or JSON Lines.

What the record says stands: its letters and its grades are never replaced by ours, and
what it does not tell is null. One rule judges right and wrong alike: the recorded
letters, and only where there are none the text, if it was kept whole. Where our reading
of a whole text would grade otherwise, the manifest lists the question under `regraded`.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from igaku import paths, writing
from igaku.ask import health
from igaku.ask.folder import (
    ANSWERS,
    LOCK,
    MANIFEST,
    Manifest,
    Row,
    locked,
    write_manifest,
)
from igaku.ask.manifest import environment
from igaku.ask.plan import planned
from igaku.ask.shape import FORMAT, examined
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
from igaku.paths import outputs_folder
from igaku.reading.answer import Graded, outcome_of
from igaku.reading.digits import read_digits
from igaku.reading.reply import Reply
from igaku.study.answers import COLUMNS, DERIVED, FROM_PLAN, FROM_RUN, cleaned
from igaku.study.lines import CREDITED
from igaku.study.recordings import (
    BASELINE,
    Recording,
    by_problem,
    by_prompt,
    check_alike,
    clipped,
    content_of,
    error_of,
    found_in,
    is_whole,
    named_after,
    named_apart,
    of_prompt,
    recordings_in,
)

# Labels in Japanese and in English, and the language of the exam.
BASELINES = {
    "gpt3": ("GPT-3", "GPT-3", "ja"),
    "chatgpt": ("ChatGPT", "ChatGPT", "ja"),
    "translate_chatgpt-en": ("ChatGPT (English)", "ChatGPT (English)", "en"),
    "gpt4": ("GPT-4", "GPT-4", "ja"),
    "student-majority": ("学生多数決", "Student majority", "ja"),
}
# Of answers.jsonl, in its order.
FIELDS = [n for n in COLUMNS if n not in (*FROM_RUN, *DERIVED, *FROM_PLAN)]


class Imported(NamedTuple):
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
    prompt: str | None = None,
) -> Path:
    """One run out of recorded results: `outputs_dir/slug/`, the folder returned.

    A file is one JSON object whose `details` hold the records of each prompt, or JSON
    Lines of records as IgakuQA publishes them. `prompt` names one of several; without
    it that is the only one, or "baseline". The files of several sections are one run;
    its plan is the whole exam, so that a record which stopped early is unfinished.
    The grade is the recorded one, else IgakuQA's scorer's, which gives 116A71 to all.

    Unreadable lines of JSON Lines are left out, and named in the manifest and in a
    warning. The same import again leaves the same bytes; a folder with anything else in
    it is refused with an `IgakuError`, and so are files that cannot be one run.
    """
    given = [files] if isinstance(files, str | Path) else files
    read = [recordings_in(Path(path).expanduser()) for path in given]
    if not read:
        raise IgakuError("No files are given to import: name at least one.")
    recordings = of_prompt(read, prompt)
    return _imported(recordings, outputs_dir, slug, year, data_dir, label=slug)


def _imported(
    recordings: Sequence[Recording],
    outputs_dir: str | Path,
    slug: str,
    year: int | str,
    data_dir: str | Path | None,
    label: str | None,
) -> Path:
    """The folder of an imported run; without a card or a label it bears its model's."""
    exam, run = checked("exam", year, "year"), checked("run", slug, "slug")
    if not run:
        raise IgakuError("slug is empty: give the run's folder a name.")
    recordings = sorted(recordings, key=lambda taken: taken.path.name)
    check_alike(recordings)
    asked = _asked(run, exam, recordings, label)
    language = asked["settings"]["language"]
    questions = load_exam(exam, data_dir=data_dir, language=language)
    found = by_problem(recordings, questions, exam)
    cut = clipped([record for record, _ in found.values()])
    readings = [
        _reading(*found[question.problem_id], question, bool(cut["response"]))
        for question in questions
        if question.problem_id in found
    ]
    manifest: Manifest = {"format": FORMAT, "run": run, "origin": "recorded"}
    manifest |= _counted(readings, len(questions)) | {"clipped": cut}
    manifest |= _told(recordings) | asked | environment()
    exam_files = exam_hashes(exam, data_dir, language=language, shots=0)
    manifest["exam"] = {"name": exam, "files": exam_files}
    manifest["questions"] = [planned(question) for question in questions]
    folder = outputs_folder(outputs_dir) / run
    _put(folder, manifest, (writing.as_line(reading.row) for reading in readings))
    for note in manifest["notes"]:
        warnings.warn(note, stacklevel=3)
    return folder


def import_folder(
    sources: Iterable[str | Path],
    outputs_dir: str | Path | None = None,
    slug: str | None = None,
    year: int | str = 2022,
    data_dir: str | Path | None = None,
    prompt: str | None = None,
) -> list[Imported]:
    """Every run that files and folders hold, grouped and named by the files' names.

    `<stem>_<year>_<section>.json` of a stem that a file of `params/` claims becomes
    `<slug>-recorded`, IgakuQA's `<exam>-<section>_gpt4.jsonl` becomes `gpt4-<year>`.
    `year` counts where a name has none. Each prompt that the files hold answers to is a
    run of its own, unless `prompt` names one: `<run>-<prompt>`, but for "baseline" and
    for an only one. A group that fails does not stop the others.
    """
    groups: dict[tuple[str, int | str], list[Path]] = defaultdict(list)
    for path in found_in(sources):
        stem, named = named_after(path)
        exam = named or year
        groups[slug or _run_of(stem or path.stem, exam), exam].append(path)
    imported = []
    for (group, exam), together in groups.items():
        try:
            files = [recordings_in(path) for path in together]
            prompts = by_prompt([of_prompt(files, prompt)] if prompt else files)
        except IgakuError as problem:
            imported.append(Imported(group, None, str(problem)))
            continue
        for run, told in named_apart(group, prompts).items():
            place = outputs_dir or paths.OUTPUTS
            try:
                folder = _imported(told, place, run, exam, data_dir, label=slug and run)
                imported.append(Imported(run, folder))
            except IgakuError as problem:
                imported.append(Imported(run, None, str(problem)))
    return imported


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


def _asked(
    run: str, exam: int | str, recordings: Sequence[Recording], label: str | None
) -> Manifest:
    """The settings as far as they are known, the card and the published figures.

    They are those of the model of `params/` that the run or the files are named after.
    Systems of IgakuQA's own are references; anybody else has a card with a label only.
    """
    stem, model, prompt = (_said(recordings, n) for n in ("stem", "model", "prompt"))
    slug, card, language = run, {"label": label or model or run}, "ja"
    figures: Row = {}
    asked: Row = {}
    if claim := find_card(run) if run in slugs() else _claim(stem):
        slug, model = claim.slug, claim.values["model"]
        card, figures = (claim.values.get(n) or {} for n in ("card", "published"))
        asked = _recorded_as(claim, stem)
    elif stem in BASELINES:
        japanese, english, language = BASELINES[stem]
        slug, model = stem, model or stem
        card = {"label": japanese, "label_en": english, "origin": "reference"}
    if prompt not in (None, BASELINE):  # and what is published was the default's
        labels = [name for name in card if name.startswith("label")]
        card = card | {name: f"{card[name]} ({prompt})" for name in labels}
        figures = {}
    settings = {
        "model": model, "slug": slug, "run": run, "exam": exam,
        "max_tokens": asked.get("max_tokens"), "shots": asked.get("shots"),
        "prompt": prompt, "language": language, "serial_context": "as_released",
    }  # fmt: skip
    return {"settings": settings, "card": card, "published": figures, "sessions": []}


def _said(recordings: Sequence[Recording], name: str) -> Any:
    """What the files say of themselves under a name, those that say anything."""
    return next((told for t in recordings if (told := getattr(t, name))), None)


def _claim(stem: str | None) -> ModelFile | None:
    """The file of `params/` whose `published.recorded` names this stem."""
    known = filter(None, map(find_card, slugs())) if stem else ()
    return next((model for model in known if _recorded_as(model, stem)), None)


def _recorded_as(model: ModelFile, stem: str | None) -> dict[str, Any]:
    """How the results of this stem were asked: `max_tokens`, `shots`."""
    told: dict[str, Any] = (model.values.get("published") or {}).get("recorded") or {}
    return told.get(stem or "") or {}


# --- rows -----------------------------------------------------------------------------


class Reading(NamedTuple):
    """One record as a row, and how a reading of its whole text grades otherwise.

    `is_whole` is None where there is an error for a text.
    """

    row: Row
    regraded: Row | None
    is_whole: bool | None


def _reading(
    record: Row, taken: Recording, question: Question, is_clipped: bool
) -> Reading:
    """The row of a record; its keys and their order are those of a measured one."""
    seconds = cleaned("seconds", record.get("time"))
    row = dict.fromkeys(FIELDS) | {
        "problem_id": question.problem_id,
        "section": question.section,
        "outcome": "api_error",
        "reasoning": record.get("reasoning"),
        "seconds": None if seconds is None or seconds < 0 else seconds,
        "served_model": taken.model,
        "error": error_of(record),
        "raw": record,
    }
    if row["error"] is not None:
        return Reading(row, None, None)
    content, correct = content_of(record), _is_correct(record, question)
    reread, is_kept = outcome_of(Reply(content), question), is_whole(record, is_clipped)
    read = reread if is_kept else Graded("unparsable")
    outcome, answer = _judged(_letters(record, question), content, read, question)
    row |= {"outcome": outcome, "answer": list(answer) if answer else None}
    row |= {"correct": correct, "content": content}
    if not is_kept or correct == reread.correct:
        return Reading(row, None, is_kept)
    own = list(reread.answer) if reread.answer else None
    told = {"problem_id": question.problem_id, "recorded": correct}
    told |= {"reread": reread.correct, "answer": own}
    return Reading(row, told, is_kept)


def _judged(
    letters: tuple[str, ...] | None,
    content: str,
    read: Graded,
    question: Question,
) -> tuple[str, tuple[str, ...] | None]:
    """The outcome and the answer of a record: its letters', else its text's."""
    if not content.strip():
        return "empty", letters
    if letters is None:
        return read.outcome, read.answer
    sizes = {len(accepted) for accepted in question.accepted}
    fits = len(letters) in sizes or question.problem_id in CREDITED
    is_number = question.kind == "numeric"
    return ("answered" if fits or is_number else "wrong_cardinality"), letters


def _letters(record: Row, question: Question) -> tuple[str, ...] | None:
    """The recorded prediction where it is letters or a number, else None.

    >>> row = {"problem_id": "116A1", "problem_text": "?", "answer": ["c"]}
    >>> question = Question.from_record(row | {"choices": list("vwxyz")})
    >>> _letters({"prediction": "c, a"}, question)
    ('a', 'c')
    """
    if question.kind == "numeric":
        read = read_digits(record["prediction"], question)
        return read.answer if read.rule == "number_alone" else None
    letters = re.split(r"[\s,、・/]+", record["prediction"].strip().lower())
    if len(letters) == 1:
        letters = list(letters[0])  # "ac", as some recorders write a list
    is_list = len(set(letters)) == len(letters) and set(letters) <= {*question.labels}
    return tuple(sorted(letters)) if letters and is_list else None


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


# --- the manifest ---------------------------------------------------------------------


def _counted(readings: Sequence[Reading], whole: int) -> Manifest:
    """What the rows add up to, and the state they leave the run in."""
    rows = [reading.row for reading in readings]
    outcomes = Counter(row["outcome"] for row in rows)
    is_broken = health.is_broken(outcomes)
    state = "OK" if len(rows) == whole else "INCOMPLETE"
    return {
        "status": "BROKEN" if is_broken else state,
        "cause": health.cause(outcomes) if is_broken else None,
        "why": None,
        "outcomes": dict(sorted(outcomes.items())),
        "correct": sum(row["correct"] is True for row in rows),
        "graded_here": sum(not _is_graded(row["raw"]) for row in rows),
        "regraded": [told for reading in readings if (told := reading.regraded)],
        "read_again": sum(reading.is_whole is True for reading in readings),
        "not_read_again": sum(reading.is_whole is False for reading in readings),
    }


def _told(recordings: Sequence[Recording]) -> Manifest:
    """What the files say of themselves; a time is the recorder's own, without zone."""
    times = sorted(taken.timestamp for taken in recordings if taken.timestamp)
    system = _said(recordings, "system")
    text = None if system is None else system.encode("utf-8", "replace")
    return {
        "start": times[0] if times else None,
        "end": times[-1] if times else None,
        "files": {taken.path.name: taken.sha256 for taken in recordings},
        "recorded_model": _said(recordings, "model"),
        "system_prompt": system,
        "system_prompt_sha256": hashlib.sha256(text).hexdigest() if text else None,
        "notes": [note for taken in recordings for note in taken.notes],
    }


# --- the folder -----------------------------------------------------------------------


def _put(folder: Path, manifest: Manifest, answers: Iterable[bytes]) -> None:
    """Write a run where there is none yet, or where the same files were imported."""
    there = folder.iterdir() if folder.is_dir() else ()
    is_free = not {path.name for path in there} - {LOCK, f".{MANIFEST}.draft"}
    if not is_free and _identity(examined(folder)[0]) != _identity(manifest):
        raise IgakuError(
            f"{folder} holds something other than an import of these files: give "
            "another slug, or delete that folder."
        )
    with locked(folder):
        # First the manifest: without it, an import that was killed could not go on.
        write_manifest(folder, manifest)
        writing.put(folder / ANSWERS, answers)


def _identity(manifest: Manifest) -> list[Any]:
    """What tells one import from another: whose answers, to which prompt."""
    beside = manifest.get("prompt")  # of its settings, where it stood until fe0f26e
    prompt = (manifest.get("settings") or {}).get("prompt", beside)
    return [manifest.get("origin"), manifest.get("files"), prompt]
