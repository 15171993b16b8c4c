"""Runs as tables: what `answers.jsonl` and `manifest.json` hold, one row per question.

Nothing here reads an executed notebook, and nothing here guesses: a value that a run
did not record is missing, never 0.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths
from igaku.ask.folder import ANSWERS, MANIFEST
from igaku.errors import IgakuError
from igaku.exam.igakuqa import SECTIONS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

JOB = "job.json"  # what a sweep writes of a run, also of one that never began
WHOLE_EXAM = 400  # questions in each of the exams 112-116 and in the calibration exam


@dataclass(frozen=True)
class Column:
    """What a column of the table holds, and the type it is stored as."""

    type: str
    meaning: str


# First, which run a row is from; then the fields of answers.jsonl as they stand; then
# what the manifest knows of the question.
COLUMNS = {
    "run": Column("text", "name of the run's folder"),
    "model": Column("text", "the model that was asked for"),
    "label": Column("text", "the model's display name, unique among the runs"),
    "origin": Column("text", "measured | recorded | published | lab"),
    "exam": Column("text", "year of the exam, or calibration"),
    "max_tokens": Column("whole", "token budget of a reply, where it is known"),
    "problem_id": Column("text", "e.g. 116A1"),
    "section": Column("text", "A-F"),
    "outcome": Column("text", "what became of the question; igaku.answer.OUTCOMES"),
    "answer": Column("letters", "tuple of letters or of one digit string; None: none"),
    "correct": Column("truth", "missing where the reply could not be graded"),
    "content": Column("text", "the reply's final text, whole"),
    "reasoning": Column("text", "the reply's reasoning, whole"),
    "blank": Column("truth", "the server replied, and the text of it is blank"),
    "reply_sha256": Column("text", "hash of the reply's final text"),
    "finish_reason": Column("text", "why the server stopped, in its own word"),
    "prompt_tokens": Column("whole", "tokens of the prompt"),
    "completion_tokens": Column("whole", "tokens of reasoning and answer together"),
    "reasoning_tokens": Column("whole", "tokens of the reasoning"),
    "reasoning_tokens_estimated": Column("truth", "estimated here, not counted there"),
    "seconds": Column("number", "from request to reply"),
    "tokens_per_second": Column("number", "the server's figure for the reply"),
    "served_model": Column("text", "the model the server says it used"),
    "attempts": Column("whole", "requests it took"),
    "prompt_sha256": Column("text", "hash of the messages sent"),
    "error": Column("text", "what went wrong, in words"),
    "raw": Column("any", "the server's body, whole"),
    "asked_at": Column("moment", "when the question was asked, in UTC"),
    "gold": Column("letters", "the answer that counts as right"),
    "points": Column("whole", "points of the question; 0 is struck from scoring"),
    "kind": Column("text", "choice | numeric"),
    "text_only": Column("truth", "false: the question needs an image"),
    "stem": Column("text", "problem_id of the head of its vignette"),
    "category": Column("text", "speciality"),
    "kinki": Column("letters", "禁忌 choices: choosing one can fail an examinee"),
    "human_accuracy": Column("number", "examinees who got it right, in percent"),
}
FROM_RUN = ("run", "model", "label", "origin", "exam", "max_tokens")
TEXTS = ("content", "reasoning")
WORD = 64  # characters; shorter texts come back in every run: one copy serves all
NUMBERS = (int, float)
BEYOND = 2**53  # no float tells every whole number from here on
FROM_PLAN = (
    "gold", "points", "kind", "text_only", "stem", "category", "kinki",
    "human_accuracy",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Run:
    """One model's sitting of an exam: its replies, its manifest, and its questions."""

    name: str
    folder: Path
    manifest: dict[str, Any]
    rows: pd.DataFrame
    plan: pd.DataFrame | None
    label: str
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run as its manifest holds them."""
        return _mapping(self.manifest.get("settings"))

    @property
    def card(self) -> dict[str, Any]:
        """The model's card: the rows of its table, its label, colour and marker."""
        card = self.manifest.get("card") or self.settings.get("card")
        return _mapping(card)

    @property
    def published(self) -> dict[str, Any]:
        """Figures printed elsewhere for this model, with their source."""
        found = self.manifest.get("published") or self.settings.get("published")
        told = _mapping(found)
        sections = _mapping(told.get("sections")).items()
        kept = {n: s for n, s in sections if n in SECTIONS and isinstance(s, dict)}
        return told | {"sections": kept, "summary": _mapping(told.get("summary"))}

    @property
    def model(self) -> str | None:
        """The model that was asked for."""
        return self.settings.get("model") or self.manifest.get("model")

    @property
    def exam(self) -> str | None:
        """The exam's year, or "calibration"."""
        return _exam_of(self.manifest)

    @property
    def origin(self) -> str:
        """Which of the four kinds of number this run's are."""
        return _origin_of(self.manifest)

    @property
    def identity(self) -> str:
        """What is on record of the weights: verified, unverified or wrong_model.

        A run without a word of its server's, as every recorded one, is unverified.
        """
        told = _mapping(self.manifest.get("identity")).get("status")
        if told == "wrong_model" or self.rows["outcome"].eq("wrong_model").any():
            return "wrong_model"
        return "verified" if told == "verified" else "unverified"

    @property
    def budget(self) -> int | None:
        """The token budget of a reply, where it is known."""
        return _whole(self.settings.get("max_tokens"))

    @property
    def is_lab(self) -> bool:
        """Whether the numbers speak of the embedded tiny model."""
        return self.origin == "lab"

    @property
    def planned(self) -> int | None:
        """How many questions the run was to ask; None where no manifest says."""
        return None if self.plan is None else len(self.plan)

    @property
    def asked(self) -> int:
        """How many questions have a reply, or a recorded failure."""
        return len(self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether every question that was to be asked has a reply."""
        if self.planned is None:
            return self.asked == WHOLE_EXAM
        return self.asked >= self.planned > 0

    @property
    def is_whole_exam(self) -> bool:
        """Whether a complete run would be the exam itself, not a part of it."""
        planned = self.asked if self.planned is None else self.planned
        return planned == WHOLE_EXAM and self.exam != "calibration"


def load_runs(
    outputs_dir: str | Path | None = None, raw: bool = True, texts: bool = True
) -> pd.DataFrame:
    """Every reply of every run under a folder: one row per (run, problem_id).

    The columns are `COLUMNS`. Lines that cannot be read are left out, and each file
    that has some is named in a warning. `raw=False` leaves the servers' bodies out and
    `texts=False` replies and reasoning, which together are most of the memory.
    """
    runs = find_runs(outputs_dir, raw=raw, texts=texts)
    for note in (note for run in runs for note in run.notes):
        warnings.warn(note, stacklevel=2)
    if not runs:
        warnings.warn(f"{outputs_folder(outputs_dir)} holds no runs yet.", stacklevel=2)
    return combine(runs, raw=raw, texts=texts)


def find_runs(
    outputs_dir: str | Path | None = None, raw: bool = False, texts: bool = True
) -> list[Run]:
    """The runs under a folder, by name; what could not be read is in their `notes`.

    A relative path that is not here is looked for from the root of the checkout, as
    JupyterLab starts a notebook in the notebook's own folder.
    """
    folder = outputs_folder(outputs_dir)
    if outputs_dir is not None and not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: give the folder of your runs.")
    found = sorted(folder.glob(f"*/{ANSWERS}"))
    runs: list[Run] = []
    for path in found:
        runs.append(_run(path.parent, raw, texts, runs[-1] if runs else None))
    return _labelled(runs)


def unmeasured(outputs_dir: str | Path | None = None) -> list[dict[str, Any]]:
    """The jobs of a sweep that failed before their first answer, as recorded there."""
    found = []
    for path in sorted(outputs_folder(outputs_dir).glob(f"*/{JOB}")):
        answers = path.with_name(ANSWERS)
        try:
            job = _mapping(json.loads(path.read_bytes()))
        except (OSError, ValueError, RecursionError):
            continue
        if job.get("state") == "failed" and not (
            answers.is_file() and answers.stat().st_size
        ):
            found.append(job | {"run": path.parent.name})
    return found


def combine(runs: Iterable[Run], raw: bool = False, texts: bool = True) -> pd.DataFrame:
    """The rows of several runs in one table."""
    import pandas as pd

    frames = [run.rows for run in runs]
    if not frames:
        return _frame({name: [] for name in _columns(raw, texts)})
    return pd.concat(frames, ignore_index=True)


def load_run(folder: str | Path, raw: bool = False, texts: bool = True) -> Run:
    """One run, read from its folder."""
    return _run(Path(folder), raw, texts)


def _run(folder: Path, raw: bool, texts: bool, earlier: Run | None = None) -> Run:
    manifest, notes = _read_manifest(folder / MANIFEST)
    plan = _read_plan(manifest)
    kept = frozenset(_columns(raw, texts))
    answers, complaints = _read_answers(folder / ANSWERS, plan, kept)
    label = _label_of(manifest) or folder.name
    run = {"run": folder.name, "model": _model_of(manifest), "label": label}
    run |= {"origin": _origin_of(manifest), "exam": _exam_of(manifest)}
    run["max_tokens"] = _mapping(manifest.get("settings")).get("max_tokens")
    planned = _planned(manifest, plan, earlier)
    places = {name: place for place, name in enumerate(plan or ())}
    known = [places[answer["problem_id"]] for answer in answers] if plan else []
    facts = None if planned is None else planned.take(known)
    rows = _rows(answers, run, facts, _columns(raw, texts))
    return Run(
        folder.name, folder, manifest, rows, planned, label, (*notes, *complaints)
    )


def outputs_folder(outputs_dir: str | Path | None = None) -> Path:
    """The folder of the runs: `outputs/`, or one told, from here or from the root."""
    path = paths.OUTPUTS if outputs_dir is None else Path(outputs_dir).expanduser()
    return path if path.is_absolute() or path.is_dir() else paths.ROOT / path


# --- the manifest ---------------------------------------------------------------------


def _read_manifest(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The manifest, empty with a sentence where there is none to read."""
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        trouble = "is missing"
    except (OSError, ValueError, RecursionError) as broken:
        trouble = f"cannot be read ({_short(broken)})"
    else:
        if isinstance(manifest, dict):
            return manifest, []
        trouble = "is not a JSON object"
    return {}, [
        f"{_where(path)} {trouble}: the run is shown without its settings and card; "
        "run it again to write one."
    ]


def _read_plan(manifest: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """What the manifest says of each question to ask, by problem_id."""
    listed = manifest.get("questions")
    if not isinstance(listed, list):
        return None
    questions = [q for q in listed if isinstance(q, dict) and "problem_id" in q]
    return {str(q["problem_id"]): q for q in questions} or None


def _model_of(manifest: dict[str, Any]) -> str | None:
    return _mapping(manifest.get("settings")).get("model") or manifest.get("model")


def _exam_of(manifest: dict[str, Any]) -> str | None:
    exam = _mapping(manifest.get("settings")).get("exam", manifest.get("exam"))
    exam = exam.get("name") if isinstance(exam, dict) else exam
    return str(exam) if isinstance(exam, str | int) else None


def _label_of(manifest: dict[str, Any]) -> str | None:
    settings = _mapping(manifest.get("settings"))
    card = _mapping(manifest.get("card") or settings.get("card"))
    return card.get("label") or settings.get("slug") or _model_of(manifest)


def _origin_of(manifest: dict[str, Any]) -> str:
    if origin := manifest.get("origin"):
        return str(origin)
    settings = _mapping(manifest.get("settings"))
    card = _mapping(manifest.get("card") or settings.get("card"))
    is_lab = "lab" in (card.get("origin"), settings.get("base_url"))
    return "lab" if is_lab else "measured"


def _labelled(runs: list[Run]) -> list[Run]:
    """The same runs with labels made unique."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(run.label, []).append(run)
    labelled = []
    for run in runs:
        label = _told_apart(run, alike[run.label])
        if label != run.label:
            rows = run.rows.assign(label=_typed([label] * len(run.rows), "text"))
            run = replace(run, label=label, rows=rows)
        labelled.append(run)
    return labelled


def _told_apart(run: Run, alike: Sequence[Run]) -> str:
    """A run's label among those of the same label: with its budget, else its name."""
    if len(alike) == 1:
        return run.label
    budgets = {other.budget for other in alike}
    is_told = run.budget is not None and len(budgets) == len(alike)
    return f"{run.label} ({f'max_tokens {run.budget}' if is_told else run.name})"


# --- the answers ----------------------------------------------------------------------


def _read_answers(
    path: Path, plan: dict[str, Any] | None, kept: frozenset[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The readable answers of a file, and a sentence per kind of line left out.

    Of each answer only the fields in `kept` are held, so that a large folder is never
    in memory with all its texts.
    """
    answers: dict[str, dict[str, Any]] = {}
    left_out: dict[str, list[int]] = {}
    for number, line in _lines(path):
        answer = _answer(line)
        fault = _fault(answer, answers, plan)
        if fault:
            left_out.setdefault(fault, []).append(number)
        elif answer:
            answers[answer["problem_id"]] = _kept(answer, kept)
    complaints = [
        f"{_where(path)}, {_numbered(numbers)}: {fault}; left out, the rest is read."
        for fault, numbers in left_out.items()
    ]
    return list(answers.values()), complaints


def _kept(answer: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """The fields of an answer that are asked for, and what is derived from its text."""
    content = _text(answer.get("content"))
    text = content or ""
    derived = {
        "blank": not text.strip() and answer["outcome"] != "api_error",
        "reply_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return {k: v for k, v in answer.items() if k in kept} | derived


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines as bytes: text would also be split at U+2028 inside a reply."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _answer(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else {}


def _fault(
    answer: dict[str, Any] | None, seen: dict[str, Any], plan: dict[str, Any] | None
) -> str | None:
    """Why a line is no answer of this run, or None."""
    if answer is None:
        return "torn, or not JSON"
    problem = answer.get("problem_id")
    if not isinstance(problem, str) or not isinstance(answer.get("outcome"), str):
        return "not an answer (no problem_id and outcome)"
    if plan and problem not in plan:
        return "a question that is not of this run"
    if problem in seen:
        return "a question answered on an earlier line"
    return None


def _rows(
    answers: Sequence[dict[str, Any]],
    run: dict[str, Any],
    facts: pd.DataFrame | None,
    names: Sequence[str],
) -> pd.DataFrame:
    """Answers as rows, with what the run knows and the plan's `facts` of each."""
    columns: dict[str, Any] = {}
    for name in names:
        if name in FROM_PLAN and facts is not None:
            columns[name] = facts[name].array
        elif name in FROM_PLAN:
            columns[name] = [None] * len(answers)
        elif name in FROM_RUN:
            columns[name] = [run[name]] * len(answers)
        else:
            columns[name] = [answer.get(name) for answer in answers]
    return _frame(columns)


def _planned(
    manifest: dict[str, Any],
    plan: dict[str, dict[str, Any]] | None,
    earlier: Run | None,
) -> pd.DataFrame | None:
    """The plan as a table: an earlier run's own, where both are of the same questions.

    Many runs of one exam then hold its questions once.
    """
    if plan is None:
        return None
    if earlier and manifest["questions"] == earlier.manifest.get("questions"):
        manifest["questions"] = earlier.manifest["questions"]
        return None if earlier.plan is None else earlier.plan.copy(deep=False)
    names = ("problem_id", "section", *FROM_PLAN)
    return _frame({name: [q.get(name) for q in plan.values()] for name in names})


def _columns(raw: bool, texts: bool) -> list[str]:
    left_out = (() if raw else ("raw",)) + (() if texts else TEXTS)
    return [name for name in COLUMNS if name not in left_out]


# --- types ----------------------------------------------------------------------------


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    """A table of lists of values, which are typed here, and of typed columns."""
    import pandas as pd

    typed = {
        name: _typed(values, COLUMNS[name].type) if isinstance(values, list) else values
        for name, values in columns.items()
    }
    return pd.DataFrame(typed)


def _typed(values: list[Any], kind: str) -> Any:
    """Values as a typed column; what is not of the type is missing."""
    import pandas as pd

    if kind == "text":
        return pd.Series(_texts(values), dtype="str")
    if kind == "whole":
        return pd.array(_figures(values, whole=True), dtype="Int64")
    if kind == "number":
        return pd.array(_figures(values), dtype="Float64")
    if kind == "truth":
        truths = [v if isinstance(v, bool) else None for v in values]
        return pd.array(truths, dtype="boolean")
    if kind == "moment":
        texts = pd.Series([_text(v) for v in values], dtype="str")
        return pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    if kind == "letters":
        known: dict[Any, Any] = {}
        letters = [_letters(v) for v in values]
        return pd.Series([known.setdefault(v, v) for v in letters], dtype="object")
    return pd.Series(values, dtype="object")


def _texts(values: list[Any]) -> list[str | None]:
    """Values as texts, equal ones as one object: a column says few things often."""
    words: dict[str, str] = {}
    for value in {v for v in values if type(v) is str}:
        text = str(_text(value))
        words[value] = sys.intern(text) if len(text) <= WORD else text
    return [words[v] if type(v) is str else _text(v) for v in values]


def _text(value: Any) -> str | None:
    """Text that every encoder takes: a reply may hold half a surrogate pair."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def _figures(values: list[Any], whole: bool = False) -> np.ndarray:
    """Values as floats, nan where one is no number: a truth, a text, an infinity."""
    import numpy as np

    known = [v if type(v) in NUMBERS and -BEYOND < v < BEYOND else None for v in values]
    figures = np.array(known, dtype=float)
    return np.where(figures == np.floor(figures), figures, np.nan) if whole else figures


def _whole(value: Any) -> int | None:
    (figure,) = _figures([value], whole=True).tolist()
    return int(figure) if figure == figure else None  # nan alone is not itself


def _letters(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list) and value else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# --- words ----------------------------------------------------------------------------


def _where(path: Path) -> str:
    """A file by the name of its run, the same whatever folder the runs are in."""
    return f"{path.parent.name}/{path.name}"


def _numbered(numbers: list[int], shown: int = 5) -> str:
    listed = ", ".join(map(str, numbers[:shown]))
    more = len(numbers) - shown
    tail = f" and {more} more" if more > 0 else ""
    return f"line{'s' if len(numbers) > 1 else ''} {listed}{tail}"


def _short(problem: BaseException) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
