"""Results recorded elsewhere, taken in as runs: JSON of one section, or JSON Lines.

What the record says stands: its grades are never replaced by ours, and what it does not
tell is null. Where our reading of a recorded text would grade otherwise, the manifest
lists the question under `regraded`.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igaku import paths
from igaku.ask import health
from igaku.ask.folder import ANSWERS, LOCK, MANIFEST, Row, encoded, locked, replace
from igaku.ask.manifest import FORMAT, Manifest, environment, write
from igaku.errors import IgakuError
from igaku.exam import igakuqa
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
from igaku.study.lines import CREDITED

NAMES = (
    re.compile(r"(?P<stem>.+)_(?P<year>\d{4})_[A-F]\.jsonl?"),
    re.compile(r"(?P<exam>\d{3})-[A-F]_(?P<stem>.+)\.jsonl?"),  # IgakuQA's own
)
BASELINES = {
    "gpt3": ("GPT-3", "GPT-3"),
    "chatgpt": ("ChatGPT", "ChatGPT"),
    "translate_chatgpt-en": ("ChatGPT (English)", "ChatGPT (English)"),
    "gpt4": ("GPT-4", "GPT-4"),
    "student-majority": ("学生多数決", "Student majority"),
}
IN_ENGLISH = ("translate_chatgpt-en",)
CLIPPED_AT = {"response": 200, "reasoning": 500}  # characters the recorder kept
FAILED = "ERROR"


@dataclass(frozen=True)
class Recording:
    """One file of results: its records as they stand, and what it says of them all."""

    path: Path
    sha256: str
    records: tuple[Row, ...]
    model: str | None = None
    timestamp: str | None = None
    prompt: str | None = None
    system: str | None = None
    summary: Row | None = None
    notes: tuple[str, ...] = ()

    @property
    def stem(self) -> str | None:
        """Whose results they are, as the file's name says; None where it does not."""
        return _named(self.path)[0]


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
    recordings = _recordings(files, prompt)
    source = _source(run, recordings)
    questions = load_exam(exam, data_dir=data_dir, language=source.language)
    found = _by_problem(recordings, questions, exam)
    readings = [
        _reading(*found[question.problem_id], question)
        for question in questions
        if question.problem_id in found
    ]
    manifest: Manifest = {"format": FORMAT, "run": run, "origin": "recorded"}
    manifest |= _counted(readings, len(questions)) | _told(recordings)
    manifest |= _asked(run, exam, source) | environment()
    exam_files = exam_hashes(exam, data_dir, language=source.language, shots=0)
    manifest["exam"] = {"name": exam, "files": exam_files}
    manifest["questions"] = [_planned(question) for question in questions]
    folder = _folder(outputs_dir) / run
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
    for path in _found(sources):
        stem, named = _named(path)
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


def _folder(outputs_dir: str | Path) -> Path:
    folder = Path(outputs_dir).expanduser()
    return folder if folder.is_absolute() or folder.is_dir() else paths.ROOT / folder


def _found(sources: Iterable[str | Path]) -> list[Path]:
    """The files that are given, and those in given folders whose names say results."""
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        path = source.expanduser()
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*.json*") if each.is_file())
            found |= dict.fromkeys(each for each in inside if _named(each)[0])
        elif path.is_file():
            found[path] = None
        else:
            raise IgakuError(f"There is no file or folder {path}: correct the path.")
    if not found:
        raise IgakuError(
            "There are no recorded results to import: give files, or folders with "
            "files named such as model_2022_A.json or 116-A_gpt4.jsonl."
        )
    return list(found)


def _named(path: Path) -> tuple[str | None, int | None]:
    """Whose results a file is named after, and of which year's exam."""
    years = {number: year for year, number in igakuqa.EXAMS.items()}
    for pattern in NAMES:
        if found := pattern.fullmatch(path.name):
            told = found.groupdict()
            year = told["year"] if "year" in told else years.get(int(told["exam"]))
            return told["stem"], int(year) if year else None
    return None, None


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


# --- files ----------------------------------------------------------------------------


def _recordings(files: Iterable[str | Path], prompt: str) -> list[Recording]:
    """The files, read, in the order of their names; all of one model and one prompt."""
    given = [files] if isinstance(files, str | Path) else list(files)
    if not given:
        raise IgakuError("No files are given to import: name at least one.")
    expanded = sorted((Path(f).expanduser() for f in given), key=lambda f: f.name)
    for name, n in Counter(path.name for path in expanded).items():
        if n > 1:
            raise IgakuError(f"{name} is given {n} times: give each file once.")
    recordings = [_read(path, prompt) for path in expanded]
    _check_alike("model", [taken.model for taken in recordings])
    _check_alike("file name", [taken.stem for taken in recordings])
    _check_alike("system prompt", [taken.system for taken in recordings])
    return recordings


def _check_alike(what: str, values: Iterable[str | None]) -> None:
    found = list(dict.fromkeys(value for value in values if value is not None))
    if len(found) > 1:
        raise IgakuError(
            f"The files are not one run, their {what}s differ ({' and '.join(found)}): "
            "import each by itself."
        )


def _read(path: Path, prompt: str) -> Recording:
    try:
        data = path.read_bytes()
    except OSError as refused:
        raise IgakuError(
            f"{path} cannot be read ({refused.strerror}): correct the path."
        ) from refused
    digest = hashlib.sha256(data).hexdigest()
    if path.suffix == ".jsonl":
        records, notes = _lines(path, data)
        return Recording(path, digest, tuple(records), notes=tuple(notes))
    return _object(path, digest, data, prompt)


def _lines(path: Path, data: bytes) -> tuple[list[Row], list[str]]:
    """The records of JSON Lines, and a sentence that names the lines left out."""
    records, torn = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        record = _parsed(line)
        if _is_record(record):
            records.append(record)
        elif line.strip():
            torn.append(str(number))
    if not records:
        raise IgakuError(f"{path} {_FOREIGN}")
    lines = f"line{'s' if len(torn) > 1 else ''} {', '.join(torn)}"
    note = f"{path.name}, {lines}: torn, or no recorded answer; left out."
    return records, [note] if torn else []


_FOREIGN = (
    "holds no recorded results: give JSON with `details` as a recorder wrote it, or "
    "JSON Lines with problem_id and prediction."
)


def _object(path: Path, digest: str, data: bytes, prompt: str) -> Recording:
    """The results of one prompt out of a JSON object that holds those of several."""
    told = _parsed(data)
    details = told.get("details") if isinstance(told, dict) else None
    if not isinstance(details, dict):
        trouble = "is torn, or not JSON: give the whole file."
        raise IgakuError(f"{path} {trouble if told is None else _FOREIGN}")
    if prompt not in details:
        raise IgakuError(
            f"{path} has no answers to the prompt {prompt!r}: give one of "
            f"{', '.join(map(repr, details)) or 'those of another file'} as `prompt`."
        )
    records = details[prompt]
    if not isinstance(records, list) or not records:
        raise IgakuError(f"{path} {_FOREIGN}")
    for place, record in enumerate(records, 1):
        if not _is_record(record):
            raise IgakuError(
                f"Record {place} of {path} is no recorded answer: mend or remove it."
            )
    summaries, lines = told.get("summary"), told.get("prompts")
    listed = summaries if isinstance(summaries, list) else []
    summary = [
        s for s in listed if isinstance(s, dict) and s.get("prompt_key") == prompt
    ]
    return Recording(
        path,
        digest,
        tuple(records),
        model=_text(told.get("model")),
        timestamp=_text(told.get("timestamp")),
        prompt=prompt,
        system=_text(lines.get(prompt)) if isinstance(lines, dict) else None,
        summary=summary[0] if summary else None,
    )


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _is_record(record: Any) -> bool:
    """Whether it says what was answered to which question, in text."""
    if not isinstance(record, dict):
        return False
    named = all(isinstance(record.get(n), str) for n in ("problem_id", "prediction"))
    texts = [record.get(name) for name in ("response", "explanation", "reasoning")]
    return named and all(text is None or isinstance(text, str) for text in texts)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _by_problem(
    recordings: Sequence[Recording], questions: Sequence[Question], exam: int | str
) -> dict[str, tuple[Row, Recording]]:
    """Each question's record and its file; no question twice, none of another exam."""
    known = {question.problem_id for question in questions}
    found: dict[str, tuple[Row, Recording]] = {}
    told = [(record, taken) for taken in recordings for record in taken.records]
    for record, taken in told:
        problem = record["problem_id"]
        if problem not in known:
            raise IgakuError(
                f"{taken.path} answers {problem!r}, which is no question of exam "
                f"{exam}: give the year of that exam, and the files of one exam only."
            )
        if problem in found:
            raise IgakuError(
                f"{problem} is answered twice, in {found[problem][1].path} and in "
                f"{taken.path}: keep one of the answers."
            )
        found[problem] = record, taken
    return found


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
    error = _error(record)
    content = None if error else _content(record)
    reread = outcome_of(Reply(content=content or "", error=error), question)
    answer = None if error else _letters(record, question) or reread.answer
    correct = None if error else _is_correct(record, question)
    row = {
        "problem_id": question.problem_id,
        "section": question.section,
        "outcome": _outcome(reread, bool(correct and (answer or _is_graded(record)))),
        "answer": list(answer) if answer else None,
        "correct": correct,
        "content": content,
        "reasoning": record.get("reasoning"),
        "finish_reason": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "reasoning_tokens": None,
        "reasoning_tokens_estimated": None,
        "seconds": _seconds(record.get("time")),
        "tokens_per_second": None,
        "served_model": taken.model,
        "attempts": None,
        "prompt_sha256": None,
        "error": error,
        "raw": record,
        "asked_at": None,
    }
    return Reading(record, row, reread)


def _error(record: Row) -> str | None:
    """The error that was recorded instead of a reply."""
    error = record.get("error")
    if error is not None:
        return str(error)
    return FAILED if record["prediction"] == FAILED else None


def _content(record: Row) -> str:
    """The text of the reply; IgakuQA calls it an explanation."""
    texts = (record.get("response"), record.get("explanation"), record["prediction"])
    return next(text for text in texts if text is not None)


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
        "clipped": _clipped([reading.record for reading in readings]),
    }


def _clipped(records: Sequence[Row]) -> dict[str, int | None]:
    """How many texts have the recorder's full length, and so may be cut off there.

    0 where a longer text shows that nothing was cut; None where none was recorded.

    >>> _clipped([{"response": "x" * 200}, {"response": "a"}])
    {'response': 1, 'reasoning': None}
    """
    counts: dict[str, int | None] = {}
    for name, limit in CLIPPED_AT.items():
        texts = [record[name] for record in records if record.get(name) is not None]
        lengths = [len(text) for text in texts]
        is_longest = max(lengths, default=0) == limit
        cut = lengths.count(limit) if is_longest else 0
        counts[name] = cut if lengths else None
    return counts


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
        "recorded_summary": _disagreeing(recordings),
        "prompt": next((t.prompt for t in recordings if t.prompt), None),
        "system_prompt": system,
        "system_prompt_sha256": hashlib.sha256(text).hexdigest() if text else None,
        "notes": [note for taken in recordings for note in taken.notes],
    }


def _disagreeing(recordings: Sequence[Recording]) -> dict[str, Row] | None:
    """Recorded summaries that their own records do not add up to; None: there is none.

    Per file, each figure that differs: as it was recorded, and as it was counted.
    """
    found = {}
    for taken in recordings:
        told, counted = taken.summary or {}, _tally(taken.records)
        differing = {
            name: {"recorded": told[name], "counted": n}
            for name, n in counted.items()
            if name in told and told[name] != n
        }
        if differing:
            found[taken.path.name] = differing
    return found or None


def _tally(records: Sequence[Row]) -> dict[str, int]:
    """The counts that a recorder's summary gives, by its own names for them."""
    replies = [record for record in records if _error(record) is None]
    return {
        "total": len(records),
        "correct": sum(record.get("correct") is True for record in records),
        "errors": len(records) - len(replies),
        "empty_responses": sum(not _content(reply).strip() for reply in replies),
    }


def _asked(run: str, exam: int | str, source: Source) -> Manifest:
    """The settings as far as they are known, the card and the published figures."""
    settings = {
        "model": source.model,
        "slug": source.slug,
        "run": run,
        "exam": exam,
        "max_tokens": source.max_tokens,
        "shots": source.shots,
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
        write(folder, manifest)
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
    identity = ("origin", "files", "prompt")
    if isinstance(found, dict) and all(found.get(n) == manifest[n] for n in identity):
        return found
    raise IgakuError(
        f"{folder} holds something other than an import of these files: give another "
        "slug, or delete that folder."
    )


def _as_before(manifest: Manifest, old: Manifest) -> Manifest:
    """The old manifest where only versions differ: what they made is the same."""
    versions = environment().keys()
    new = json.loads(json.dumps(manifest))
    if any(old.get(name) != new[name] for name in new.keys() - versions):
        return manifest
    return manifest | {name: old[name] for name in versions & old.keys()}
