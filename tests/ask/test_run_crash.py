"""A run that is killed ten times, at moments nobody chose, and still ends whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from stand_in import Answer, StandIn

from igaku.ask.plan import plan_of
from igaku.ask.run import run_exam
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from

KILLS = 10
CHECKOUT = Path(__file__).parents[2]
SCRIPT = """
import sys
from igaku.params.settings import settings_from
from igaku.exam.questions import load_exam
from igaku.ask.run import run_exam
settings = settings_from(
    model="stand-in", exam="calibration", shots=0, run="r", serial_context="joined",
    base_url=sys.argv[1], outputs_dir=sys.argv[2], concurrency=4,
)
run_exam(settings, load_exam("calibration", serial_context="joined"))
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


def killed(server, folder, after, rng):
    """Start the run, and kill it a moment after it has sent that many requests."""
    command = [sys.executable, "-c", SCRIPT, server.base_url, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    before = len(server.asked)
    while len(server.asked) < before + after and process.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


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
        for _ in range(KILLS):
            done, sent = set(finished(path)), len(server.asked)
            killed(server, tmp_path, rng.randint(5, 35), rng)
            asked = {named[b["messages"][-1]["content"]] for b in server.asked[sent:]}
            assert not asked & done
            assert set(finished(path)) >= done
        done, sent = set(finished(path)), len(server.asked)
        assert 0 < len(done) < 400
        at_server = replace(settings, base_url=server.base_url)
        run_exam(at_server, questions, progress=False)
        asked = [named[b["messages"][-1]["content"]] for b in server.asked[sent:]]
    assert not set(asked) & done
    assert Counter(asked) == Counter(set(named.values()) - done)

    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    rows = [json.loads(line) for line in lines]
    assert Counter(row["problem_id"] for row in rows) == Counter(named.values())
    assert all(row["raw"]["choices"][0]["message"]["content"] == "c" for row in rows)
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_bytes())
    assert manifest["status"] == "OK"
    assert len(manifest["sessions"]) == KILLS + 1
