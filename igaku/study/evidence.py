"""Evidence: what runs have on record, held against each other and within each run.

Nothing here knows which run is right. What most runs of an exam say counts, and on a
tie what the first of them in the study's order says; the others are named.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from igaku.ask.warm import LONG
from igaku.exam.choices import released
from igaku.server.parts import at
from igaku.study.alarms import Alarm, alarm_on, by_exam, dicts, entry, grouped, parted
from igaku.study.copies import copies
from igaku.study.designs import condition
from igaku.study.families import Study
from igaku.study.runs import Run

# With these the same, two runs send the same words for a question.
WORDED = ("shots", "prompt", "language", "serial_context", "choice_order")
SHARED_LONG, SHARED_FEWEST, SHARED = 40, 10, 0.2
REPEATED = 5  # questions whose loops are another's
FEW = 5  # replies to an id, where a server names all of them alike
PRIMES = (1_000_003, 998_244_353, 1_000_000_007)  # to mix three numbers into one
CONSTANT = 10  # prompts
LETTERS = 24  # characters of a text that may be nothing but letters
SLACK = pd.Timedelta(seconds=2)  # between two clocks
SERVED = ("context_length", "parallel", "runtime", "template", "cached_tokens")

Told = Mapping[str, Mapping[Any, Any]]  # run → thing → what the run has on record of it


# --- runs against each other ----------------------------------------------------------


def other_wording(study: Study) -> Iterator[Alarm]:
    """Runs that sent other words for a question than the others, settings alike."""
    for runs in by_exam(study):
        alike: dict[tuple[Any, ...], list[Run]] = {}
        for run in runs:
            settings = tuple(str(condition(run)[name]) for name in WORDED)
            alike.setdefault((run.origin == "recorded", *settings), []).append(run)
        for group in alike.values():
            told = {run.name: _wording(run) for run in group}
            yield from _deviating("other_wording", group, told)


def other_exam(study: Study) -> Iterator[Alarm]:
    """Runs whose exam files are not those of the others."""
    for runs in by_exam(study):
        told = {run.name: _mapping(entry(run, "exam").get("files")) for run in runs}
        yield from _deviating("other_exam", runs, told)


def other_gold(study: Study) -> Iterator[Alarm]:
    """Runs that hold another answer to be right than the others do."""
    for runs in by_exam(study):
        plans = ((run.name, run.plan) for run in runs if run.plan is not None)
        told = {name: _column(plan, "gold") for name, plan in plans}
        yield from _deviating("other_gold", runs, told)


def same_weights(study: Study) -> Iterator[Alarm]:
    """Models of different names whose servers described the very same weights."""
    groups: dict[str, list[Run]] = {}
    for run in study.variants:
        said = entry(run, "identity").get("fingerprint")
        if isinstance(said, dict) and (said.get("size_bytes") or said.get("digest")):
            key = repr(sorted((name, str(said[name])) for name in said))
            groups.setdefault(f"{run.exam} {key}", []).append(run)
    for group in groups.values():
        if len({run.settings.get("slug") or run.model for run in group}) > 1:
            yield Alarm("same_weights", tuple(run.name for run in group), {})


def shared_replies(study: Study) -> Iterator[Alarm]:
    """Pairs of runs of which many long texts, or times to the digit, are the same."""
    for runs in by_exam(study):
        # The embedded model's short chains are rightly alike under several recipes.
        runs = [run for run in runs if not run.is_lab]
        whole = [{run.name for run in group} for group in copies(runs)]
        alike: dict[tuple[int, int], dict[str, Any]] = {}
        for by, mark in (("time", _times), ("text", _texts)):
            alike |= {p: told | {"by": by} for p, told in _alike(_codes(runs, mark))}
        for (i, j), facts in sorted(alike.items()):
            pair = (runs[i].name, runs[j].name)
            if any({*pair} <= group for group in whole):
                continue
            models = {
                run.settings.get("slug") or run.model for run in (runs[i], runs[j])
            }
            again = len(models) == 1
            yield Alarm("shared_replies", pair, facts | {"again": again}, not again)


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
            if len(told) > 1:
                yield parted("other_serving", told, "value", grave=False, setting=name)


def other_versions(study: Study) -> Iterator[Alarm]:
    """Runs that were made by different states of igaku."""
    for runs in by_exam(study):
        told = grouped((_version(run), run) for run in runs)
        if len(told) > 1:
            yield parted("other_versions", told, "value", grave=False)


def other_pace(study: Study) -> Iterator[Alarm]:
    """Runs of which other numbers of questions were under way at once."""
    for runs in by_exam(study):
        paces = ((run.settings.get("concurrency"), run) for run in runs)
        told = grouped((str(pace) if pace else None, run) for pace, run in paces)
        if len(told) > 1:
            yield parted("other_pace", told, "value", grave=False)


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
        rows = run.rows[run.rows["outcome"] != "refused"]
        loops = rows["cause"] == "looping"
        for name in _texts_of(rows):
            for grave, some in ((True, rows[~loops]), (False, rows[loops])):
                long = some[some[name].str.len() >= LONG]
                again = long[long.duplicated(name, keep=False)]
                if len(again) >= (2 if grave else REPEATED):
                    sample = str(again[name].mode().iloc[0])[:60]
                    yield alarm_on(
                        "repeated_texts", run, grave, where=name, loops=not grave,
                        sample=sample, questions=again["problem_id"].tolist(),
                    )  # fmt: skip


def constant_tokens(study: Study) -> Iterator[Alarm]:
    """Runs whose server counted the same tokens for different prompts."""
    for run in study.runs:
        rows = run.rows[run.rows["prompt_tokens"].notna()]
        prompts = rows["prompt_sha256"].nunique()
        if prompts >= CONSTANT and rows["prompt_tokens"].nunique() == 1:
            tokens = int(rows["prompt_tokens"].iloc[0])
            yield alarm_on("constant_tokens", run, prompts=prompts, tokens=tokens)


def repeated_ids(study: Study) -> Iterator[Alarm]:
    """Runs of which several replies have one id; grave where these are one reply.

    An id by itself proves little: Ollama draws one of 999, and some servers send one
    for everything. Words and tokens that are the same as well do, unless ids are few.
    """
    for run in study.runs:
        rows = run.rows[run.rows["reply_id"].notna()]
        ids = rows["reply_id"].nunique()
        if n := len(rows) - ids:
            names = ["reply_id", "reply_sha256", "prompt_tokens", "completion_tokens"]
            same = [*names, *_texts_of(rows)]
            one = rows.loc[rows.duplicated(same, keep=False), "problem_id"].tolist()
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
    names = []
    for run in study.runs:
        slots = at(run.manifest.get("server_before"), "/props.total_slots")
        sent = entry(run, "sampling").get("sent")
        is_free = isinstance(sent, dict) and sent.get("cache_prompt") is not False
        if is_free and isinstance(slots, int) and slots > 1:
            names.append(run.name)
    if names:
        yield Alarm("reused_prompts", tuple(names), {}, grave=False)


# --- parts ----------------------------------------------------------------------------


def _deviating(kind: str, runs: Sequence[Run], told: Told) -> Iterator[Alarm]:
    """An alarm on each run that has something else on record than most have."""
    first = next(iter(told.values()), None)
    if all(own == first for own in told.values()):
        return
    said: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
    for own in told.values():
        for thing, value in own.items():
            said[thing][value] += 1
    usual = {thing: counts.most_common(1)[0][0] for thing, counts in said.items()}
    for run in runs:
        own = told.get(run.name, {})
        others = [str(thing) for thing in own if own[thing] != usual[thing]]
        if others:
            yield alarm_on(kind, run, questions=others)


def _wording(run: Run) -> dict[str, Any]:
    """A hash of what was sent for each question; on a record, of the system's line."""
    hashes = _column(run.rows, "prompt_sha256")
    system = run.manifest.get("system_prompt_sha256")
    if hashes or not isinstance(system, str):
        return hashes
    return dict.fromkeys(run.rows["problem_id"].tolist(), system)


def _column(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """What a frame holds of each question, where it holds anything."""
    told = zip(frame["problem_id"].tolist(), frame[name].tolist(), strict=True)
    return {k: v for k, v in told if isinstance(v, str | tuple)}


def _codes(runs: Sequence[Run], mark: Any) -> np.ndarray:
    """Runs in rows, questions in columns: equal marks, equal numbers; 0 for none."""
    names = [run.rows["problem_id"].tolist() for run in runs]
    listed = dict.fromkeys(name for each in names for name in each)
    places = {name: place for place, name in enumerate(listed)}
    found = np.zeros((len(runs), len(places)), dtype=np.int64)
    for codes, own, run in zip(found, names, runs, strict=True):
        codes[[places[name] for name in own]] = mark(run.rows)
    return found


def _alike(codes: np.ndarray) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Pairs of runs of which many marks are the same, and how many of how many."""
    is_told, ordered = codes != 0, np.sort(codes, axis=0)
    again = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    # Times are hardly ever alike: then no pair needs to be looked at.
    for i in range(len(codes) if again.sum() >= SHARED_FEWEST else 0):
        both = is_told[i + 1 :] & is_told[i]
        n = both.sum(axis=1)
        same = (both & (codes[i + 1 :] == codes[i])).sum(axis=1)
        for j in np.flatnonzero((same >= SHARED_FEWEST) & (same >= SHARED * n)):
            yield (i, i + 1 + int(j)), {"n": int(n[j]), "same": int(same[j])}


def _texts(rows: pd.DataFrame) -> Any:
    """A number for each reply's long texts; 0 where it has none."""
    texts = [rows[name].fillna("").tolist() for name in _texts_of(rows)]
    if not texts:
        return 0
    long = (
        [t for t in told if len(t) >= SHARED_LONG] for told in zip(*texts, strict=True)
    )
    return [hash(tuple(told)) if told else 0 for told in long]


def _texts_of(rows: pd.DataFrame) -> list[str]:
    """The columns of texts that a table has: they may be left out at loading."""
    return [name for name in ("reasoning", "content") if name in rows]


def _times(rows: pd.DataFrame) -> Any:
    """A number for when each question was asked, how long it took, and its tokens."""
    asked = rows["asked_at"].to_numpy("datetime64[ns]")
    parts = [
        rows[name].to_numpy(float, na_value=np.nan)
        for name in ("seconds", "completion_tokens")
    ]
    bits = [each.view(np.int64) for each in (asked, *parts)]
    codes = bits[0] * PRIMES[0] ^ bits[1] * PRIMES[1] ^ bits[2] * PRIMES[2]
    is_known = ~np.isnat(asked)
    for part in parts:
        is_known &= ~np.isnan(part)
    return np.where(is_known, codes, 0)


def _spans(run: Run) -> list[tuple[pd.Timestamp, pd.Timestamp, Any]]:
    """The sessions of a run: start, end and server."""
    found = []
    for session in dicts(run.manifest.get("sessions")):
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
        told = at(run.manifest.get("server_before"), "/props.chat_template")
        known = told.encode("utf-8", "replace") if isinstance(told, str) else None
        return hashlib.sha256(known).hexdigest()[:8] if known else None
    if name == "cached_tokens":  # whether any prompt's beginning was not computed anew
        told = run.rows[name].max()
        return None if pd.isna(told) else "> 0" if told else "0"
    said = entry(run, "identity").get("fingerprint")
    value = said.get(name) if isinstance(said, dict) else None
    return None if value is None else str(value)


def _version(run: Run) -> str | None:
    """The igaku that made a run, and the commit of its checkout."""
    version = entry(run, "packages").get("igaku")
    commit = run.manifest.get("git_commit")
    if not isinstance(version, str):
        return None
    told = str(commit)[:7] + "-dirty" * str(commit).endswith("-dirty")
    return f"{version} ({told})" if commit else version


def _misgraded(run: Run) -> list[str]:
    """The questions of a run that are graded otherwise than answer and gold say."""
    rows = run.rows[~run.rows["adjudicated"]]  # a human may read otherwise
    names = ("outcome", "answer", "gold", "correct", "shown_as")
    columns = [rows[name].tolist() for name in names]
    texts = rows["content"].tolist() if "content" in rows else [None] * len(rows)
    short = (t if len(str(t)) <= LETTERS else None for t in texts)
    told = list(zip(*columns, short, strict=True))
    suspects = {each for each in {*told} if _is_misgraded(each)}
    ways = {
        str(q.get("problem_id")): [tuple(way) for way in q["accepted"]]
        for q in dicts(run.manifest.get("questions"))
        if q.get("accepted") and q["accepted"] != [q.get("gold")]
    }
    if not suspects and not ways:
        return []
    return [
        name
        for name, each in zip(rows["problem_id"], told, strict=True)
        if (each in suspects or name in ways) and _is_misgraded(each, ways.get(name))
    ]


def _is_misgraded(row: tuple[Any, ...], ways: Any = None) -> bool:
    """Whether a row's grade is not what its answer and the gold give."""
    outcome, answer, gold, correct, shown, content = row
    said = tuple(sorted(answer)) if isinstance(answer, tuple) else None
    is_silent = outcome == "answered" and said is None
    if gold is None or pd.isna(correct) or is_silent:
        return False
    is_right = outcome == "answered" and said in (ways or [gold])
    order = shown if isinstance(shown, str) else None
    return is_right != bool(correct) or _says_another(content, said, order)


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
    sessions = dicts(run.manifest.get("sessions"))
    return [
        {name: str(each.get(name)) for name in ("problem_id", "where", "at")}
        | {"same": each.get("same") is not False}
        | {"of": list(map(str, of)) if isinstance(of := each.get("of"), list) else []}
        for session in sessions
        for each in dicts(session.get("warm"))
    ]


def _mapping(value: object) -> dict[str, Any]:
    """A mapping of texts that a file holds; {} where it is none."""
    told = value if isinstance(value, dict) else {}
    return {k: v for k, v in told.items() if isinstance(v, str)}
