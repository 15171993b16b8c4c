"""What the document's sentences say: numbers out of the frames, one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

import igaku
from igaku.pages.index import exam_name
from igaku.pages.repeated import repeated
from igaku.study.audits import wrong_runs
from igaku.study.designs import unlike
from igaku.study.families import Study, card_label, label_of
from igaku.words import (
    PASS_MARK,
    is_missing,
    labelled,
    say,
)

SMALL = 0.005  # a difference that is often called small: two of 400 questions
FEW = 6  # names in a sentence
DOUBTS = ("identical_replies", "wrong_weights", "other_model")  # of the weights
CARD = ("base_model", "huggingface_id", "format", "quantization", "engine")


@dataclass(frozen=True)
class Facts:
    """A study's frames, and its runs in two lists: asked alike, and asked otherwise."""

    study: Study
    runs: pd.DataFrame  # by the name of the run
    pairs: pd.DataFrame
    audit: pd.DataFrame
    walls: pd.DataFrame
    main: tuple[str, ...]
    apart: tuple[str, ...]

    def say(self, block: str, **numbers: Any) -> str:
        """A sentence in the study's language; what is missing is None in it."""
        known = {name: None if is_missing(n) else n for name, n in numbers.items()}
        return say(block, self.study.lang, **self.study.levels, **known)

    @cached_property
    def sections(self) -> pd.DataFrame:
        """The frame of sections."""
        return igaku.study.sections(self.study)

    @cached_property
    def clocks(self) -> pd.DataFrame:
        """The frame of what the walls tell of lengths."""
        return igaku.study.clocks(self.study)

    @cached_property
    def foretold(self) -> pd.DataFrame:
        """The frame of what runs with a larger budget tell of those with a smaller."""
        return igaku.study.foretold(self.study)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """The frame of strata."""
        return igaku.study.strata(self.study)

    @cached_property
    def official(self) -> pd.DataFrame:
        """The frame of the official verdicts."""
        return igaku.study.official(self.study)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The frame of published figures beside those counted here."""
        return igaku.study.published(self.study)

    @property
    def places(self) -> dict[str, int]:
        """The numbers of the runs that were asked alike, in their table."""
        return {name: place for place, name in enumerate(self.main, 1)}

    def label(self, name: str) -> str:
        """A run's label as a sentence has it, without its mark."""
        return label_of(self.study.run(name), self.study.lang)

    def marked(self, name: str) -> str:
        """A run's label as a table has it, with the mark of what its weights are."""
        return labelled(self.label(name), self.study.run(name).identity)

    @cached_property
    def wrong(self) -> dict[str, str | None]:
        """The runs that leave every count → the run they are a copy of, or None."""
        return wrong_runs(self.study)

    @property
    def finished(self) -> list[str]:
        """The finished runs among those that were asked alike, copies among them."""
        done = [n for n in self.main if self.runs.at[n, "role"] == "finished"]
        return [name for name in done if self.wrong.get(name, name) is not None]

    @property
    def done(self) -> list[str]:
        """The finished runs that count: none shown to be wrong, no copy of another."""
        return [name for name in self.finished if name not in self.wrong]


def facts_of(study: Study) -> Facts:
    """The frames of a study, read once."""
    runs = igaku.runs(study).set_index("run", drop=False)
    main, apart = _compared(study)
    walls = igaku.walls(study)
    walls = walls[~walls["run"].isin(study.aside)]
    frames = (igaku.pairs(study), igaku.audit(study), walls)
    return Facts(study, runs, *frames, main, apart)


def _compared(study: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variants that were asked as the first of them was, and the others.

    Those of a design with questions of its own are neither.
    """
    first = next(iter(study.variants), None)
    alike = {
        run.name: first is not None
        and str(run.exam) == str(first.exam)
        and not unlike(first, run)
        for run in study.variants
        if run.name not in study.aside
    }
    main, apart = ([n for n in alike if alike[n] is kind] for kind in (True, False))
    return tuple(main), tuple(apart)


def short_label(facts: Facts, name: str) -> str:
    """The label on a run's card, where one alone of those asked alike has it."""
    labels = [str(facts.study.run(each).card.get("label")) for each in facts.main]
    card = facts.study.run(name).card
    if labels.count(str(card.get("label"))) != 1:
        return facts.label(name)
    return card_label(facts.study.run(name), facts.study.lang) or name


def asked(facts: Facts) -> str:
    """Who was asked what, when, and under which conditions."""
    runs = [facts.study.run(name) for name in facts.main]
    first = runs[0]
    unknown = facts.say("asked_model_unknown")
    bases = Counter(
        str(run.card.get("base_model") or run.model or unknown) for run in runs
    )
    days = sorted(
        str(run.manifest[key])[:10]
        for run in runs
        for key in ("start", "end")
        if run.manifest.get(key)
    )
    planned = first.planned or first.asked
    line = None if first.is_lab else math.ceil(PASS_MARK * planned)
    return facts.say(
        "report_asked", n=len(runs), bases=bases.most_common(FEW), planned=planned,
        exam=_exam(facts, first.exam), conditions=conditions(facts),
        days=list(dict.fromkeys((*days[:1], *days[-1:]))), mark=PASS_MARK, line=line,
    )  # fmt: skip


def _exam(facts: Facts, exam: Any) -> str:
    if is_missing(exam):
        return facts.say("asked_exam_unknown")
    return exam_name(str(exam), facts.study.lang)


def conditions(facts: Facts) -> list[str]:
    """How the runs were asked, and what of it is not on record."""
    run = facts.study.run(facts.main[0])
    prompt = run.settings.get("prompt") or run.manifest.get("prompt")
    told = run.settings | {"prompt": prompt}
    return [
        facts.say(f"asked_{name}", value=told.get(name))
        for name in ("shots", "prompt", "max_tokens", "reasoning_effort")
    ]


# --- the difference -------------------------------------------------------------------


def evidence(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the main families that compare two measurements."""
    return pairs[(pairs["family"] == "finished") & ~pairs["tainted"].astype(bool)]


def difference(facts: Facts) -> tuple[str, str]:
    """What the main pairs show in a few words, and with the numbers.

    The pair that is widest apart is told whole, and of all of them how many differ.
    """
    known = evidence(facts.pairs)
    shown = int((known["adjusted"] < facts.study.level).sum())
    head = facts.say("head_difference", n=len(known), shown=shown)
    if known.empty:
        return head, facts.say("report_no_pair")
    widest = int(known["difference"].abs().to_numpy().argmax())
    told = [pair_sentence(facts, known.iloc[widest])]
    if len(known) > 1:
        told.append(facts.say(
            "report_pairs", n=len(known), shown=shown, margin=facts.study.margin,
            fine=int((known["not_worse_adjusted"] < facts.study.level / 2).sum()),
        ))  # fmt: skip
    return head, " ".join(told)


def pair_sentence(facts: Facts, row: Any) -> str:
    """A pair with its counts, interval, p and the verdict on "not worse"."""
    told = dict(row) | {
        "candidate": facts.label(row["candidate"]),
        "reference": facts.label(row["reference"]),
        "right_candidate": row["both"] + row["only_candidate"],
        "right_reference": row["both"] + row["only_reference"],
        "is_shown": bool(row["adjusted"] < facts.study.level),
        "is_fine": bool(row["not_worse_adjusted"] < facts.study.level / 2),
    }  # fmt: skip
    return facts.say("report_pair", **told)


def power(facts: Facts) -> Iterator[str]:
    """What the questions can show: over all runs, between repeats, and of a pair."""
    gates = igaku.study.gates(facts.study)
    for _, gate in gates[gates["family"] == "finished"].iterrows():
        yield facts.say("report_gate", **dict(gate), k=len(gate["runs"]))
    yield from repeated(facts.study, facts.label, facts.say)
    for _, row in widest(facts).iterrows():
        yield facts.say("report_power", **dict(row), small=SMALL)


def widest(facts: Facts) -> pd.DataFrame:
    """The pair under test that is widest apart, with what its questions let one see."""
    known = igaku.study.planning(evidence(facts.pairs))
    return known.sort_values("difference", key=abs).tail(1)


# --- the findings, one by one ---------------------------------------------------------


def findings(facts: Facts) -> list[str]:
    """The study's claims as statements that hold, in the order of the seed's."""
    each = (_range, _formats, _twins, _savings, _lines)
    return [told for finding in each if (told := " ".join(finding(facts)))]


def _range(facts: Facts) -> Iterator[str]:
    scores = facts.runs.loc[facts.done, "accuracy"]
    if len(scores) > 1:
        yield facts.say("finding_range", n=len(scores), low=scores.min(),
                        high=scores.max())  # fmt: skip


def _formats(facts: Facts) -> Iterator[str]:
    """Format and size of the runs that lost nothing, and of those that broke."""
    runs = facts.runs.loc[[name for name in facts.main if name not in facts.wrong]]
    whole = list(runs.loc[(runs["asked"] > 0) & (runs["lost"] == 0), "run"])
    broken = list(runs.loc[runs["status"] == "BROKEN", "run"])
    if whole and broken:
        cards = [facts.study.run(name).card for name in (*whole, *broken)]
        differing = [k for k in CARD if len({str(card.get(k)) for card in cards}) > 1]
        yield facts.say(
            "finding_formats", whole=_kinds(facts, whole), broken=_kinds(facts, broken),
            differing=[facts.say(f"card_{key}") for key in differing],
        )  # fmt: skip


def _kinds(facts: Facts, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        dict(facts.runs.loc[name])
        | {"label": facts.label(name), "format": brief(facts.study, name, "format")}
        for name in names
    ]


def brief(study: Study, name: str, key: str) -> str | None:
    """A row of a card, as short as the published summary has it where there is one."""
    run = study.run(name)
    told = run.published.get("summary")
    short = told.get(key) if isinstance(told, dict) else None
    value = short or run.card.get(key)
    return None if value is None else str(value)


def _twins(facts: Facts) -> Iterator[str]:
    """The pair of one weight format whose other parts have 8 and 4 bits."""
    cards = {name: facts.study.run(name).card for name in facts.main}
    eight, four = (
        next((n for n in cards if bits in str(cards[n].get("quantization"))), None)
        for bits in ("Q8", "Q4")
    )
    if eight and four:
        doubts = facts.audit.loc[facts.audit["kind"].isin(DOUBTS), "runs"]
        yield facts.say(
            "finding_twins", eight=_kinds(facts, [eight])[0],
            four=_kinds(facts, [four])[0],
            is_doubted=any(eight in runs or four in runs for runs in doubts),
        )  # fmt: skip


def _savings(facts: Facts) -> Iterator[str]:
    """What the smaller models save against the largest, and at what price."""
    sizes = facts.runs.loc[facts.done, "size_gb"].dropna()
    one_sided = facts.study.level / 2
    for name, size in sizes.iloc[1:].items():
        known = evidence(facts.pairs)
        base = sizes.index[0]
        row = known[(known["reference"] == base) & (known["candidate"] == name)]
        pair = dict(row.iloc[0]) if len(row) else None
        yield facts.say(
            "finding_saving", label=facts.label(str(name)), base=facts.label(base),
            size=size, base_size=sizes.iloc[0], saved=1 - size / sizes.iloc[0],
            pair=pair, margin=facts.study.margin,
            is_fine=pair is not None and pair["not_worse_adjusted"] < one_sided,
        )  # fmt: skip


def _lines(facts: Facts) -> Iterator[str]:
    """Who reaches the pass mark, and who is said elsewhere to."""
    done = facts.runs.loc[facts.done]
    judged = done[done["verdict"].notna()]
    if len(judged):
        best = dict(judged.iloc[int(judged["right"].to_numpy().argmax())])
        best["label"] = facts.label(best["run"])
        yield facts.say(
            "finding_lines", **best, mark=PASS_MARK,
            n=len(judged), passed=int((judged["verdict"] == "PASS").sum()),
            is_within=best["low"] <= PASS_MARK <= best["high"],
        )  # fmt: skip
        yield from published_only(facts)


def published_only(facts: Facts) -> Iterator[str]:
    """References that were published as figures only, such as the 120B model's."""
    from igaku.params.settings import find_card, slugs

    for model in filter(None, map(find_card, slugs())):
        card, told = (model.values.get(key) or {} for key in ("card", "published"))
        if card.get("origin") == "reference":
            for section, row in (told.get("sections") or {}).items():
                yield facts.say(
                    "finding_published", label=card.get("label", model.slug),
                    section=section, accuracy=row["accuracy"] / 100,
                    source=told.get("source"),
                )  # fmt: skip
