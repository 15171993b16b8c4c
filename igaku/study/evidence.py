"""Evidence: what runs have on record, held against each other and within each run.

Nothing here knows which run is right. What most runs of an exam say counts, and on a
tie what the first of them in the study's order says; the others are named.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from igaku.ask.warm import LONG
from igaku.exam.choices import released
from igaku.server.parts import at, maps
from igaku.study.alarms import (
    Alarm,
    alarm_on,
    apart,
    by_exam,
    grouped,
    names_of,
    texts_of,
)
from igaku.study.designs import condition
from igaku.study.families import Study
from igaku.study.runs import Run, ways_of

# With these and the texts the same, two replies of one id are one reply.
ONE = ["reply_id", "reply_sha256", "prompt_tokens", "completion_tokens"]
# With these the same, two runs send the same words for a question.
WORDED = ("shots", "prompt", "language", "serial_context", "choice_order")
REPEATED = 5  # questions whose loops are another's
FEW = 5  # replies to an id, where a server names all of them alike
CONSTANT = 10  # prompts
LETTERS = 24  # characters of a text that may be nothing but letters
SLACK = pd.Timedelta(seconds=2)  # between two clocks
SERVED = ("context_length", "parallel", "runtime", "template", "cached_tokens")


# --- runs against each other ----------------------------------------------------------


def other_wording(study: Study) -> Iterator[Alarm]:
    """Runs that sent other words for a question than the others, settings alike."""
    for runs in by_exam(study):
        for group in grouped((_worded(run), run) for run in runs).values():
            yield from _deviating("other_wording", group, _wording)


def other_exam(study: Study) -> Iterator[Alarm]:
    """Runs whose exam files are not those of the others."""
    for runs in by_exam(study):
        yield from _deviating("other_exam", runs, _files)


def other_gold(study: Study) -> Iterator[Alarm]:
    """Runs that hold another answer to be right than the others do."""
    for runs in by_exam(study):
        yield from _deviating("other_gold", runs, lambda run: _column(run.plan, "gold"))


def side_by_side(study: Study) -> Iterator[Alarm]:
    """Runs that asked one server at the same time."""
    spans = {run.name: _spans(run) for run in study.runs}
    for one, two in combinations(spans, 2):
        overlaps = [
            min(a[1], b[1]) - max(a[0], b[0])
            for a in spans[one]
            for b in spans[two]
            if a[2] and a[2] == b[2]
        ]
        longest = max(overlaps, default=pd.Timedelta(0))
        if longest > SLACK:
            minutes = longest.total_seconds() / 60
            yield Alarm("side_by_side", (one, two), {"minutes": minutes})


def other_serving(study: Study) -> Iterator[Alarm]:
    """Runs whose servers loaded or rendered otherwise, by their own word."""
    for runs in by_exam(study):
        for name in SERVED:
            told = grouped((_served_with(run, name), run) for run in runs)
            yield from apart("other_serving", told, grave=False, setting=name)


def other_versions(study: Study) -> Iterator[Alarm]:
    """Runs that were made by different states of igaku."""
    for runs in by_exam(study):
        told = grouped((_version(run), run) for run in runs)
        yield from apart("other_versions", told, grave=False)


def other_pace(study: Study) -> Iterator[Alarm]:
    """Runs of which other numbers of questions were under way at once."""
    for runs in by_exam(study):
        paces = (str(run.settings.get("concurrency") or "") for run in runs)
        told = grouped(zip(paces, runs, strict=True))
        yield from apart("other_pace", told, grave=False)


# --- within a run ---------------------------------------------------------------------


def wrong_grades(study: Study) -> Iterator[Alarm]:
    """Runs with rows whose grade is not what their answer and the gold give.

    Nor may the answer be another than that of a text which is nothing but letters. A
    recorded run keeps the grades it came with, see the audit `regraded`.
    """
    for run in study.runs:
        if run.origin != "recorded" and (wrong := _misgraded(run)):
            yield alarm_on("wrong_grades", run, questions=wrong)


def over_budget(study: Study) -> Iterator[Alarm]:
    """Runs with replies of more tokens than a reply was allowed."""
    for run in study.runs:
        if run.budget is not None:
            tokens = run.rows["completion_tokens"].dropna().astype(int)
            if n := int((tokens > run.budget).sum()):
                most = int(tokens.max())
                yield alarm_on("over_budget", run, n=n, most=most, budget=run.budget)


def outside_sessions(study: Study) -> Iterator[Alarm]:
    """Runs with replies that were asked for when no session of theirs was under way."""
    for run in study.runs:
        asked, spans = run.rows["asked_at"], _spans(run)
        inside = pd.Series(False, index=asked.index)
        for start, end, _ in spans:
            inside |= asked.between(start - SLACK, end)
        if spans and (n := int((asked.notna() & ~inside).sum())):
            yield alarm_on("outside_sessions", run, n=n)


def repeated_texts(study: Study) -> Iterator[Alarm]:
    """Runs in which questions share a whole thought, or a long text, with another.

    One model's loops may well be alike: of these, five are a note.
    """
    for run in study.runs:
        if not (texts := texts_of(run.rows)):
            continue
        told = run.rows[["problem_id", "outcome", "cause", *texts]]
        rows = told[told["outcome"] != "refused"]
        for name in texts:
            long = rows[rows[name].str.len() >= LONG]
            loops = long["cause"] == "looping"
            for grave, some in ((True, long[~loops]), (False, long[loops])):
                again = some[some.duplicated(name, keep=False)]
                if len(again) >= (2 if grave else REPEATED):
                    sample = str(again[name].mode().iloc[0])[:60]
                    yield alarm_on(
                        "repeated_texts", run, grave, where=name, loops=not grave,
                        sample=sample, questions=again["problem_id"].tolist(),
                    )  # fmt: skip


def constant_tokens(study: Study) -> Iterator[Alarm]:
    """Runs whose server counted the same tokens for different prompts."""
    for run in study.runs:
        counted = run.rows["prompt_tokens"].dropna()
        if counted.nunique() != 1:
            continue
        prompts = run.rows.loc[counted.index, "prompt_sha256"].nunique()
        if prompts >= CONSTANT:
            tokens = int(counted.iloc[0])
            yield alarm_on("constant_tokens", run, prompts=prompts, tokens=tokens)


def repeated_ids(study: Study) -> Iterator[Alarm]:
    """Runs of which several replies have one id; grave where these are one reply.

    An id by itself proves little: Ollama draws one of 999, and some servers send one
    for everything. Words and tokens that are the same as well do, unless ids are few.
    """
    for run in study.runs:
        named = run.rows["reply_id"].dropna()
        ids = named.nunique()
        if n := len(named) - ids:
            rows = run.rows.loc[named.index]
            alike = rows.duplicated([*ONE, *texts_of(rows)], keep=False)
            one = rows.loc[alike, "problem_id"].tolist()
            grave = bool(one) and ids * FEW > len(rows)
            facts = {"n": n, "ids": ids, "questions": one if grave else []}
            yield alarm_on("repeated_ids", run, grave, **facts)


def anothers_reply(study: Study) -> Iterator[Alarm]:
    """Runs in which a question that was asked again got what another had got."""
    for run in study.runs:
        if found := [each for each in _warm(run) if each["of"]]:
            yield alarm_on("anothers_reply", run, found=found)


def other_when_warm(study: Study) -> Iterator[Alarm]:
    """Runs in which a question that was asked again, warm, got another reply."""
    for run in study.runs:
        told = _warm(run)
        if found := [each for each in told if not (each["same"] or each["of"])]:
            yield alarm_on("other_when_warm", run, False, n=len(told), found=found)


def reused_prompts(study: Study) -> Iterator[Alarm]:
    """Runs that left llama.cpp free to reuse prompts among several slots."""
    free = []
    for run in study.runs:
        slots = at(run.manifest, "server_before./props.total_slots")
        sent = at(run.manifest, "sampling.sent")
        is_free = isinstance(sent, dict) and sent.get("cache_prompt") is not False
        if is_free and isinstance(slots, int) and slots > 1:
            free.append(run)
    if free:
        yield Alarm("reused_prompts", tuple(names_of(free)), {}, grave=False)


# --- parts ----------------------------------------------------------------------------


def _deviating(
    kind: str, runs: Sequence[Run], tell: Callable[[Run], Mapping[str, Any]]
) -> Iterator[Alarm]:
    """An alarm on each run that has something else on record than most have."""
    told = [tell(run) for run in runs]
    if all(own == told[0] for own in told):
        return
    said: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
    for own in told:
        for thing, value in own.items():
            said[thing][value] += 1
    usual = {thing: counts.most_common(1)[0][0] for thing, counts in said.items()}
    for run, own in zip(runs, told, strict=True):
        if others := [thing for thing in own if own[thing] != usual[thing]]:
            yield alarm_on(kind, run, questions=others)


def _worded(run: Run) -> str:
    """What settles the words of a run's questions, and whether these are recorded."""
    told = condition(run)
    return str([run.origin == "recorded", *(str(told[name]) for name in WORDED)])


def _wording(run: Run) -> dict[str, Any]:
    """A hash of what was sent for each question; on a record, of the system's line."""
    hashes = _column(run.rows, "prompt_sha256")
    system = run.manifest.get("system_prompt_sha256")
    if hashes or not isinstance(system, str):
        return hashes
    return dict.fromkeys(run.rows["problem_id"].tolist(), system)


def _files(run: Run) -> dict[str, str]:
    """The hash of each file of the exam."""
    told = at(run.manifest, "exam.files")
    held = told.items() if isinstance(told, dict) else ()
    return {name: digest for name, digest in held if isinstance(digest, str)}


def _column(frame: pd.DataFrame | None, name: str) -> dict[str, Any]:
    """What a frame holds of each question, where it holds anything."""
    if frame is None:
        return {}
    told = zip(frame["problem_id"].tolist(), frame[name].tolist(), strict=True)
    return {k: v for k, v in told if isinstance(v, str | tuple)}


def _spans(run: Run) -> list[tuple[pd.Timestamp, pd.Timestamp, Any]]:
    """The sessions of a run: start, end and server."""
    found = []
    for session in maps(run.manifest.get("sessions")):
        start, end = (
            pd.to_datetime(str(session.get(name)), utc=True, errors="coerce")
            for name in ("start", "end")
        )
        if not pd.isna(start):
            asked = run.rows["asked_at"].dropna()
            # One that was killed ended with its last question, as far as is known.
            last = asked[asked >= start].max() if pd.isna(end) else end
            last = start if pd.isna(last) else last
            found.append((start, last + SLACK, session.get("base_url")))
    return found


def _served_with(run: Run, name: str) -> str | None:
    """What the server said of itself, as text; None where it did not."""
    if name == "template":
        told = at(run.manifest, "server_before./props.chat_template")
        known = told.encode("utf-8", "replace") if isinstance(told, str) else None
        return hashlib.sha256(known).hexdigest()[:8] if known else None
    if name == "cached_tokens":  # whether any prompt's beginning was not computed anew
        most = run.rows[name].max()
        return None if pd.isna(most) else "> 0" if most else "0"
    value = at(run.manifest, f"identity.fingerprint.{name}")
    return None if value is None else str(value)


def _version(run: Run) -> str | None:
    """The igaku that made a run, and the commit of its checkout."""
    version = at(run.manifest, "packages.igaku")
    commit = run.manifest.get("git_commit")
    if not isinstance(version, str):
        return None
    told = str(commit)[:7] + "-dirty" * str(commit).endswith("-dirty")
    return f"{version} ({told})" if commit else version


def _misgraded(run: Run) -> list[str]:
    """The questions of a run that are graded otherwise than answer and gold say."""
    rows = run.rows
    if rows["adjudicated"].any():
        rows = rows[~rows["adjudicated"]]  # a human may read otherwise
    several = {
        str(q.get("problem_id")): tuple(ways_of(q))
        for q in maps(run.manifest.get("questions"))
        if q.get("accepted") and q["accepted"] != [q.get("gold")]
    }
    names = ("problem_id", "outcome", "answer", "gold", "correct", "shown_as")
    questions, *columns, orders = (rows[name].tolist() for name in names)
    texts = rows["content"].tolist() if "content" in rows else [None] * len(rows)
    # What is missing is None: a nan is equal to nothing, and no two rows were alike.
    shown_as = (order if isinstance(order, str) else None for order in orders)
    short = (t if isinstance(t, str) and len(t) <= LETTERS else None for t in texts)
    ways = map(several.get, questions)
    told = list(zip(*columns, shown_as, short, ways, strict=True))
    wrong = {row for row in {*told} if _is_misgraded(row)}
    return [name for name, row in zip(questions, told, strict=True) if row in wrong]


def _is_misgraded(row: tuple[Any, ...]) -> bool:
    """Whether a row's grade is not what its answer and the gold give."""
    outcome, answer, gold, correct, shown_as, content, ways = row
    said = tuple(sorted(answer)) if isinstance(answer, tuple) else None
    is_silent = outcome == "answered" and said is None
    if gold is None or pd.isna(correct) or is_silent:
        return False
    is_right = outcome == "answered" and said in (ways or [gold])
    return is_right != bool(correct) or _says_another(content, said, shown_as)


def _says_another(
    content: Any, answer: tuple[str, ...] | None, order: str | None
) -> bool:
    """Whether a text of nothing but letters states another answer."""
    if answer is None or not isinstance(content, str):
        return False
    is_bare = re.fullmatch(r"\s*[a-h](?:[,、 ]+[a-h])*\s*", content)
    said = tuple(sorted({*re.findall("[a-h]", content)}))
    return bool(is_bare) and released(said, order) != answer


def _warm(run: Run) -> list[dict[str, Any]]:
    """What came of asking again, in texts, whatever a manifest holds."""
    sessions = maps(run.manifest.get("sessions"))
    return [
        {name: str(each.get(name)) for name in ("problem_id", "where", "at")}
        | {"same": each.get("same") is not False}
        | {"of": list(map(str, of)) if isinstance(of := each.get("of"), list) else []}
        for session in sessions
        for each in maps(session.get("warm"))
    ]
