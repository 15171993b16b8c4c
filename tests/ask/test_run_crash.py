"""A run that is killed ten times, at moments nobody chose, and still ends whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stand_in import Answer, StandIn

from igaku.ask.plan import plan_of
from igaku.ask.run import run_exam
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from

KILLS = 10
CHECKOUT = Path(__file__).parents[2]
# Imports once, and forks a process for every sitting: that one is killed.
SCRIPT = """
import os, sys
from igaku.params.settings import settings_from
from igaku.exam.questions import load_exam
from igaku.ask.run import run_exam
settings = settings_from(
    model="stand-in", exam="calibration", shots=0, run="r", serial_context="joined",
    base_url=sys.argv[1], outputs_dir=sys.argv[2], concurrency=4,
)
questions = load_exam("calibration", serial_context="joined")
for _ in sys.stdin:
    sitting = os.fork()
    if not sitting:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        run_exam(settings, questions)
        os._exit(0)
    print(sitting, flush=True)
    print(os.waitpid(sitting, 0)[1], flush=True)
"""


def finished(path):
    """The questions whose rows are whole."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line)["problem_id"])
        except ValueError:
            continue
    return found


@contextmanager
def parent(server, folder):
    """The process that starts one sitting of the run for each line it is sent."""
    command = [sys.executable, "-c", SCRIPT, server.base_url, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        yield process


def killed(parent, server, after, rng):
    """Start the run, and kill it a moment after it has sent that many requests."""
    before, deadline = len(server.asked), time.monotonic() + 60
    print(file=parent.stdin, flush=True)
    sitting = int(parent.stdout.readline())
    while len(server.asked) < before + after:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.03))
    os.kill(sitting, signal.SIGKILL)
    assert int(parent.stdout.readline()) == signal.SIGKILL


def test_ten_kills_lose_nothing_and_double_nothing(tmp_path):
    rng = random.Random()  # no seed: a rare moment should be found some day
    questions = load_exam("calibration", serial_context="joined")
    settings = settings_from(
        model="stand-in",
        exam="calibration",
        serial_context="joined",
        shots=0,
        run="r",
        outputs_dir=tmp_path,
    )
    plan = plan_of(settings, questions)
    named = {item.chat[-1]["content"]: item.question.problem_id for item in plan.items}
    assert len(named) == len(questions) == 400
    path = tmp_path / "r" / "answers.jsonl"

    # A long body, so that a kill has something to tear.
    reply = Answer("c", reasoning="考える" * 5000, delay=0.004)
    with StandIn(lambda asked, n: reply) as server:
        with parent(server, tmp_path) as forking:
            for _ in range(KILLS):
                done, sent = set(finished(path)), len(server.asked)
                killed(forking, server, rng.randint(5, 35), rng)
                new = server.asked[sent:]
                asked = {named[b["messages"][-1]["content"]] for b in new}
                assert not asked & done
                assert set(finished(path)) >= done
        done, sent = set(finished(path)), len(server.asked)
        assert 0 < len(done) < 400
        at_server = replace(settings, base_url=server.base_url)
        run_exam(at_server, questions, progress=False)
        asked = [named[b["messages"][-1]["content"]] for b in server.asked[sent:]]
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_bytes())
    again = [each["problem_id"] for each in manifest["sessions"][-1]["warm"]]
    assert not set(asked) & done
    assert Counter(asked) == Counter([*set(named.values()) - done, *again])

    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    rows = [json.loads(line) for line in lines]
    assert Counter(row["problem_id"] for row in rows) == Counter(named.values())
    assert all(row["raw"]["choices"][0]["message"]["content"] == "c" for row in rows)
    assert manifest["status"] == "OK"
    assert len(manifest["sessions"]) == KILLS + 1
