"""Files of results recorded elsewhere, as they stand: JSON, or JSON Lines."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from igaku.ask.folder import Row
from igaku.ask.rows import numbered
from igaku.errors import IgakuError
from igaku.exam import igakuqa
from igaku.exam.questions import Question
from igaku.params.settings import slugified
from igaku.server.parts import at, text_of

NAMES = (
    re.compile(r"(?P<stem>.+)_(?P<year>\d{4})_[A-F]\.jsonl?"),
    re.compile(r"(?P<exam>\d{3})-[A-F]_(?P<stem>.+)\.jsonl?"),  # IgakuQA's own
)
ALIKE = (("model", "model"), ("file name", "stem"), ("system prompt", "system"))
ENDINGS = ("…", "...")  # of a text that its recorder cut
FAILED = "ERROR"  # a recorder's word for a request without a reply
BASELINE = "baseline"  # the prompt meant where none is named
CLIPPED_AT = {"response": 200, "reasoning": 500}  # characters the recorder kept


class Recording(NamedTuple):
    """A file's answers to one prompt as they stand, and what it says of them all."""

    path: Path
    sha256: str
    records: list[Row]
    model: str | None = None
    timestamp: str | None = None
    prompt: str | None = None
    system: str | None = None  # the words of the prompt
    notes: tuple[str, ...] = ()

    @property
    def stem(self) -> str | None:
        """Whose results they are, as the file's name says; None where it does not."""
        return named_after(self.path)[0]


def found_in(sources: Iterable[str | Path]) -> list[Path]:
    """The files that are given, and those in given folders whose names say results."""
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        path = source.expanduser()
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*.json*") if each.is_file())
            found |= dict.fromkeys(each for each in inside if named_after(each)[0])
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


def named_after(path: Path) -> tuple[str | None, int | None]:
    """Whose results a file is named after, and of which year's exam."""
    years = {number: year for year, number in igakuqa.EXAMS.items()}
    for pattern in NAMES:
        if found := pattern.fullmatch(path.name):
            told = found.groupdict()
            year = told["year"] if "year" in told else years.get(int(told["exam"]))
            return told["stem"], int(year) if year else None
    return None, None


# --- a file ---------------------------------------------------------------------------


def recordings_in(path: Path) -> list[Recording]:
    """What a file holds: a recording of each prompt, or of JSON Lines the only one."""
    try:
        data = path.read_bytes()
    except OSError as refused:
        raise IgakuError(
            f"{path} cannot be read ({refused.strerror}): correct the path."
        ) from refused
    digest = hashlib.sha256(data).hexdigest()
    if path.suffix == ".jsonl":
        records, notes = _lines(path, data)
        found = [Recording(path, digest, records, notes=notes)]
    else:
        told = _parsed(data)
        if told is None:
            raise IgakuError(f"{path} is torn, or not JSON: give the whole file.")
        found = _of_each_prompt(path, digest, told)
    if not any(each.records for each in found):
        raise IgakuError(
            f"{path} holds no recorded results: give JSON with `details` as a recorder "
            "wrote it, or JSON Lines with problem_id and prediction."
        )
    return found


def _lines(path: Path, data: bytes) -> tuple[list[Row], tuple[str, ...]]:
    """The records of JSON Lines, and a sentence that names the lines left out."""
    records, torn = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        record = _parsed(line)
        if _is_record(record):
            records.append(record)
        elif line.strip():
            torn.append(number)
    lines = numbered(torn, len(torn))
    note = f"{path.name}, {lines}: torn, or no recorded answer; left out."
    return records, (note,) if torn else ()


def _of_each_prompt(path: Path, digest: str, told: Any) -> list[Recording]:
    """The results that a JSON object holds of each prompt that has any."""
    details, words = at(told, "details"), at(told, "prompts")
    model, time = (text_of(at(told, name)) for name in ("model", "timestamp"))
    system = words if isinstance(words, dict) else {}
    return [
        Recording(path, digest, each, model, time, prompt, text_of(system.get(prompt)))
        for prompt, each in (details if isinstance(details, dict) else {}).items()
        if each and isinstance(each, list)
    ]


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


# --- the files of a run ---------------------------------------------------------------


def of_prompt(
    files: Sequence[Sequence[Recording]], prompt: str | None
) -> list[Recording]:
    """What each file holds of a prompt; of none named: the only one, or "baseline"."""
    if not prompt:
        named = {taken.prompt for taken in chain(*files)} - {None}
        prompt = named.pop() if len(named) == 1 else BASELINE
    found = []
    for told in files:
        one = [taken for taken in told if taken.prompt in (prompt, None)]
        if not one:
            raise IgakuError(
                f"{told[0].path} has no answers to the prompt {prompt!r}: give one of "
                f"{', '.join(repr(taken.prompt) for taken in told)} as `prompt`."
            )
        found += one
    return found


def by_prompt(
    files: Iterable[Iterable[Recording]],
) -> dict[str | None, list[Recording]]:
    """What files hold of each prompt, the default one's first.

    Files that name no prompt go with the default one's, or with those of an only one.
    """
    found: dict[str | None, list[Recording]] = {}
    for taken in chain(*files):
        found.setdefault(taken.prompt, []).append(taken)
    if nameless := found.pop(None, None):
        only = next(iter(found)) if len(found) == 1 else None
        found.setdefault(BASELINE if BASELINE in found else only, []).extend(nameless)
    return dict(sorted(found.items(), key=lambda one: one[0] not in (BASELINE, None)))


def named_apart(
    run: str, prompts: dict[str | None, list[Recording]]
) -> dict[str, list[Recording]]:
    """A run for each prompt, named apart: the default prompt's bears the plain name."""
    named: dict[str, list[Recording]] = {}
    for prompt, recordings in prompts.items():
        is_plain = len(prompts) == 1 or prompt in (BASELINE, None)
        # A prompt whose name has no letter of a folder's is told by a number.
        name = run if is_plain else run + slugified(f"p-{prompt}")[1:]
        while name in named or (name == run and not is_plain):
            name += "-2"
        named[name] = recordings
    return named


def check_alike(recordings: Sequence[Recording]) -> None:
    """Refuse files that cannot be one run: of two models, or one file twice."""
    for name, n in Counter(taken.path.name for taken in recordings).items():
        if n > 1:
            raise IgakuError(f"{name} is given {n} times: give each file once.")
    for what, name in ALIKE:
        told = dict.fromkeys(getattr(taken, name) for taken in recordings)
        told.pop(None, None)
        if len(told) > 1:
            raise IgakuError(
                f"The files are not one run, their {what}s differ "
                f"({' and '.join(told)}): import each by itself."
            )


def by_problem(
    recordings: Sequence[Recording], questions: Sequence[Question], exam: int | str
) -> dict[str, tuple[Row, Recording]]:
    """Each question's record and its file; no question twice, none of another exam."""
    known = {question.problem_id for question in questions}
    found: dict[str, tuple[Row, Recording]] = {}
    told = (
        (taken, place, record)
        for taken in recordings
        for place, record in enumerate(taken.records, 1)
    )
    for taken, place, record in told:
        if not _is_record(record):
            raise IgakuError(
                f"Record {place} of {taken.path} is no recorded answer: mend or remove "
                "it."
            )
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


# --- what a record says --------------------------------------------------------------


def error_of(record: Row) -> str | None:
    """The error that was recorded instead of a reply."""
    error = record.get("error")
    if error is not None:
        return str(error)
    return FAILED if record["prediction"] == FAILED else None


def content_of(record: Row) -> str:
    """The text of the reply; IgakuQA calls it an explanation."""
    texts = (record.get("response"), record.get("explanation"), record["prediction"])
    return next(text for text in texts if text is not None)


def is_whole(record: Row, is_clipped: bool) -> bool:
    """Whether a record holds the text of its reply, and holds it to its end."""
    text = record.get("response") or record.get("explanation") or ""
    is_cut = is_clipped and len(text) == CLIPPED_AT["response"]
    return bool(text) and not is_cut and not text.rstrip().endswith(ENDINGS)


def clipped(records: Sequence[Row]) -> dict[str, int | None]:
    """How many texts have the recorder's full length, and so may be cut off there.

    0 where a longer text shows that nothing was cut; None where none was recorded.

    >>> clipped([{"response": "x" * 200}, {"response": "a"}])
    {'response': 1, 'reasoning': None}
    """
    counts: dict[str, int | None] = {}
    for name, limit in CLIPPED_AT.items():
        lengths = [len(each[name]) for each in records if each.get(name) is not None]
        cut = lengths.count(limit) if max(lengths, default=0) == limit else 0
        counts[name] = cut if lengths else None
    return counts
