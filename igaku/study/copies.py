"""Copies: runs that are one measurement, by their replies or by their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from igaku.server.parts import at
from igaku.study import scoring
from igaku.study.alarms import Alarm, by_exam, models_of, names_of, texts_of
from igaku.study.families import Study
from igaku.study.runs import Run

NOTHING = hashlib.sha256(b"").hexdigest()
# Two models that err independently pick one wrong option of four with a chance of a
# quarter: five such replies alike by chance are one in a thousand.
TELLING_WRONG = 5
PRIMES = (1_000_003, 998_244_353, 1_000_000_007)  # to mix three numbers into one
SHARED_LONG, SHARED_FEWEST, SHARED = 40, 10, 0.2

Replies = Mapping[str, tuple[str, Any]]  # question → hash of the reply, reasoning


def identical_replies(study: Study) -> Iterator[Alarm]:
    """Groups of runs whose replies to all common questions are the same texts."""
    for group in study.once(_copies):
        rows, replied = group[0].rows, [{*_replies(run)} for run in group]
        common = rows[rows["problem_id"].isin(set.intersection(*replied))]
        told = common[~scoring.blank(common)]  # silence is alike in any two models
        wrong = len(told) - scoring.correct(told)
        models = models_of(group)
        finding = "telling" if wrong >= TELLING_WRONG else "untelling"
        if len(models) == 1 and None not in models:
            finding = "repeated"
        facts = {"n": len(common), "told": len(told), "wrong": wrong}
        about = tuple(names_of(group)), facts | {"finding": finding}
        yield Alarm("identical_replies", *about, finding == "telling")


def shared_replies(study: Study) -> Iterator[Alarm]:
    """Pairs of runs of which many long texts, or times to the digit, are the same."""
    whole = [{*names_of(group)} for group in study.once(_copies)]
    for runs in by_exam(study):
        # The embedded model's short chains are rightly alike under several recipes.
        runs = [run for run in runs if not run.is_lab]
        alike: dict[tuple[int, int], dict[str, Any]] = {}
        for by, mark in (("time", _times), ("text", _texts)):
            found = _alike(_codes(runs, mark))
            alike |= {pair: told | {"by": by} for pair, told in found}
        for pair, facts in sorted(alike.items()):
            both = [runs[place] for place in pair]
            names, again = tuple(names_of(both)), len(models_of(both)) == 1
            told = facts | {"again": again}
            if not any(group.issuperset(names) for group in whole):
                yield Alarm("shared_replies", names, told, not again)


def same_weights(study: Study) -> Iterator[Alarm]:
    """Models of different names whose servers described the very same weights."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in study.variants:
        said = at(run.manifest, "identity.fingerprint")
        if isinstance(said, dict) and (said.get("size_bytes") or said.get("digest")):
            key = repr(sorted((name, str(said[name])) for name in said))
            groups.setdefault((str(run.exam), key), []).append(run)
    for group in groups.values():
        if len(models_of(group)) > 1:
            yield Alarm("same_weights", tuple(names_of(group)), {})


# --- all replies ----------------------------------------------------------------------


def _copies(study: Study) -> list[list[Run]]:
    """Groups of runs that are alike, reply by reply, to the first of their group."""
    groups: list[list[Run]] = []
    replies = {run.name: _replies(run) for run in study.runs}
    for run in study.runs:
        alike = (group for group in groups if _are_alike(group[0], run, replies))
        if group := next(alike, None):
            group.append(run)
        else:
            groups.append([run])
    return [group for group in groups if len(group) > 1]


def _replies(run: Run) -> Replies:
    """What a run says, and thinks where that is on record, where the server replied."""
    rows, names = run.rows, ("outcome", "problem_id", "reply_sha256")
    thoughts = rows["reasoning"].tolist() if "reasoning" in rows else [None] * len(rows)
    told = zip(*(rows[name].tolist() for name in names), thoughts, strict=True)
    return {
        question: (text, thought)
        for outcome, question, text, thought in told
        if outcome != "api_error"
    }


def _are_alike(one: Run, other: Run, replies: Mapping[str, Replies]) -> bool:
    """Whether two runs share two replies or more and every one of them is one text.

    Replies that are all blank are alike in nothing but their silence. Reasoning that is
    not on record differs from none.
    """
    mine, theirs, texts = replies[one.name], replies[other.name], []
    for name in mine:
        if name in theirs:
            (text, thought), (other_text, other_thought) = mine[name], theirs[name]
            thoughts = {t for t in (thought, other_thought) if isinstance(t, str)}
            if text != other_text or len(thoughts) > 1:
                return False
            texts.append(text)
    is_one = len(texts) > 1 and {*texts} != {NOTHING}
    return is_one and one.seed == other.seed  # else the same letters name other choices


# --- many replies ---------------------------------------------------------------------


def _texts(rows: pd.DataFrame) -> list[int]:
    """A number for each reply's long texts; 0 where it has none."""
    if not (names := texts_of(rows)):
        return [0] * len(rows)
    told = (rows[name].fillna("").tolist() for name in names)
    long = (
        tuple(text for text in texts if len(text) >= SHARED_LONG)
        for texts in zip(*told, strict=True)
    )
    return [hash(texts) if texts else 0 for texts in long]


def _times(rows: pd.DataFrame) -> np.ndarray:
    """A number for when each question was asked, how long it took, and its tokens."""
    asked = rows["asked_at"].to_numpy("datetime64[ns]")
    seconds, tokens = (
        rows[name].to_numpy(float, na_value=np.nan)
        for name in ("seconds", "completion_tokens")
    )
    codes = np.dot(PRIMES, [each.view(np.int64) for each in (asked, seconds, tokens)])
    return np.where(np.isnat(asked) | np.isnan(seconds + tokens), 0, codes)


def _codes(runs: Sequence[Run], mark: Callable[[pd.DataFrame], Any]) -> np.ndarray:
    """Runs in rows, questions in columns: equal marks, equal numbers; 0 for none."""
    names = [run.rows["problem_id"].tolist() for run in runs]
    places = {name: place for place, name in enumerate(dict.fromkeys(chain(*names)))}
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
