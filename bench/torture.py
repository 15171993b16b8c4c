"""Faults and kills for a minute or an hour: is any row lost, doubled, torn or foreign?

usage: python bench/torture.py [--seconds N | --minutes N] [--seed S] [--rate R]
           [--concurrency N] [--questions N] [--folder FOLDER]

A run is asked of a stand-in that fails in more than a hundred ways, and is killed,
interrupted, or given a full disk meanwhile; it is started again until it is finished.
Then its table must be the one that the same stand-in gives when it does not fail. The
pauses between attempts are shortened by `SHORTENED`, in the victim alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from fault_server import FaultServer, serving
from faults import HEAVY, LIES, MODEL, Dealer

KEY = "sk-torture-"
REPORT = "torture.txt"  # in the folder: how it stands, after each run
# Of igaku.ask.asker: else an hour of this would be spent waiting.
SHORTENED = {"BACKOFF": 0.01, "LONGEST_WAIT": 0.1, "LONGEST_RETRY_AFTER": 0.1}
TIMEOUT = 2.0  # seconds a victim waits for one reply
HANGS = 180.0  # seconds after which a victim that does not end is a failure
MOST_LIVES = 400  # of one run: then it is never finished
REFUSED, INTERRUPTED = 3, 130  # exit statuses of a victim
FATES = ("none", "none", "SIGKILL", "SIGKILL", "SIGKILL", "SIGINT", "SIGTERM", "full")
# A life is a fork of one process that has loaded all this, which takes longer than most
# lives do.
LIVES = multiprocessing.get_context("forkserver")
LOADED = "igaku.ask.run igaku.exam.calibration igaku.server.wire openai yaml"
LIVES.set_forkserver_preload([*LOADED.split(), "igaku.params.settings", "tqdm"])
SAME = (
    "problem_id", "section", "outcome", "answer", "correct", "content", "reasoning",
    "finish_reason", "prompt_sha256", "cause", "rule",
)  # fmt: skip


@dataclass
class Findings:
    """What was counted, and what was wrong, each with its first example."""

    counts: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    lies: list[str] = field(default_factory=list)

    def fail(self, what: str, example: str) -> None:
        self.wrong[what] += 1
        self.examples.setdefault(what, example[-1500:])


# --- the victim -----------------------------------------------------------------------


def questions(number: int) -> list[Any]:
    """Made-up questions with one letter each: their right answer is the stand-in's
    for three in four."""
    from igaku.exam.questions import Question

    sections, choices = cycle("ABCDEF"), tuple(f"所見{i}" for i in range(1, 6))
    return [
        Question(
            problem_id=f"900{section}{i}", section=section, choices=choices,
            text=f"症例{i}について正しいのはどれか。", answer=("abcde"[i % 5],),
            kind="choice", points=1, text_only=True,
        )
        for i, section in zip(range(1, number + 1), sections, strict=False)
    ]  # fmt: skip


def victim(told: dict[str, Any]) -> int:
    """Ask the exam once; the exit status says how that ended."""
    import resource

    # What a shell starts in the background ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from igaku.ask import asker
    from igaku.ask.run import check, run_exam
    from igaku.errors import IgakuError
    from igaku.params.settings import settings_from

    for name, seconds in SHORTENED.items():
        setattr(asker, name, seconds)
    if told["room"] is not None:  # no file may grow above it, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (told["room"], told["room"]))
    asked = questions(told["questions"])
    settings = settings_from(**told["settings"])
    try:
        if told["check"]:
            check(settings, asked)
        run_exam(settings, asked, progress=False)
    except IgakuError as trouble:
        # Its sentence is the last word: an interrupt while it is said changes nothing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"{trouble.kind}: {trouble}")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def lived(told: dict[str, Any], key: str, log: str) -> None:
    """Be the victim in a process of its own, whose output goes into a file."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(IGAKU_API_KEY=key, LM_API_TOKEN="")
    sys.exit(victim(told))


# --- one life, and the run it belongs to ----------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What happens to one life: its kind, and after how many requests."""

    kind: str
    after: int = 1
    delay: float = 0.0
    room: int | None = None


@dataclass(frozen=True)
class Trial:
    """One run under torture: its server, its folder, and where findings go."""

    server: FaultServer
    folder: Path
    name: str
    number: int
    concurrency: int
    findings: Findings

    @property
    def run(self) -> Path:
        return self.folder / self.name

    def life(self, number: int, fate: Fate, check: bool = False) -> int:
        """Start the run once, let its fate come, and say how it ended."""
        key = f"{KEY}{self.name}-{number}"
        log = self.folder / f"{self.name}.log"
        log.touch()
        began = log.stat().st_size
        told = self.told(fate.room, check)
        process = LIVES.Process(target=lived, args=(told, key, str(log)))
        process.start()
        try:
            self._meet(process, fate, key)
        finally:
            process.kill()
            process.join()
        status, said = process.exitcode or 0, log.read_bytes()[began:]
        self._judge(status, fate, key, said.decode("utf-8", "replace"))
        return status

    def told(self, room: int | None = None, check: bool = False) -> dict[str, Any]:
        """What a victim has to know."""
        settings = {
            "model": MODEL, "base_url": self.server.base_url, "run": self.name,
            "exam": "calibration", "shots": 0, "concurrency": self.concurrency,
            "timeout": TIMEOUT, "outputs_dir": str(self.folder),
        }  # fmt: skip
        told = {"settings": settings, "questions": self.number, "room": room}
        return told | {"check": check}

    def _meet(self, process: ForkServerProcess, fate: Fate, key: str) -> None:
        """Wait until the process ends, or has asked enough to meet its fate."""
        asked, until = self.server.log.asked, time.monotonic() + HANGS
        sent = getattr(signal, fate.kind, None)
        while process.exitcode is None and time.monotonic() < until:
            if sent and asked[key] >= fate.after:
                process.join(fate.delay)
                if process.exitcode is None:
                    os.kill(process.pid or 0, sent)
                sent = None
            process.join(0.01)
        if process.exitcode is None:
            self.findings.fail("a victim hung", f"{self.name}, fate {fate}")

    def _judge(self, status: int, fate: Fate, key: str, said: str) -> None:
        """Count a life, and look at how it ended and what it said."""
        counts, has_asked = self.findings.counts, self.server.log.asked[key] > 0
        counts["invocations"] += 1
        ended = {0: "finished", REFUSED: "sentence", INTERRUPTED: "SIGINT"}.get(status)
        if status < 0:
            ended = signal.Signals(-status).name
        if ended and not (ended.startswith("SIG") and not has_asked):
            counts[f"ended: {ended}"] += 1
        if status == REFUSED:
            self.findings.sentences[shape_of(said)] += 1
        if "Traceback" in said or status == 1:
            last = said.strip().splitlines()[-1] if said.strip() else "nothing said"
            self.findings.fail(f"traceback: {shape_of(last)}", said)
        if fate.kind == "full" and status == REFUSED:
            counts["full disks told of"] += "cannot be written" in said


def shape_of(said: str) -> str:
    """The first words of a sentence, without what differs from life to life."""
    line = " ".join(said.strip().split("\n")[-1].split())
    return "".join("#" if c.isdigit() else c for c in line)[:90]


def fated(lot: random.Random, trial: Trial) -> Fate:
    """What is to happen in the next life."""
    kind = lot.choice(FATES)
    if kind == "full":
        answers = trial.run / "answers.jsonl"
        size = answers.stat().st_size if answers.is_file() else 0
        return Fate(kind, room=size + lot.randrange(200, 40_000))
    return Fate(kind, lot.randrange(1, 12), lot.random() * 0.1)


def tortured(trial: Trial, seed: str, until: float) -> bool:
    """Start a run again until it is finished; False when it never is."""
    lot = random.Random(seed)
    for number in range(MOST_LIVES):
        late = time.monotonic() > until
        fate = Fate("none") if late else fated(lot, trial)
        status = trial.life(number, fate, check=lot.random() < 0.2)
        if status == 0 and is_whole(trial):
            return True
    trial.findings.fail("never finished", f"{trial.name}: {MOST_LIVES} lives")
    return False


def is_whole(trial: Trial) -> bool:
    """Whether a run that ended by itself has every reply, and says so."""
    manifest = json.loads((trial.run / "manifest.json").read_bytes())
    return bool(manifest["status"] == "OK") and len(table(trial)) == trial.number


# --- what is left on disk -------------------------------------------------------------


def refuse(value: str) -> None:
    raise ValueError(f"{value} is no JSON")


def lines_of(path: Path, strict: bool = False) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; one that is no JSON raises ValueError."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line, parse_constant=refuse if strict else None)


def table(trial: Trial) -> dict[str, tuple[Any, ...]]:
    """The part of the replies that no fault may change, by problem id."""
    rows = [
        {name: row.get(name) for name in SAME}
        for row in lines_of(trial.run / "answers.jsonl")
        if row.get("outcome") not in ("api_error", "wrong_model", None)
    ]
    return {row["problem_id"]: tuple(map(str, row.values())) for row in rows}


def examine(trial: Trial, want: dict[str, tuple[Any, ...]]) -> None:
    """Hold a finished run against the table of one without faults, and ask it again."""
    compare(trial, want)
    asked = trial.server.log.asked
    before = asked.total()
    if trial.life(MOST_LIVES, Fate("none")) or asked.total() > before:
        trial.findings.fail("asked on when finished", trial.name)


def compare(trial: Trial, want: dict[str, tuple[Any, ...]]) -> None:
    """Note each row that is lost, doubled, torn, another question's, or other."""
    fail, name = trial.findings.fail, trial.name
    strict(trial)
    rows = lines_of(trial.run / "answers.jsonl")
    names = Counter(row.get("problem_id") for row in rows)
    got = table(trial)
    for problem in want:
        if problem not in got:
            fail("lost", f"{name}: {problem}")
        elif names[problem] > 1:
            fail("doubled", f"{name}: {problem}")
        elif got[problem] != want[problem]:
            told = zip(SAME, got[problem], want[problem], strict=True)
            seen = [f"{n}: {a!r} for {b!r}" for n, a, b in told if a != b]
            said = SAME.index("content")
            is_anothers = got[problem][said] in {row[said] for row in want.values()}
            what = "credited to another question" if is_anothers else "differs"
            fail(what, f"{name}: {problem}: {seen}")


def strict(trial: Trial) -> None:
    """Note a file of rows that a strict reader of JSON would not take."""
    for path in sorted(trial.run.glob("*.jsonl")):
        try:
            deque(lines_of(path, strict=True), maxlen=0)
        except ValueError as torn:
            trial.findings.fail("torn, or no strict JSON", f"{path}: {torn}")
        if not path.read_bytes().endswith(b"\n") and path.stat().st_size:
            trial.findings.fail("torn, or no strict JSON", f"{path}: its last line")


def search_for_key(folder: Path, findings: Findings) -> None:
    """Read every byte that was written, logs included."""
    own = folder / REPORT
    for path in (path for path in folder.rglob("*") if path.is_file() and path != own):
        if (place := path.read_bytes().find(KEY.encode())) >= 0:
            near = path.read_bytes()[max(0, place - 200) : place + 40]
            name = "a log" if path.suffix == ".log" else path.name
            findings.fail(f"the key is in {name}", near.decode("utf-8", "replace"))


# --- what cannot be seen --------------------------------------------------------------


def tell_lies(trial: Trial) -> None:
    """Ask one question of a server for each lie, and note what igaku makes of it."""
    for number, lie in enumerate(LIES):
        one = replace(trial, name=f"lie-{number}", number=2, concurrency=1)
        one.server.deal(Dealer(lie, 1.0, (lie,), heavy=0))
        status = one.life(0, Fate("none"))
        rows = list(lines_of(one.run / "answers.jsonl"))
        manifest = json.loads((one.run / "manifest.json").read_bytes())
        outcomes = ", ".join(row["outcome"] for row in rows)
        told = f"{lie}: exit {status}, {manifest['status']}, rows {outcomes}"
        told += f"; alarms: {', '.join(alarms(one.run)) or 'none'}"
        trial.findings.lies.append(told)


def alarms(run: Path) -> list[str]:
    """The kinds of alarm that the audits raise on one run."""
    import igaku
    from igaku.study.families import study_of
    from igaku.study.runs import load_run

    found = igaku.audit(study_of([load_run(run)]))
    return sorted(set(found["kind"]))


# --- the driver -----------------------------------------------------------------------


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rate", type=float, default=0.25, help="of requests")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="kept; else one that is deleted")
    parser.add_argument("--victim", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def rounds(given: argparse.Namespace, folder: Path, findings: Findings) -> FaultServer:
    """Torture one run after the other until the time is over."""
    with serving(Dealer("", 0)) as server:
        first = Trial(
            server, folder, "honest", given.questions, given.concurrency, findings
        )
        first.life(0, Fate("none"))
        want = table(first)
        assert len(want) == given.questions, "the run without faults is not whole"
        findings.counts["requests without faults"] = server.log.asked.total()
        until = time.monotonic() + (given.minutes or 0) * 60
        until += 0 if given.minutes else given.seconds
        try:
            for number in count():
                seed = f"{given.seed}/{number}"
                heavy = HEAVY and (0.01 if given.minutes else 0.0)
                server.deal(Dealer(seed, given.rate, heavy=heavy))
                trial = replace(first, name=f"run-{number}")
                one_round(trial, seed, until, want)
                (folder / REPORT).write_text(report(findings, server))
                if time.monotonic() > until:
                    break
            tell_lies(first)
        finally:
            search_for_key(folder, findings)
            print(report(findings, server), flush=True)
    return server


def one_round(
    trial: Trial, seed: str, until: float, want: dict[str, tuple[Any, ...]]
) -> None:
    """Torture one run, look at what is left of it, and keep that if it is damaged."""
    wrong = trial.findings.wrong.total()
    if tortured(trial, seed, until):
        examine(trial, want)
        trial.findings.counts["runs finished"] += 1
    search_for_key(trial.run, trial.findings)
    if trial.findings.wrong.total() == wrong:
        shutil.rmtree(trial.run)


def report(findings: Findings, server: FaultServer) -> str:
    """The final table."""
    log, counts = server.log, findings.counts
    if log.keys_elsewhere:
        findings.fail("the key went to another host", str(log.keys_elsewhere))
    lines = [f"{n:>8}  {what}" for what, n in sorted(counts.items())]
    lines.append(f"{log.asked.total():>8}  requests")
    lines.append(f"{log.elsewhere:>8}  requests at another host, by a redirect")
    kinds = f"{log.faults.total()} faults of {len(log.faults)} kinds"
    lines += ["", kinds, *(f"{n:>8}  {k}" for k, n in log.faults.most_common())]
    lines += ["", "what igaku said when it ended a sitting"]
    lines += [f"{n:>8}  {said}" for said, n in findings.sentences.most_common(40)]
    lines += ["", "lies, which no reply shows", *(f"  {lie}" for lie in findings.lies)]
    lines += ["", "WRONG" if findings.wrong else "nothing lost, doubled, torn, foreign"]
    for what, n in findings.wrong.most_common():
        lines += [f"{n:>8}  {what}", f"          e.g. {findings.examples[what]}"]
    return "\n".join(lines)


def stop(*_: object) -> None:
    raise SystemExit("stopped by SIGTERM")


def main() -> int:
    """Torture, print the table, and say by the exit status whether all held."""
    given = arguments()
    if given.victim:
        return victim(json.loads(given.victim))
    signal.signal(signal.SIGTERM, stop)
    findings = Findings()
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
        rounds(given, given.folder, findings)
    else:
        with tempfile.TemporaryDirectory() as name:
            rounds(given, Path(name), findings)
    return int(bool(findings.wrong))


if __name__ == "__main__":
    sys.exit(main())
