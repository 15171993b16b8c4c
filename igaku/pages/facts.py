"""What the document's sentences say: numbers out of the frames, one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

import igaku
from igaku.pages.html import Table, tabled
from igaku.pages.index import exam_name
from igaku.study.designs import unlike
from igaku.study.families import Study, card_label
from igaku.study.runs import Run
from igaku.words import PASS_MARK, formatted, is_missing, labelled, say

SMALL = 0.005  # a difference that is often called small: two of 400 questions
FEW = 6  # names in a sentence
PAIR = ("reference", "candidate")
DOUBTS = ("identical_replies", "wrong_weights", "other_model")  # of the weights
CARD = ("base_model", "huggingface_id", "format", "quantization", "engine")
# The audits that bear on what may be concluded, each in one clause.
OPEN = (
    "identical_replies", "wrong_weights", "other_model", "other_effort",
    "unknown_effort", "unverified",
)  # fmt: skip


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
        """A sentence in the study's language; of a frame it has the rows.

        What is missing is None in it.
        """
        known = {
            name: rows_of(n) if isinstance(n, pd.DataFrame)
            else None if is_missing(n) else n
            for name, n in numbers.items()
        }  # fmt: skip
        return say(block, self.study.lang, **self.study.levels, **known)

    def frame(self, name: str) -> pd.DataFrame:
        """The frame that `igaku.study` has by that name, made once."""
        found: pd.DataFrame = self.study.once(getattr(igaku.study, name))
        return found

    def table(self, frame: pd.DataFrame) -> Table | None:
        """A frame as a table in the study's language."""
        return tabled(frame, self.study.lang)

    @property
    def places(self) -> dict[str, int]:
        """The numbers of the runs that were asked alike, in their table."""
        return {name: place for place, name in enumerate(self.main, 1)}

    def label(self, name: Any) -> str:
        """A run's label as a sentence has it, without its mark."""
        return str(self.runs.at[name, "label"])

    def marked(self, name: Any) -> str:
        """A run's label as a table has it, with the mark of what its weights are."""
        return labelled(self.label(name), str(self.runs.at[name, "identity"]))

    @property
    def finished(self) -> list[str]:
        """The finished runs among those that were asked alike, copies among them."""
        runs = self.runs.loc[list(self.main)]
        kept = runs["counted"] | runs["same_as"].notna()
        return list(runs.index[kept & (runs["role"] == "finished")])

    @property
    def done(self) -> list[str]:
        """The finished runs that count: none shown to be wrong, no copy of another."""
        return [name for name in self.finished if self.runs.at[name, "counted"]]


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by the names of its columns; what is missing is None."""
    told = frame.astype(object).where(frame.notna(), None)
    rows: list[Any] = told.to_dict("records")
    return rows


def interval(row: Any, kind: str) -> str | None:
    """The 95 % limits of a row in one cell."""
    if is_missing(row["low"]) or is_missing(row["high"]):
        return None
    low, high = formatted(row["low"], kind), formatted(row["high"], kind)
    joint = "–" if kind == "share" else " … "
    return f"{low.removesuffix('%')}{joint}{high}"


def facts_of(study: Study) -> Facts:
    """The frames of a study, read once.

    The runs of a design with questions of its own are in neither list.
    """
    runs = igaku.runs(study).set_index("run", drop=False)
    main, apart = parted(study)
    walls = igaku.walls(study).query("run not in @study.aside")
    frames = (igaku.pairs(study), igaku.audit(study), walls)
    return Facts(study, runs, *frames, main, apart)


def parted(study: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the runs asked as the first was, and of those asked otherwise."""
    asked = [run for run in study.variants if run.name not in study.aside]
    main = tuple(run.name for run in asked if _is_alike(study.variants[0], run))
    return main, tuple(run.name for run in asked if run.name not in main)


def numbered(study: Study) -> list[Run]:
    """All runs, those of the document first and as it numbers them."""
    places = [name for names in parted(study) for name in names]
    left = [run for run in study.runs if run.name not in places]
    return [*map(study.run, places), *left]


def _is_alike(first: Run, run: Run) -> bool:
    """Whether a run sat the same exam under the same settings as the first."""
    return str(run.exam) == str(first.exam) and not unlike(first, run)


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
    moments = (run.manifest.get(key) for run in runs for key in ("start", "end"))
    days = sorted(str(moment)[:10] for moment in moments if moment)
    planned = first.planned or first.asked
    told = {"prompt": first.manifest.get("prompt")} | first.settings
    conditions = [
        facts.say(f"asked_{name}", value=told.get(name))
        for name in ("shots", "prompt", "max_tokens", "reasoning_effort")
    ]
    exam = facts.say("asked_exam_unknown")
    if first.exam is not None:
        exam = exam_name(first.exam, facts.study.lang)
    return facts.say(
        "report_asked", n=len(runs), bases=bases.most_common(FEW), planned=planned,
        exam=exam, conditions=conditions, mark=PASS_MARK,
        line=None if first.is_lab else math.ceil(PASS_MARK * planned),
        days=list(dict.fromkeys((*days[:1], *days[-1:]))),
    )  # fmt: skip


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
    told = dict(row) | {side: facts.label(row[side]) for side in PAIR} | {
        **{f"right_{side}": row["both"] + row[f"only_{side}"] for side in PAIR},
        "is_shown": bool(row["adjusted"] < facts.study.level),
        "is_fine": bool(row["not_worse_adjusted"] < facts.study.level / 2),
    }  # fmt: skip
    return facts.say("report_pair", **told)


def power(facts: Facts) -> Iterator[str]:
    """What the questions can show: over all runs, between repeats, and of a pair."""
    gates = facts.frame("gates")
    for _, gate in gates[gates["family"] == "finished"].iterrows():
        yield facts.say("report_gate", **dict(gate), k=len(gate["runs"]))
    yield from _repeated(facts)
    for _, row in widest(facts).iterrows():
        yield facts.say("report_power", **dict(row), small=SMALL)


def _repeated(facts: Facts) -> Iterator[str]:
    """What asking again told: noise, what is systematic, and what it takes."""
    tested = facts.pairs[facts.pairs["family"] == "finished"]
    compared = tested.set_index(list(PAIR))["compared"]
    for row in rows_of(facts.frame("repeats")):
        pair = tuple(row[side] for side in PAIR)
        told = row | {side: facts.label(row[side]) for side in PAIR}
        if pair in compared.index and row["flips"] > 0:
            told |= _planned(facts.study, row, int(compared[pair]))
        block = "report_noise" if len({*pair}) == 1 else "report_parts"
        yield facts.say(block, **told, margin=facts.study.margin)


def _planned(study: Study, row: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """What 80 % power takes, at the systematic share of the flips and at its limits.

    `fewest fewest_low fewest_high`: the askings, missing where no number would do;
    `needed`: the questions, asked as often as these.
    """
    ends = ("", "_low", "_high")
    shares = [min(1.0, max(0.0, row[f"systematic_share{end}"])) for end in ends]
    k = min(row[f"askings_{side}"] for side in PAIR)
    told = igaku.study.plan(
        row["flips"], row["n"], study.margin, shares, [k], pairs=pairs,
        level=study.level,
    )  # fmt: skip
    fewest = zip(ends, told["fewest"], strict=True)
    needed = {"needed": int(told["enough"].iloc[0])}
    return needed | {f"fewest{end}": value for end, value in fewest}


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
    runs = facts.runs.loc[list(facts.main)].query("counted")
    whole = list(runs.loc[(runs["asked"] > 0) & (runs["lost"] == 0), "run"])
    broken = list(runs.loc[runs["status"] == "BROKEN", "run"])
    if whole and broken:
        cards = [facts.study.run(name).card for name in (*whole, *broken)]
        differing = [k for k in CARD if len({str(card.get(k)) for card in cards}) > 1]
        yield facts.say(
            "finding_formats", whole=_kinds(facts, whole), broken=_kinds(facts, broken),
            differing=[facts.say(f"card_{key}") for key in differing],
        )  # fmt: skip


def _kinds(facts: Facts, names: Sequence[str]) -> list[Any]:
    formats = [str(brief(facts.study, name, "format")) for name in names]
    return rows_of(facts.runs.loc[list(names)].assign(format=formats))


def brief(study: Study, name: str, key: str) -> str | None:
    """A row of a card, as short as the published summary has it where there is one."""
    run = study.run(name)
    value = run.published["summary"].get(key) or run.card.get(key)
    return None if value is None else str(value)


def twins(facts: Facts) -> list[str]:
    """The first runs of the main whose parts beside the experts have 8 and 4 bits.

    Empty where one of the two is lacking, as outside of the seed's sweep.
    """
    cards = {name: facts.study.run(name).card for name in facts.main}
    told = {name: str(card.get("quantization")) for name, card in cards.items()}
    each = [[name for name in told if bits in told[name]] for bits in ("Q8", "Q4")]
    return [names[0] for names in each] if all(each) else []


def _twins(facts: Facts) -> Iterator[str]:
    """The pair of one weight format whose other parts have 8 and 4 bits."""
    if pair := twins(facts):
        doubts = facts.audit.loc[facts.audit["kind"].isin(DOUBTS), "runs"]
        is_doubted = any(name in runs for runs in doubts for name in pair)
        told = dict(zip(("eight", "four"), _kinds(facts, pair), strict=True))
        yield facts.say("finding_twins", **told, is_doubted=is_doubted)


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


# --- what may not be concluded --------------------------------------------------------


def still_open(facts: Facts) -> str:
    """What may not be concluded, with the reasons that are on record, in numbers."""
    reasons = list(dict.fromkeys([*_doubts(facts), *_reach(facts)]))
    shown = bool((evidence(facts.pairs)["adjusted"] < facts.study.level).any())
    silent = bool(facts.runs["blank"].sum())
    return facts.say("report_open", reasons=reasons, shown=shown, silent=silent)


def _doubts(facts: Facts) -> Iterator[str]:
    """What the audits leave open about the rows of the table of scores."""
    place, alarms = facts.places, facts.audit
    # Models that know the answers give them in one letter: such copies are none.
    alarms = alarms[alarms["grave"] | (alarms["kind"] != "identical_replies")]
    for kind in OPEN:
        for _, alarm in alarms[alarms["kind"] == kind].iterrows():
            rows = [place[name] for name in alarm["runs"] if name in place]
            if rows and _is_within(alarm, place):
                about = {"rows": rows, "all": len(place), "n": alarm["facts"].get("n")}
                yield facts.say(f"open_{kind}", **about)


def _is_within(alarm: Any, place: Mapping[str, int]) -> bool:
    """Whether what an alarm holds against each other stands in one table."""
    sides = alarm["runs"] if alarm["kind"] == "identical_replies" else ()
    groups = [each["runs"] for each in alarm["facts"].get("groups", ())]
    met = [not place.keys().isdisjoint(each) for each in groups or [[n] for n in sides]]
    return not met or sum(met) > 1


def _reach(facts: Facts) -> Iterator[str]:
    """How far the questions reach, and which were not asked or not shown whole."""
    for _, row in widest(facts).iterrows():
        yield facts.say("open_power", **dict(row))
    stopped = facts.runs.loc[list(facts.main)].query("conditional")
    if len(stopped):
        yield facts.say(
            "open_stopped", rows=[facts.places[name] for name in stopped["run"]],
            fewest=stopped["asked"].min(), most=stopped["asked"].max(),
            planned=stopped["planned"].max(),
        )  # fmt: skip
    if blind := without_image(facts):
        yield facts.say("open_images", n=blind)
    if facts.study.declaration is None:
        yield facts.say("open_undeclared")


def without_image(facts: Facts) -> int:
    """The questions that need an image and were asked without it, of one run."""
    runs = map(facts.study.run, facts.main)
    return max(int(run.rows["text_only"].eq(False).sum()) for run in runs)
