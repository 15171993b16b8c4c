"""A session: asking a whole exam, whatever happens on the way.

Every reply is on disk the moment it is in. A run that was stopped, killed or left by
its server goes on where it was; the same command starts it again.
"""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku.ask import health, manifest, warm
from igaku.ask.asker import Asker, rows_of
from igaku.ask.folder import (
    ANSWERS,
    EFFORT,
    ERRORS,
    MANIFEST,
    PROBE,
    WARM,
    Journal,
    Manifest,
    Row,
    locked,
    now,
    rewrite,
    write_manifest,
)
from igaku.ask.plan import (
    PROBE_FACTOR,
    Item,
    Plan,
    is_over,
    is_reply,
    left_to_ask,
    left_to_probe,
    plan_of,
    probes,
)
from igaku.ask.preflight import is_missing, settle
from igaku.ask.progress import kept, last_word, shown, standing
from igaku.ask.repair import BAD, damage_told, damaged, keep_broken
from igaku.ask.rows import bad_name, brief, mend, read_rows, set_aside, survey
from igaku.ask.shape import examined
from igaku.errors import EngineCrashed, IgakuError, ServerUnreachable, WrongModel
from igaku.exam.questions import Question
from igaku.params.settings import Settings
from igaku.server.client import CRASHED, connect, server_facts
from igaku.server.effect import effect_of
from igaku.server.fingerprint import Facts, is_idle, listed_models, of_reply
from igaku.server.identity import Identity, identify, later, rank
from igaku.words import CAUSES
from igaku.writing import Unwritable, reserved

if TYPE_CHECKING:
    from openai import OpenAI

FAILURES_IN_A_ROW = 5  # then the server is gone, and asking on would only list that
OF_SITTING = ("reasoning", "content", "error", "completion_tokens")  # kept of a row
LATE_IN_A_ROW = 2  # each has cost a whole `timeout`, ten minutes as a rule


def run_exam(
    settings: Settings,
    questions: Sequence[Question],
    progress: bool = True,
    loaded: Facts | None = None,
) -> Path:
    """Ask every question that has no reply yet; the folder of the run.

    The same settings go on with a run and send nothing when it is finished; others are
    refused. A server that fails five questions in a row or keeps silent for two ends it
    with an IgakuError, another model's reply with a WrongModel; a run of lost replies
    ends by itself. What is wrong with the server once all is asked raises too, with
    every reply kept. `loaded` is what is put on record of the loading.
    """
    plan = plan_of(settings, questions)
    answers = settings.folder / ANSWERS
    with locked(settings.folder):
        mend(answers)
        begun, rows = _gone_on(plan)
        left = left_to_ask(plan, rows, begun.get("order"))
        if left and not all(map(is_reply, rows)):
            failed = [row for row in rows if not is_reply(row)]
            set_aside(answers, {row["at"]: ERRORS for row in failed})
            rows = list(filter(is_reply, rows))
        session = Session(plan, begun, rows)
        if left or left_to_probe(plan, rows, session.probed):
            session.hold(left, progress, loaded)
        elif begun["end"] is None:  # killed between its last reply and its last word
            session.close("finished")
    return settings.folder


def _gone_on(plan: Plan) -> tuple[Manifest, list[Row]]:
    """The manifest and the sound rows of a run; what is damaged is set aside, aloud."""
    folder = plan.settings.folder
    found = survey(folder / ANSWERS)
    begun, misplaced = manifest.opened(plan, found.rows)
    damage, rows = damaged(found, misplaced), found.rows
    told = damage_told(folder, found, damage)
    if damage:
        set_aside(folder / ANSWERS, dict.fromkeys(damage, BAD))
        rows = survey(folder / ANSWERS).rows
    recorded, trouble = examined(folder)
    if trouble:
        keep_broken(folder)
    if changed := manifest.mended(recorded, begun):
        told.append(
            f"{folder.name}/{MANIFEST} told of {len(changed)} questions, such as "
            f"{changed[0]}, what neither the exam nor the answer does: the exam counts."
        )
    if rows and trouble:
        unknown = ", ".join(begun["rebuilt"]["unknown"]) or "nothing"
        told += [f"{trouble}: it is rebuilt; recorded as unknown: {unknown}."]
    for sentence in told:
        warnings.warn(sentence, stacklevel=3)
    if told:
        begun |= {"damage": [*(begun.get("damage") or []), *told], "end": None}
        write_manifest(folder, begun)
    return begun, rows


class Session:
    """One sitting of a run, from its first request to the last word in its manifest."""

    def __init__(self, plan: Plan, begun: Manifest, rows: Sequence[Row]) -> None:
        self.plan, self.manifest = plan, begun
        self.settings, self.folder = plan.settings, plan.settings.folder
        self.rows, self.probed, self.requests = list(rows), probes(plan), 0
        self.facts: Facts = {}
        self.identity: Identity | None = None
        self.recorded = begun["identity"]  # of the sittings before this one
        self.raw: object = None  # a body that names its weights, or any
        self.earlier, self.replies = len(rows), 0
        # Of rows that are not asked again, as they come in: counted anew for each, a
        # run would take the square of its length.
        self.standing = Counter(health.outcomes_of(rows))

    @property
    def is_broken(self) -> bool:
        """Whether so many replies are lost for good that the run tells nothing."""
        return health.is_broken(self.standing)

    @property
    def left(self) -> int:
        """How many questions have no row yet, or one that does not stand."""
        return len(self.manifest["questions"]) - self.standing.total()

    def hold(
        self, left: Sequence[Item], progress: bool, loaded: Facts | None = None
    ) -> None:
        """Ask what is left, and say in the manifest how that ended."""
        settings, ended, why, kind = self.settings, "failed", None, None
        self.facts = server_facts(settings.base_url, settings.model)
        self.identity = identify(settings, self.facts, doubt=False)
        self.manifest = manifest.joined(self.manifest, settings, self.facts, loaded)
        if self.recorded is None and self.identity.status == "verified":
            self.manifest["identity"] = self.identity.to_dict()
        write_manifest(self.folder, self.manifest)
        try:
            self.identity.accepted()
            # Room on the disk for the last word, which tells what the server said too.
            room = reserved(self.folder, 2 * (self.folder / MANIFEST).stat().st_size)
            with room, connect(settings.base_url, settings.timeout) as client:
                by = self._settle(client)
                self._ask(Asker(client, settings, self.facts, None, by), left, progress)
                self._ask_warm(Asker(client, settings, self.facts, None, by))
                budget = PROBE_FACTOR * settings.max_tokens
                self._probe(Asker(client, settings, self.facts, budget, by))
            ended, why = "finished", self._looked_again()
        except KeyboardInterrupt:
            ended, why = "interrupted", "it was interrupted" if self.left else None
            last_word(kept(self.folder))
            raise
        except IgakuError as trouble:
            ended, why, kind = "stopped", str(trouble), trouble.kind
            raise
        finally:
            try:
                self.close(ended, why, kind)
            except Unwritable:  # most often the same disk, and told already
                if ended == "finished":
                    raise
        if why:
            raise WrongModel(why)

    def _settle(self, client: OpenAI) -> str:
        """How the reasoning effort is told: tried once in a run, on each server."""
        settings, known = self.settings, self.manifest["effort"]
        is_tried = known is not None and known.get("base_url") == settings.base_url
        if not is_tried and settings.reasoning_effort is not None:
            effort, replies = settle(client, settings, self.facts, self.plan.items)
            for reply in replies:
                self._take_note(reply["raw"])
            rewrite(self.folder / EFFORT, replies)
            shown = effort["shown"] and (known is None or known["shown"])
            told = {"base_url": settings.base_url, "shown": shown}
            known = self.manifest["effort"] = effort | told
        told_by = known["told_by"] if known else "field"
        self.manifest["sampling"] = manifest.sampling(settings, self.facts, told_by)
        write_manifest(self.folder, self.manifest)
        return str(told_by)

    def _looked_again(self) -> str | None:
        """What is wrong with what the server serves, now that all is asked."""
        facts = server_facts(self.settings.base_url, self.settings.model)
        self.manifest["server_after"] = facts
        after = identify(self.settings, facts, self.raw)
        found = self.identity = later(self._by_replies(), after)
        if found.status == "wrong_model":
            return found.why
        if not is_missing(self.settings, facts):
            return None
        shown = ", ".join(listed_models(facts)[:8])
        return (
            f"After the last question {self.settings.base_url} no longer lists "
            f"{self.settings.model}, but {shown}: every reply is kept in "
            f"{self.folder}, so see which model gave them before you use them."
        )

    def _by_replies(self) -> Identity:
        return identify(self.settings, self.facts, self.raw, self.raw is not None)

    def _take_note(self, raw: object) -> None:
        """Keep a body as evidence of whose weights reply, the one that tells most."""
        if of_reply(raw).source or self.raw is None:
            self.raw = raw

    def _ask(self, asker: Asker, left: Sequence[Item], progress: bool) -> None:
        def take(row: Row) -> None:
            self.rows.append(brief(row, OF_SITTING))  # bodies would fill the memory
            self.standing.update(health.outcomes_of([row]))
            self._judge(row, asker)

        total, stops = len(self.plan.items), self.settings.stop_when_broken
        told = {"total": total, "initial": total - len(left), "disable": not progress}
        with (
            closing(Journal(self.folder / ANSWERS)) as journal,
            shown(self.settings.run, **told) as tell,
        ):
            for _ in rows_of(asker, left, journal, take):
                tell(standing(self.rows, stops))
        if (came := self.rows[self.earlier :]) and all(map(health.may_pass, came)):
            raise self._failed(came[::-1])

    def _judge(self, row: Row, asker: Asker) -> None:
        """Decide after a row whether there is any sense in asking on."""
        self._recognize(row)
        if self.replies == 1 and row["error"] is None:
            self._identify()
            self._see_effect(asker)
        if self.settings.load and CRASHED.search(row["error"] or ""):
            raise EngineCrashed(
                f"The engine of {self.settings.model} crashed at {row['problem_id']} "
                f"({' '.join(row['error'].split())}): the replies so far are kept in "
                f"{self.folder}; load the model again and run again."
            )
        back, timeout = reversed(self.rows), self.settings.timeout
        failed = list(takewhile(lambda r: r["outcome"] == "api_error", back))
        # A failure is late that took the whole `timeout` and brought nothing.
        late = [*takewhile(lambda r: r["silent"] and r["seconds"] >= timeout, failed)]
        if len(failed) >= FAILURES_IN_A_ROW or len(late) >= LATE_IN_A_ROW:
            raise self._failed(failed)
        if self.settings.stop_when_broken and self.is_broken:
            asker.stop.set()

    def _failed(self, rows: Sequence[Row]) -> IgakuError:
        """The error for questions in a row that failed, the last of them first."""
        is_gone = rows[0]["silent"]
        return (ServerUnreachable if is_gone else IgakuError)(
            f"{len(rows)} questions in a row failed, the last with: "
            f"{str(rows[0]['error']).rstrip('.')}. The replies so far are kept in "
            f"{self.folder}; see to the server and run again."
        )

    def _see_effect(self, asker: Asker) -> None:
        """Hold what the server has loaded, now that it replied, against what was asked.

        What is in memory may be there, or be another one, since the first reply.
        """
        settings = self.settings
        if "/api/ps" in self.facts or is_idle(self.facts, settings.model):
            self.facts = asker.facts = server_facts(settings.base_url, settings.model)
        session, said = self.manifest["sessions"][-1], self._by_replies().fingerprint
        told = (self.facts, said, self.raw, session["loaded"])
        session["loaded"] = effect_of(settings, *told)
        write_manifest(self.folder, self.manifest)

    def _recognize(self, row: Row) -> None:
        """Count a row's requests, and refuse a model that was not asked for."""
        self.requests += row["attempts"]
        if row["outcome"] == "wrong_model":
            raise WrongModel(row["error"])
        if row["error"] is None:
            self.replies += 1
            self._take_note(row["raw"])
            if self.replies == 1:  # the first one clears up what a listing left open
                self.identity = self._by_replies()
                self.identity.accepted()

    def _ask_warm(self, asker: Asker) -> None:
        """Ask the first questions of this sitting again: are their replies the same?"""
        items = warm.items_of(self.plan, self.rows[self.earlier :])
        if not items or is_over(self.plan, self.rows):
            return
        mend(self.folder / WARM)
        with closing(Journal(self.folder / WARM)) as journal:
            for row in filter(None, map(asker.ask, items)):
                journal.append(row)
                self._recognize(row)
                if row["outcome"] == "api_error":
                    break  # the run is whole, and a server that fails is not asked on
                told = warm.compared(row, self.rows[self.earlier :])
                if self.earlier and not told["same"]:  # the others are on disk alone
                    whole = read_rows(self.folder / ANSWERS, warm.TEXTS)
                    told = warm.compared(row, whole)
                self.manifest["sessions"][-1]["warm"].append(told)

    def _probe(self, asker: Asker) -> None:
        """Ask a few lost questions again, to learn whether it is the budget."""
        path = self.folder / PROBE
        mend(path)
        items = left_to_probe(self.plan, self.rows, self.probed)
        if not items:
            return
        # What counts stays in the file, the rest is set aside.
        found, kept = survey(path), {row["at"] for row in self.probed}
        moved = dict.fromkeys(found.bad, bad_name(path))
        moved |= {row["at"]: ERRORS for row in found.rows if row["at"] not in kept}
        set_aside(path, moved)

        def take(row: Row) -> None:
            self._recognize(row)
            self.probed.append(brief(row))
            if row["outcome"] == "api_error":
                asker.stop.set()

        with closing(Journal(path)) as journal:
            deque(rows_of(asker, items, journal, take), maxlen=0)

    def close(
        self, ended: str, why: str | None = None, kind: str | None = None
    ) -> None:
        """Write how the session ended, and what that makes of the run."""
        end, left = now(), self.left
        is_broken = is_over(self.plan, self.rows) or self.is_broken
        status = "BROKEN" if is_broken else "INCOMPLETE" if left > 0 else "OK"
        told = {"end": end, "ended": ended, "requests": self.requests}
        told |= {"why": why, "kind": kind}
        self._identify()
        *earlier, last = self.manifest["sessions"] or [{}]
        self.manifest |= {
            "status": status,
            "cause": self._cause() if is_broken else None,
            "why": why or (f"{left} questions are left" if left > 0 else None),
            "end": end,
            "outcomes": dict(Counter(row["outcome"] for row in self.rows)),
            "correct": sum(row["correct"] is True for row in self.rows),
            "early_stop": self._early_stop(),
            "sessions": [*earlier, last | told],
        }
        write_manifest(self.folder, self.manifest)

    def _identify(self) -> None:
        """Put on record whose weights replied: the worst of all sittings that asked."""
        if self.identity is None or not self.replies:
            return
        if self.identity.status != "wrong_model" and self.raw is not None:
            self.identity = later(self._by_replies(), self.identity)
        found, before = self.identity.to_dict(), self.recorded
        is_worse = before is None or rank(found) <= rank(before)
        if is_worse or not self.earlier:
            self.manifest["identity"] = found

    def _cause(self) -> str | None:
        """The cause of the losses, with what a larger budget showed of empty replies.

        They are the budget's where it gave text to more than half of those probed.
        """
        empty = {r["problem_id"] for r in self.rows if r["outcome"] == "empty"}
        again = [row for row in self.probed if row["problem_id"] in empty]
        saved = sum(row["outcome"] not in CAUSES for row in again)
        found = Counter(row.get("cause") or row["outcome"] for row in self.rows)
        return health.cause(found, rescued=2 * saved > len(again))

    def _early_stop(self) -> dict[str, Any] | None:
        """Why the run was stopped: the share of lost replies, and what a probe says."""
        if not is_over(self.plan, self.rows):
            return None
        lost, asked = health.lost(self.standing), self.standing.total()
        probe = {
            "max_tokens": PROBE_FACTOR * self.settings.max_tokens,
            "asked": len(self.probed),
            "correct": sum(row["correct"] is True for row in self.probed),
            "outcomes": dict(Counter(row["outcome"] for row in self.probed)),
        }
        return {
            "lost": lost,
            "asked": asked,
            "lower_limit": round(health.lower_limit(lost, asked), 4),
            "confidence": health.CONFIDENCE,
            "threshold": health.BROKEN_SHARE,
            "evidence": round(health.evidence(lost, asked), 1),
            "probe": probe if self.probed else None,
        }
