"""A sweep: its file, where it stands, and real servers of the lab at once."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import product

import psutil
import pytest
import yaml
from runs import planned, replied, sit
from starting import PYTHONPATH
from typer.testing import CliRunner

from igaku import cli, paths, workbook
from igaku.ask import run
from igaku.ask.folder import holder_of, write_manifest
from igaku.ask.prompt import SHIPPED as SHIPPED_PROMPTS
from igaku.ask.rows import read_rows
from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.params.settings import settings_from
from igaku.statistics import required_questions
from igaku.study.runs import find_runs, read_job
from igaku.sweep import lanes, status
from igaku.sweep.file import JOB_LOCK, lane_lock, read_sweep
from igaku.sweep.lanes import Sitting, held
from igaku.words import word

LAB = ("lab-gguf-mxfp4", "lab-mxfp4-q4")  # two engines
SHIPPED = sorted(path.stem for path in (paths.PARAMS / "sweeps").glob("*.yaml"))
HERE, THERE = "http://127.0.0.1:1234/v1", "http://studio.local:1234/v1"


@pytest.fixture
def written(tmp_path):
    """A function that writes a sweep's file, and reads it."""

    def write(**told):
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump(told), encoding="utf-8")
        return read_sweep(str(path), tmp_path / "outputs")

    return write


def page_of(sweep):
    """The page of a sweep: the cells of each run's row, and all of its text."""
    page = read(sweep.outputs_dir / f"sweep-{sweep.name}.html")
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    ]
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    return {row[0]: [html.unescape(cell) for cell in row] for row in rows}, text


def at(sweep, number=0):
    """Where one job of a sweep stands."""
    return status.standings(sweep).iloc[number]


def sitting(plan):
    """The first job of a sweep, about to be made."""
    return Sitting(plan.jobs[0], "en")


def names(sweep):
    return [job.run for job in sweep.jobs]


# --- the file -------------------------------------------------------------------------


def test_a_name_tells_what_its_run_does_not_share_with_the_others(written):
    told = {"models": ["openai-8bit"], "exams": [2022]}
    assert names(written(**told)) == ["openai-8bit"]
    assert names(written(**told, budgets=[4096])) == ["openai-8bit"]
    assert names(written(**told | {"exams": [2018]})) == ["openai-8bit-2018"]
    several = written(
        **told | {"exams": [2022, 2021]},
        budgets=[1024, 4096],
        efforts=["low", "high"],
        suffix="joined",
        repeats=2,
    )
    assert len(set(names(several))) == len(several.jobs) == 16
    assert names(several)[:2] == [
        "openai-8bit-1024-low-joined",
        "openai-8bit-1024-low-joined-r2",
    ]
    assert names(several)[-1] == "openai-8bit-2021-4096-high-joined-r2"


def test_a_name_does_not_hang_on_the_other_models(written):
    models = ["openai-8bit", "safeguard-mxfp4", "lab-mxfp4-q4"]
    there, back = (written(models=m) for m in (models, models[::-1]))
    assert sorted(names(there)) == sorted(names(back)) == sorted(models)


def test_a_prompt_of_ones_own_is_named_by_its_file(written, tmp_path):
    own = tmp_path / "step-by-step.yaml"
    own.write_bytes((SHIPPED_PROMPTS / "baseline.ja.yaml").read_bytes())
    recorded = tmp_path / "old.json"
    recorded.write_text(json.dumps({"prompts": {"short": "Be brief."}, "details": []}))
    prompts = ["baseline", str(own), f"{recorded}#short"]
    assert names(written(models=["openai-8bit"], prompts=prompts)) == [
        "openai-8bit",
        "openai-8bit-step-by-step",
        "openai-8bit-old-short",
    ]


def test_models_are_dealt_to_endpoints_and_stay_there(written):
    own = {"model": "lab-mxfp4-q4", "endpoint": "http://lab.local:8080/v1/"}
    sweep = written(
        models=["openai-8bit", own, "safeguard-mxfp4", "openai-mxfp4-gguf"],
        endpoints=[HERE, THERE],
        efforts=["low", "high"],
    )
    dealt = [
        {(job.parameters["model"], job.endpoint) for job in lane}
        for lane in sweep.lanes
    ]
    assert dealt == [
        {("openai-8bit", HERE), ("openai-mxfp4-gguf", HERE)},
        {("lab-mxfp4-q4", "http://lab.local:8080/v1")},
        {("safeguard-mxfp4", THERE)},
    ]


def test_a_server_is_one_lane_however_its_address_is_spelled(written):
    here = ["http://LOCALHOST:1234/v1", "http://[::1]:1234/v1/", HERE]
    others = ["http://localhost:1235/v1", THERE, THERE.replace("studio", "Studio")]
    models = [f"lab-{name}" for name in ("mlx-8bit", "gguf-mxfp4", "mxfp4-q8")]
    models += ["openai-8bit", "openai-mxfp4-gguf", "safeguard-mxfp4"]
    jobs = written(models=models, endpoints=here + others).jobs
    assert [job.lane for job in jobs] == [0, 0, 0, 1, 2, 2]


def test_without_endpoints_a_model_goes_where_its_file_says(written):
    sweep = written(models=["openai-8bit", "lab-mxfp4-q4", "lab-mlx-8bit"])
    assert [job.endpoint for job in sweep.jobs] == [HERE, "lab", "lab"]
    assert [job.lane for job in sweep.jobs] == [0, 1, 1]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({}, "List under `models`"),
        ({"models": "openai-8bit"}, "`models` must be a list"),
        ({"models": ["openai-8bits"]}, "did you mean openai-8bit?"),
        ({"models": ["openai-8bit"], "endpoint": [HERE]}, "did you mean endpoints?"),
        ({"models": [{"slug": "openai-8bit"}]}, "There is no key of a model slug"),
        ({"models": ["openai-8bit"] * 2}, "more than one run called openai-8bit"),
        ({"models": ["openai-8bit"], "endpoints": ["studio"]}, "a server's address"),
        ({"models": ["openai-8bit"], "efforts": ["lowest"]}, "reasoning_effort is"),
        ({"models": ["openai-8bit"], "repeats": 0}, "`repeats` must be"),
        ({"models": ["openai-8bit"], "suffix": "a/b"}, "a plain folder name"),
        (
            {"models": ["openai-8bit"], "settings": {"max_tokens": 9}},
            "list its values under `budgets`",
        ),
        (
            {"models": ["openai-8bit"], "settings": {"concurency": 9}},
            "did you mean concurrency?",
        ),
        (
            {"models": ["openai-8bit"], "prompts": ["prompts/nowhere.yaml"]},
            "There is no prompt",
        ),
        (
            {"models": ["lab-mxfp4-q4", "openai-8bit"], "endpoints": ["lab"]},
            "openai-8bit is not an embedded model",
        ),
    ],
)
def test_a_slip_in_the_file_is_a_sentence(written, told, sentence):
    with pytest.raises(IgakuError) as refused:
        written(**told)
    assert sentence in str(refused.value)
    assert "trial.yaml" in str(refused.value)


def test_a_sweep_that_is_not_there_is_a_sentence():
    with pytest.raises(IgakuError, match="There is no sweep sead: did you mean seed"):
        read_sweep("sead")
    with pytest.raises(IgakuError, match="There is no file"):
        read_sweep("nowhere/sead.yaml")


def test_the_run_that_decides_is_a_whole_crossing_of_enough_questions():
    jobs = [job.parameters for job in read_sweep("failure").jobs]
    told = [(j["model"], j["reasoning_effort"], j["max_tokens"]) for j in jobs]
    assert sorted(told) == sorted(
        product(
            ("mlx-community-mxfp4-q8", "mlx-community-mxfp4-q4"),
            ("low", "medium", "high"), (1024, 4096),
        )
    )  # fmt: skip
    assert not any(job["stop_when_broken"] for job in jobs)
    between = len(told) // 2
    (n,) = {job["limit"] for job in jobs}
    assert n >= required_questions(0.2, 0.25, 0.8, 0.05 / between)


def test_shipped_sweeps_share_a_run_only_where_it_is_the_same():
    asked = {}
    for name in SHIPPED:
        for job in read_sweep(name).jobs:
            settings = settings_from(**job.parameters).to_dict()
            assert asked.setdefault(job.run, settings) == settings
    conditions = [  # nor is any asked twice under two names, unless as a repeat
        json.dumps(settings | {"run": ""}, sort_keys=True)
        for run, settings in asked.items()
        if not run.endswith("-r2")
    ]
    assert len(set(conditions)) == len(conditions)
    assert {"seed", "larger-budget", "effort", "noise-floor", "vignettes"} < {*SHIPPED}
    assert "openai-8bit-r2" in asked


def test_the_seed_is_swept_under_one_explicit_effort():
    for job in read_sweep("seed").jobs:
        settings = settings_from(**job.parameters)
        assert (settings.reasoning_effort, settings.load) == ("low", True)
        assert (settings.exam, settings.max_tokens) == (2022, 1024)


# --- where it stands ------------------------------------------------------------------

NOON = datetime(2026, 2, 7, 12, tzinfo=UTC)


def put(
    sweep, job, n, total, minutes=None, state="running", outcome="answered", **about
):
    """A job's folder with n answers at even pace, in the minutes before noon."""
    questions = planned(total)
    rows = [
        replied(
            question,
            outcome=outcome,
            seconds=1.0,
            prompt_sha256="0",
            asked_at=(NOON - timedelta(minutes=minutes or n) * (n - i) / n).isoformat(),
        )
        for i, question in enumerate(questions[:n])
    ]
    sit(sweep.outputs_dir, None, job.run, questions, rows=rows, **about)
    status.write_job(job.folder, {"state": state, "attempts": 1})


@pytest.fixture
def two_lanes(written):
    own = {"model": "openai-mxfp4-gguf", "endpoint": THERE}
    models = ["openai-8bit", "safeguard-mxfp4", own]
    return written(models=models, exams=[2022])


def test_time_left_is_that_of_the_slowest_lane(two_lanes):
    first, second, other = two_lanes.jobs
    put(two_lanes, first, n=100, total=100, minutes=10, state="done")
    put(two_lanes, other, n=5, total=100, minutes=10, state="broken")
    found = status.standings(two_lanes, NOON)
    assert found[["state", "asked", "total", "left"]].to_numpy().tolist() == [
        ["done", 100, 100, 0],
        ["waiting", 0, 100, 100],
        ["broken", 5, 100, 0],  # this one is over
    ]
    assert status.totals(found, NOON) == (
        "1 done, 0 running, 1 broken, 0 failed, 1 waiting, 10.5 questions/min, "
        "10 min left"
    )
    assert second.lane == first.lane


def test_only_the_last_ten_minutes_tell_the_pace(two_lanes):
    put(two_lanes, two_lanes.jobs[0], n=60, total=100, minutes=60)
    told = status.totals(status.standings(two_lanes, NOON), NOON)
    assert "1.0 questions/min" in told
    later = NOON + timedelta(1)
    told = status.totals(status.standings(two_lanes, later), later)
    assert told == "0 done, 0 running, 0 broken, 0 failed, 3 waiting"


def never():
    raise AssertionError("the lock is free, and still it was waited for")


def test_a_job_whose_process_is_gone_waits_again(two_lanes):
    job = two_lanes.jobs[0]
    put(two_lanes, job, n=3, total=9)
    with held(job.folder / JOB_LOCK, "me", never):
        assert at(two_lanes).state == "running"
    gone = at(two_lanes)
    assert (gone.state, gone.why, gone.left) == ("waiting", "it was interrupted", 6)


def test_a_job_is_under_way_while_the_papermill_of_a_killed_sweep_works(tmp_path):
    """papermill and its kernel are two stand-ins, one started by the other."""
    lock, kernel = tmp_path / JOB_LOCK, "import time; time.sleep(60)"
    papermill = (
        "import subprocess, sys, time; "
        f"print(subprocess.Popen([sys.executable, '-c', '{kernel}']).pid, flush=True,"
        f"file=open({str(tmp_path / 'kernel')!r}, 'w')); time.sleep(2)"
    )
    code = (
        "import sys; from pathlib import Path; "
        "from igaku import workbook; from igaku.sweep.lanes import held\n"
        f"with held(Path({str(lock)!r}), 'me', print) as file:\n"
        f"    workbook.run([sys.executable, '-c', {papermill!r}], lambda: None, [file])"
    )
    igaku = subprocess.Popen([sys.executable, "-c", code], cwd=paths.ROOT)
    until(lambda: (tmp_path / "kernel").is_file() and read(tmp_path / "kernel"))
    igaku.kill()
    igaku.wait()
    assert holder_of(lock) is not None
    until(lambda: holder_of(lock) is None)
    os.kill(int(read(tmp_path / "kernel")), signal.SIGKILL)  # it outlived papermill


def read(path):
    return path.read_text(encoding="utf-8").strip()


def until(happens, seconds=20):
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_status_is_one_table_and_one_line(two_lanes, tmp_path):
    first, second, _ = two_lanes.jobs
    put(two_lanes, first, n=20, total=40, outcome="truncated", state="broken")
    second.folder.mkdir()
    failed = {"state": "failed", "why": "Load it."}
    status.write_job(second.folder, failed)
    words = ["sweep", str(tmp_path / "trial.yaml"), "--status"]
    words += ["--outputs", str(two_lanes.outputs_dir)]
    shown = CliRunner().invoke(cli.app, words).output.splitlines()
    assert shown[1].split() == ["openai-8bit", HERE, "broken", "20/40", "20"]
    assert shown[2].split()[2:] == ["failed", "0/40", "0", "Load", "it."]
    assert shown[-1].startswith("0 done, 0 running, 1 broken, 1 failed, 1 waiting")
    # A folder without answers is no run to an analysis.
    assert [run.name for run in find_runs(two_lanes.outputs_dir)] == ["openai-8bit"]


# --- going through it, papermill's place taken by a stand-in ------------------------


@pytest.fixture
def papermill(monkeypatch, tmp_path):
    """A stand-in of papermill that ends as a list says, run by run."""
    ends, started = {}, []

    def execution(notebook, output, options, watch, keep):
        watch()
        name = output.parent.name
        started.append(name)
        told = ends.get(name) or []
        end = told.pop(0) if told else (0, "")
        if not end[0]:
            session = {"start": lanes.now(), "ended": "finished"}
            told = {"status": "OK", "questions": [], "sessions": [session]}
            write_manifest(output.parent, told | execution.about)
        return end

    monkeypatch.setattr(workbook, "execution", execution)
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lanes, "PAUSE", 0.0)
    monkeypatch.setattr(lanes, "POLL", 0.02)
    monkeypatch.setattr(lanes, "PATIENCE", 0.0)
    execution.ends, execution.started, execution.about = ends, started, {}
    return execution


def state_of(sweep, run):
    return read_job(sweep.job(run).folder)


def failing(name, sentence):
    return 1, f"Traceback\n\x1b[31m{name}\x1b[39m: {sentence}\n\n"


def test_what_may_pass_is_tried_again_and_what_will_not_is_left(papermill, written):
    own = {"model": "openai-mxfp4-gguf", "endpoint": THERE}
    models = ["openai-8bit", "safeguard-mxfp4", "mlx-community-mxfp4-q4", own]
    plan = written(models=models)
    broken = failing("EngineCrashed", "The engine of openai-8bit crashed: see its log.")
    gone = failing("ServerUnreachable", "No server answers.")
    papermill.ends |= {
        "openai-8bit": [broken],
        "safeguard-mxfp4": [failing("WrongModel", "Another model answered: load it.")],
        "openai-mxfp4-gguf": [gone, gone],
    }
    with pytest.raises(IgakuError, match="safeguard-mxfp4 and openai-mxfp4-gguf did"):
        lanes.sweep(plan, "ja")
    assert sorted(papermill.started) == sorted(
        ["openai-8bit"] * 2
        + ["safeguard-mxfp4", "mlx-community-mxfp4-q4", "openai-mxfp4-gguf"]
    )
    kinds = {run: state_of(plan, run)["kind"] for run in names(plan)}
    assert list(kinds.values()) == [None, "wrong_model", None, "unreachable"]
    rows, page = page_of(plan)
    assert rows["openai-8bit"][2] == "クラッシュ、その後完了"
    assert rows["safeguard-mxfp4"][1:3] == ["失敗", "別のモデル"]
    assert rows["openai-mxfp4-gguf"][1:3] == ["失敗", "接続できず"]
    assert "openai-8bit: The engine of openai-8bit crashed: see its log." in page
    assert "safeguard-mxfp4: Another model answered: load it." in page
    assert page.count("openai-mxfp4-gguf: No server answers.") == 1
    assert rows["mlx-community-mxfp4-q4"][1:3] == ["完了", "–"]


def test_a_finished_job_is_left_alone_until_its_parameters_change(papermill, written):
    plan = written(models=["openai-8bit"])
    for _ in range(2):
        lanes.sweep(plan)
    assert papermill.started == ["openai-8bit"]
    with held(lane_lock(HERE), "somebody", never):  # nor is its server waited for
        assert sitting(plan).make()["state"] == "done"
    lanes.sweep(written(models=["openai-8bit"], settings={"limit": 40}))
    assert len(papermill.started) == 2


def test_a_later_attempt_leaves_what_failed_for_good(papermill, written):
    plan = written(models=["openai-8bit"])
    sentence = "The server could not load openai-8bit: download it."
    papermill.ends["openai-8bit"] = [failing("NotLoaded", sentence)]
    for attempt in (1, 2, 3):
        with pytest.raises(IgakuError, match=f"openai-8bit: {sentence}"):
            lanes.attempt_one(plan, "openai-8bit", attempt, "en")
    assert len(papermill.started) == 1
    lanes.attempt_one(plan, "openai-8bit", 1, "en")  # the next day
    assert state_of(plan, "openai-8bit")["state"] == "done"
    assert state_of(plan, "openai-8bit")["attempts"] == 2


def test_an_interrupt_ends_every_lane_and_leaves_all_to_go_on_with(
    monkeypatch, written
):
    def endless(notebook, output, options, watch, keep):
        while True:
            watch()
            time.sleep(0.01)

    def interrupted(plan):
        raise KeyboardInterrupt

    own = {"model": "openai-mxfp4-gguf", "endpoint": THERE}
    plan = written(models=["openai-8bit", "safeguard-mxfp4", own])
    monkeypatch.setattr(workbook, "execution", endless)
    monkeypatch.setattr(lanes, "standings", interrupted)
    monkeypatch.setattr(lanes, "LOOK", 0.5)
    with pytest.raises(KeyboardInterrupt):
        lanes.sweep(plan, "ja")
    found = status.standings(plan)
    assert found.state.tolist() == ["waiting"] * 3
    assert found.attempts.tolist() == [1, 0, 1]


def test_a_run_of_other_weights_is_never_finished(papermill, written):
    plan = written(models=["openai-8bit"])
    why = "After the last question the weights are others: load the right ones."
    papermill.about = {"identity": {"status": "wrong_model", "why": why}}
    for attempt in (1, 2):
        with pytest.raises(IgakuError, match="openai-8bit did not finish"):
            lanes.sweep(plan, "en")
        assert len(papermill.started) == attempt
    record = state_of(plan, "openai-8bit")
    assert [record[name] for name in ("kind", "why")] == ["wrong_model", why]
    _, page = page_of(plan)
    assert "wrong model (2×)" in page and "finished" not in page


def test_a_server_that_comes_back_is_waited_for(papermill, monkeypatch, written):
    plan = written(models=["openai-8bit"])
    gone = failing("ServerUnreachable", "No server answers.")
    papermill.ends["openai-8bit"] = [gone] * 5
    monkeypatch.setattr(lanes, "PATIENCE", 60.0)
    pauses, told = [], []

    def pause(sitting, seconds):
        if seconds:
            pauses.append(seconds)
            told.append(tuple(at(plan)[["state", "why"]]))

    monkeypatch.setattr(lanes, "PAUSE", 5.0)
    monkeypatch.setattr(Sitting, "pause", pause)
    assert sitting(plan).make()["state"] == "done"
    assert pauses == [5, 10, 20, 40, 60]
    assert {*told} == {("running", "waiting for the server: No server answers.")}
    assert state_of(plan, "openai-8bit")["attempts"] == 6


def test_what_fails_again_and_again_holds_up_the_others_only_so_long(
    papermill, written
):
    plan = written(models=["openai-8bit", "safeguard-mxfp4"])
    papermill.ends |= {"openai-8bit": [(1, "odd")] * 4}
    with pytest.raises(IgakuError, match="^openai-8bit did not finish"):
        lanes.sweep(plan)
    assert papermill.started == ["openai-8bit"] * 3 + ["safeguard-mxfp4"]


def test_what_the_user_must_solve_is_not_tried_again(papermill, written):
    plan = written(models=["openai-8bit"])
    refused = failing("IgakuError", "The context is too short: load it with a longer.")
    papermill.ends["openai-8bit"] = [refused]
    told = {"state": "failed", "kind": "refused", "attempts": 1}
    assert sitting(plan).make().items() >= told.items()


@contextmanager
def at_work(job):
    """A thread that makes the run of a job, for the time of a `with`, and its end."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(Sitting(job, "en").make()), daemon=True
    )
    thread.start()
    yield found
    thread.join(20)
    assert found[0]["state"] == "done"


def test_a_server_that_another_sweep_uses_is_waited_for(papermill, written, capsys):
    plan = written(models=["openai-8bit"])
    lock = lane_lock("http://localhost:1234/v1/")
    with ExitStack() as stack, held(lock, "/else/where (process 7 of far)", never):
        stack.enter_context(at_work(plan.jobs[0]))
        until(lambda: "waits for /else/where" in capsys.readouterr().err)
        each = at(plan)
        assert (each.state, papermill.started) == ("waiting", [])
        assert each.why == ("its server is at work on /else/where (process 7 of far)")
    assert papermill.started == ["openai-8bit"]


def test_a_job_that_is_under_way_elsewhere_is_waited_for(papermill, written, capsys):
    plan = written(models=["openai-8bit"])
    lock = plan.jobs[0].folder / JOB_LOCK
    with ExitStack() as stack, held(lock, "process 7 of far", never):
        stack.enter_context(at_work(plan.jobs[0]))
        until(lambda: "waits for process 7 of far" in capsys.readouterr().err)
        assert at(plan).state == "running"
        assert not papermill.started
    assert papermill.started == ["openai-8bit"]


def test_a_run_that_a_notebook_writes_may_be_free_at_the_next_attempt(
    papermill, written
):
    plan = written(models=["openai-8bit"])
    told = f"outputs/openai-8bit {lanes.WRITTEN} 7: wait until it ends."
    papermill.ends["openai-8bit"] = [failing("IgakuError", told)]
    assert sitting(plan).make()["state"] == "done"
    assert papermill.started == ["openai-8bit"] * 2


def test_one_folder_that_cannot_be_used_fails_alone(papermill, written):
    models = ["openai-8bit", "safeguard-mxfp4", "openai-mxfp4-gguf"]
    plan = written(models=models)
    plan.outputs_dir.mkdir()
    in_the_way = plan.jobs[0].folder
    in_the_way.touch()
    (plan.jobs[1].folder / "job.json").mkdir(parents=True)
    with pytest.raises(IgakuError, match="^openai-8bit and safeguard-mxfp4 did not"):
        lanes.sweep(plan, "en")
    assert papermill.started == ["openai-mxfp4-gguf"]
    _, page = page_of(plan)
    assert "3 runs: failed 2, done 1." in page
    assert f"openai-8bit: {in_the_way} cannot be written" in page
    text = status.status_text(plan)
    assert "is a file where a folder belongs: move it away." in text
    assert "1 done, 0 running" in text


def test_a_record_that_is_not_readable_is_as_none(papermill, written):
    plan = written(models=["openai-8bit"])
    folder = plan.jobs[0].folder
    folder.mkdir(parents=True)
    (folder / "job.json").write_bytes(b"\xff\xfe{")
    assert at(plan).state == "waiting"
    assert sitting(plan).make()["attempts"] == 1


def test_a_signal_to_igaku_alone_is_passed_on(monkeypatch, tmp_path):
    """The command stands in for papermill, and tells what has reached it."""

    def interrupt():
        if (tmp_path / "up").exists():
            raise KeyboardInterrupt

    code = (
        "import time, pathlib as p\n"
        f"p.Path({str(tmp_path / 'up')!r}).touch()\n"
        "try: time.sleep(60)\n"
        f"except KeyboardInterrupt: p.Path({str(tmp_path / 'told')!r}).touch()"
    )
    with pytest.raises(KeyboardInterrupt):
        workbook.run([sys.executable, "-c", code], interrupt)
    assert (tmp_path / "told").exists()


def test_the_page_tells_broken_interrupted_and_not_begun_apart(two_lanes):
    first, second, _ = two_lanes.jobs
    about = {"state": "broken", "status": "BROKEN", "cause": "budget"}
    put(two_lanes, first, n=20, total=40, outcome="truncated", **about)
    put(two_lanes, second, n=3, total=40)
    status.write_report(two_lanes)
    rows, text = page_of(two_lanes)
    told = ["20 of 20 replies were lost (cause: token budget)", "interrupted", "–"]
    assert [row[2] for row in list(rows.values())[1:]] == told
    assert "3 runs: broken 1, waiting 2." in text


def test_every_kind_of_error_has_a_word_in_the_report():
    for kind in {*workbook.KINDS.values(), *lanes.FINAL}:
        assert word("trouble", kind, "ja") != kind


def test_the_report_tells_a_crash_within_a_run_that_went_on(written):
    plan = written(models=["openai-8bit"], settings={"load": True})
    job = plan.jobs[0]
    crash = {
        "ended": "stopped",
        "kind": "crashed",
        "end": (NOON - timedelta(minutes=17, seconds=30)).isoformat(),
        "why": "The engine of openai-8bit crashed: load it again.",
    }
    start, end = (NOON - timedelta(minutes=m) for m in (17, 0))
    done = {"ended": "finished", "start": start.isoformat(), "end": end.isoformat()}
    put(plan, job, 40, 40, state="done", sessions=[crash, done], status="OK")
    status.write_report(plan)
    _, page = page_of(plan)
    assert "crashed after 23 questions; loaded again, finished" in page
    assert "openai-8bit: The engine of openai-8bit crashed: load it again." in page


@pytest.mark.parametrize(
    ("kind", "load", "told"),
    [
        ("crashed", True, "crashed after 5 questions; loaded again, finished"),
        ("crashed", False, "crashed after 5 questions; resumed, finished"),
        ("other", True, "failed after 5 questions; resumed, finished"),
    ],
)
def test_only_what_was_loaded_again_is_said_to_be(written, kind, load, told):
    plan = written(models=["openai-8bit"], settings={"load": load})
    stop = {"ended": "stopped", "kind": kind, "why": "It crashed."}
    stop["end"] = (NOON - timedelta(minutes=4, seconds=30)).isoformat()
    done = {"ended": "finished", "start": (NOON - timedelta(minutes=4)).isoformat()}
    put(plan, plan.jobs[0], 9, 9, state="done", sessions=[stop, done])
    assert status.story(at(plan), "en") == told
    plan = written(models=["safeguard-mxfp4"], settings={"load": load})
    put(plan, plan.jobs[0], 9, 9, state="done", sessions=[stop])
    assert "finished" not in status.story(at(plan), "en")


# --- real servers at once -------------------------------------------------------------

LIMIT = 12


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The file of a sweep over two servers that are up: two engines, two models."""
    for slug in LAB:
        if reason := missing_engine(slug):
            pytest.skip(f"{slug} cannot be served here: {reason}")
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(slug)) for slug in LAB]
        entries = [
            {"model": slug, "endpoint": server.base_url}
            for slug, server in zip(LAB, servers, strict=True)
        ]
        file = tmp_path_factory.mktemp("two") / "two.yaml"
        told = {"models": entries, "efforts": ["low"]}
        told["settings"] = {"limit": LIMIT, "concurrency": 1}
        file.write_text(yaml.safe_dump(told), encoding="utf-8")
        yield file


def answers(outputs):
    """What was answered in every run, question by question."""
    kept = ("content", "outcome", "finish_reason", "prompt_tokens", "completion_tokens")
    return {
        path.parent.name: {
            row["problem_id"]: [row[name] for name in kept]
            for row in read_rows(path, kept)
        }
        for path in outputs.glob("*/answers.jsonl")
    }


def snakemake(file, outputs, folder, cores=2):
    """Snakemake at work on a sweep, in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    command += [
        "--snakefile",
        str(paths.ROOT / "Snakefile"),
        "--directory",
        str(folder),
    ]
    command += ["--config", f"sweep={file}", f"outputs={outputs}", "lang=en"]
    command += ["analyse=False"]
    log = (folder / "snakemake.log").open("ab")
    told = {"stdout": log, "stderr": log, "start_new_session": True}
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": PYTHONPATH}, **told
    )


def killed_in_mid_run(process, outputs, more_than):
    """Kill all of Snakemake once a run is in its middle; the answers there are."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        counts = [len(rows) for rows in answers(outputs).values()]
        if sum(counts) > more_than and any(2 < n < LIMIT - 3 for n in counts):
            started = psutil.Process(process.pid).children(recursive=True)
            for each in (process, *started):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            return sum(counts)
        time.sleep(0.05)
    raise AssertionError("no run was in its middle")


def undisturbed(file, outputs):
    """The answers of a sweep whose runs are made here, with no notebook around them."""
    for job in read_sweep(str(file), outputs).jobs:
        settings = settings_from(**job.parameters, outputs_dir=outputs)
        run.run_exam(settings, run.questions_of(settings), progress=False)
    return answers(outputs)


@pytest.mark.timeout(600)  # two engines, and two notebooks three times over
def test_a_sweep_killed_twice_ends_in_the_answers_of_one_that_was_not(two, tmp_path):
    torn, expected = tmp_path / "torn", undisturbed(two, tmp_path / "whole")
    assert {run: len(rows) for run, rows in expected.items()} == dict.fromkeys(
        LAB, LIMIT
    )
    n = 0
    for cores in (2, 1):  # the second time in the middle of one run
        n = killed_in_mid_run(snakemake(two, torn, tmp_path, cores), torn, n + 1)
    standing = status.standings(read_sweep(str(two), torn))
    assert not (standing.state == "done").all()
    assert snakemake(two, torn, tmp_path).wait() == 0, (
        tmp_path / "snakemake.log"
    ).read_text()
    assert answers(torn) == expected
    done = json.loads((torn / LAB[1] / "job.json").read_text())
    assert (done["state"], done["attempts"] > 1) == ("done", True)
    assert "2 runs: done 2." in read(torn / "sweep-two.html")


def test_the_runs_of_one_server_wait_for_each_other(two, tmp_path):
    """Nor does a run that fails on another server hold them up, as the profile says."""
    told = yaml.safe_load(two.read_text())
    told |= {"models": told["models"][:2], "repeats": 2, "settings": {"limit": 4}}
    file = tmp_path / "twice.yaml"
    file.write_text(yaml.safe_dump(told))
    bad, good = ([slug, f"{slug}-r2"] for slug in LAB[1::-1])
    for name in bad:  # a folder lies where its record belongs
        (tmp_path / "out" / name / "job.json").mkdir(parents=True)
    process = snakemake(file, tmp_path / "out", tmp_path)
    log = tmp_path / "snakemake.log"
    assert process.wait() == 1, read(log)
    assert all(f"{name}/job.json cannot be written" in read(log) for name in bad)
    records = [
        json.loads((tmp_path / "out" / name / "job.json").read_text()) for name in good
    ]
    spans = sorted((record["started"], record["ended"]) for record in records)
    assert spans[0][1] <= spans[1][0]
