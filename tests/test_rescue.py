"""What a run lost to its budget, asked again: with more tokens, and with as many."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from stand_in import Answer, StandIn, cut
from typer.testing import CliRunner

import igaku
from igaku import cli, study, workbook
from igaku.ask import manifest, run
from igaku.ask.folder import write_manifest
from igaku.ask.plan import plan_of
from igaku.ask.prompt import load_prompt
from igaku.ask.run import base_of
from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.pages import silence
from igaku.pages.facts import facts_of
from igaku.params.settings import settings_from
from igaku.rescue import parameters, rescue
from igaku.words import OUTCOMES

CHECKOUT = Path(__file__).parents[1]
ENGINES = {"lab-gguf-mxfp4": 18, "lab-mxfp4-q4": 6}  # and how many questions
SMALL, LARGE = 45, 180  # the lab's replies take 32 to 80 tokens
# A request that papermill -p would mangle: a truth, a number as text, a mapping.
BODY = {"cache_prompt": False, "metadata": {"ward": "007", "on": "yes"}}


def rows_of(folder):
    text = (folder / "answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def told(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def lost_in(folder):
    lost = ("truncated", "empty")
    found = [row["problem_id"] for row in rows_of(folder) if row["outcome"] in lost]
    return sorted(found)


def asked_in(folder):
    return sorted(row["problem_id"] for row in rows_of(folder))


def ask(settings):
    return run.run_exam(settings, run.questions_of(settings), progress=False)


# --- on the lab's engines -------------------------------------------------------------


def is_served(slug):
    if reason := missing_engine(slug):
        pytest.skip(f"{slug} cannot be served here: {reason}")
    return serving(slug)


def base_settings(slug, base_url, outputs, **more):
    return settings_from(
        model=slug, base_url=base_url, outputs_dir=str(outputs), run="base",
        limit=ENGINES[slug], max_tokens=SMALL, stop_when_broken=False, **more,
    )  # fmt: skip


def again(settings, max_tokens, **more):
    """The settings that ask what a run lost, as a user writes them."""
    return settings_from(
        model=settings.slug, base_url=settings.base_url, lost_of=settings.run,
        outputs_dir=settings.outputs_dir, max_tokens=max_tokens, **more,
    )  # fmt: skip


@pytest.mark.parametrize("slug", ENGINES)
def test_the_rescue_answers_what_the_control_loses_again(slug, tmp_path):
    with is_served(slug) as server:
        settings = base_settings(slug, server.base_url, tmp_path)
        base = ask(settings)
        larger, as_many = (ask(again(settings, n)) for n in (LARGE, SMALL))
    lost = lost_in(base)
    assert 2 <= len(lost) < len(rows_of(base))
    assert (larger.name, as_many.name) == (f"base-{LARGE}", f"base-{SMALL}")
    assert asked_in(larger) == asked_in(as_many) == lost
    answered = [row for row in rows_of(larger) if row["outcome"] == "answered"]
    assert len(answered) > len(lost) / 2
    assert max(row["completion_tokens"] for row in answered) > SMALL
    # Nothing but the budget made the difference: at the old one all are cut again.
    assert {row["outcome"] for row in rows_of(as_many)} == {"truncated"}
    assert {row["completion_tokens"] for row in rows_of(as_many)} == {SMALL}
    same_words = {row["problem_id"]: row["prompt_sha256"] for row in rows_of(base)}
    for row in rows_of(larger) + rows_of(as_many):
        assert row["prompt_sha256"] == same_words[row["problem_id"]]
    (found,) = study.rescues(tmp_path).to_dict("records")
    assert (found["run"], found["rescue"], found["control"]) == (
        "base",
        larger.name,
        as_many.name,
    )
    assert found["rescued"] + found["finished_wrong"] == len(answered)
    # Of the control none came to an answer.
    assert (found["control_asked"], found["control_rescued"]) == (len(lost), 0)
    (words,) = silence.rescues(facts_of(study.open_study(tmp_path)))
    assert f"with {SMALL} once more, as a control, 0 of {len(lost)}" in words
    runs = igaku.runs(tmp_path)
    assert runs[runs.role.isin(["finished", "stopped"])].run.tolist() == ["base"]


KILLED = """
import os, signal, sys
from igaku.ask import run
from igaku.params.settings import settings_from
from igaku.ask.folder import Journal

append, left = Journal.append, [3]

def killing(journal, row):
    done, left[0] = append(journal, row), left[0] - 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Journal.append = killing
settings = settings_from(
    model=sys.argv[1], base_url=sys.argv[2], outputs_dir=sys.argv[3],
    lost_of="base", max_tokens=int(sys.argv[4]),
)
run.run_exam(settings, run.questions_of(settings), progress=False)
"""


def test_a_killed_rescue_goes_on_where_it_was(tmp_path):
    slug = "lab-gguf-mxfp4"
    with is_served(slug) as server:
        settings = base_settings(slug, server.base_url, tmp_path)
        lost = lost_in(ask(settings))
        arguments = [slug, server.base_url, str(tmp_path), str(LARGE)]
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *arguments],
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        )
        assert killed.returncode == -signal.SIGKILL
        folder = tmp_path / f"base-{LARGE}"
        first = rows_of(folder)
        assert len(first) == 3 and set(asked_in(folder)) <= set(lost)
        assert ask(again(settings, LARGE)) == folder
    assert rows_of(folder)[:3] == first
    assert asked_in(folder) == lost
    assert (told(folder)["status"], len(told(folder)["sessions"])) == ("OK", 2)


def test_the_command_asks_as_the_run_was_asked(tmp_path):
    slug = "lab-gguf-mxfp4"
    with is_served(slug) as server:
        settings = base_settings(
            slug, server.base_url, tmp_path, extra_body=BODY, seed=7
        )
        base = ask(settings)
    words = ["rescue", "base", "--max-tokens", str(LARGE), "--outputs", str(tmp_path)]
    # The run's server has ended: the command starts the embedded model by itself.
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    folders = [tmp_path / "base-rescue", tmp_path / "base-control"]
    assert done.stdout.splitlines() == list(map(str, folders))
    free = ("max_tokens", "lost_of")
    fixed = {k: v for k, v in told(base)["condition"].items() if k not in free}
    for folder, budget in zip(folders, (LARGE, SMALL), strict=True):
        found = told(folder)
        assert asked_in(folder) == lost_in(base)
        assert {k: v for k, v in found["condition"].items() if k not in free} == fixed
        assert found["settings"]["extra_body"] == BODY
        assert found["settings"]["lost_of"] == "base"
        assert found["settings"]["max_tokens"] == budget
        assert found["settings"]["stop_when_broken"] is False
        assert (folder / "run.ipynb").is_file()
    assert told(folders[0])["outcomes"] == {"answered": len(lost_in(base))}
    assert told(folders[1])["outcomes"] == {"truncated": len(lost_in(base))}


# --- which questions ------------------------------------------------------------------


def written(outputs, outcomes, **more):
    """A run of the calibration exam whose first questions ended in these outcomes."""
    settings = settings_from(
        model="stand-in", exam="calibration", shots=0, run="base", max_tokens=64,
        outputs_dir=str(outputs), **more,
    )  # fmt: skip
    plan = plan_of(settings, run.questions_of(settings)[: len(outcomes)])
    settings.folder.mkdir(exist_ok=True)
    begun = manifest.joined(manifest.opened(plan, [])[0], settings, {})
    write_manifest(settings.folder, begun)
    rows = [
        {
            "problem_id": item.question.problem_id,
            "prompt_sha256": item.prompt_sha256,
            "outcome": outcome,
            "correct": None,
        }
        for item, outcome in zip(plan.items, outcomes, strict=True)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (settings.folder / "answers.jsonl").write_text(text, encoding="utf-8")
    return settings


@hypothesis.settings(max_examples=25)
@given(
    outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=12).filter(
        lambda found: {"truncated", "empty"} & set(found)
    )
)
def test_the_cut_and_the_blank_are_asked_and_no_other(tmp_path_factory, outcomes):
    settings = written(tmp_path_factory.mktemp("runs"), outcomes)
    names = [q.problem_id for q in run.questions_of(settings)]
    wanted = [
        name
        for name, outcome in zip(names, outcomes, strict=False)
        if outcome in ("truncated", "empty")
    ]
    chosen = run.questions_of(replace(settings, lost_of="base", run="again"))
    assert [q.problem_id for q in chosen] == wanted


def test_what_the_window_lost_no_budget_rescues(tmp_path):
    settings = written(tmp_path, ["truncated", "answered", "truncated"])
    path = settings.folder / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    text = "".join(json.dumps(row | {"cause": "window"}) + "\n" for row in rows)
    path.write_text(text)
    with pytest.raises(IgakuError, match="its 2 questions to the context window"):
        next(rescue("base", outputs_dir=tmp_path))


def test_limit_and_sections_choose_among_the_lost(tmp_path):
    settings = written(tmp_path, ["truncated"] * 100)
    lost = replace(settings, lost_of="base", run="again")
    everything = run.questions_of(lost)
    assert len(everything) == 100
    some = run.questions_of(replace(lost, limit=6))
    assert len(some) == 6 and set(some) <= set(everything)
    part = run.questions_of(replace(lost, sections="B"))
    assert part == [q for q in everything if q.section == "B"] != []


def test_a_control_that_loses_all_again_is_asked_to_its_end(tmp_path):
    written(tmp_path, ["truncated"] * 30)
    with StandIn(lambda asked, number: cut(asked)) as server:
        settings = settings_from(
            model="stand-in", exam="calibration", shots=0, lost_of="base",
            max_tokens=64, base_url=server.base_url, outputs_dir=str(tmp_path),
            stop_when_broken=True,
        )  # fmt: skip
        folder = ask(settings)
    assert len(server.asked) == len(rows_of(folder)) == 30
    assert not (folder / "probe.jsonl").exists()
    assert told(folder)["early_stop"] is None


def test_a_rescue_can_itself_be_rescued(tmp_path):
    def behave(asked, number):
        enough = asked["max_tokens"] > 64 * number  # ever more for each question
        return Answer("答え: a") if enough else cut(asked)

    written(tmp_path, ["truncated"] * 5)
    with StandIn(behave) as server:
        parts = {"model": "stand-in", "exam": "calibration", "shots": 0}
        parts |= {"base_url": server.base_url, "outputs_dir": str(tmp_path)}
        first = ask(settings_from(**parts, lost_of="base", max_tokens=256))
        left = settings_from(**parts, lost_of=first.name, max_tokens=10_000)
        second = ask(left)
    assert lost_in(first) == asked_in(second) and len(asked_in(second)) == 2
    assert second.name == "base-256-10000" and lost_in(second) == []


# --- names and refusals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "base-64"),
        ({"max_tokens": 65}, "base-65"),
        ({"max_tokens": 65, "run": "mine"}, "mine"),
    ],
)
def test_the_name_of_the_run_says_which_budget_it_has(tmp_path, given, name):
    given = {"max_tokens": 64} | given
    settings = settings_from(
        model="stand-in", lost_of="base", outputs_dir=tmp_path, **given
    )
    assert settings.run == name
    assert settings.stop_when_broken is False


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"lost_of": "nowhere"}, "There is no run nowhere in"),
        ({"max_tokens": 63}, "max_tokens is 63, but base lost its questions at 64"),
        ({"model": "other"}, r"model \(stand-in, now other\)"),
        ({"shots": 2}, r"shots \(0, now 2\)"),
        ({"temperature": 0.5}, r"temperature \(0.0, now 0.5\)"),
        ({"serial_context": "joined"}, r"serial_context \(as_released, now joined\)"),
        ({"sections": "F"}, "lost no question of sections F to its budget of 64"),
    ],
)
def test_what_is_no_rescue_is_refused_in_a_sentence(tmp_path, changed, told):
    written(tmp_path, ["truncated", "answered"])
    settings = {"model": "stand-in", "exam": "calibration", "shots": 0, "run": "again"}
    settings |= {"lost_of": "base", "max_tokens": 128, "outputs_dir": tmp_path}
    with pytest.raises(IgakuError, match=told) as refused:
        run.questions_of(settings_from(**settings | changed))
    assert "\n" not in str(refused.value)


def test_another_exam_is_another_run(tmp_path, shared):
    written(tmp_path, ["truncated"])
    settings = settings_from(
        model="stand-in", exam=2022, shots=0, lost_of="base", max_tokens=128,
        outputs_dir=tmp_path, data_dir=shared / "data" / "igakuqa",
    )  # fmt: skip
    with pytest.raises(IgakuError, match=r"exam \(calibration, now 2022\)"):
        run.questions_of(settings)


def test_other_words_are_another_run(tmp_path):
    written(tmp_path, ["truncated"])
    words = tmp_path / "words.yaml"
    own = asdict(load_prompt()) | {"system": "答えだけを書いてください。"}
    words.write_text(yaml.safe_dump(own, allow_unicode=True), encoding="utf-8")
    settings = settings_from(
        model="stand-in", exam="calibration", shots=0, lost_of="base", run="again",
        max_tokens=128, outputs_dir=tmp_path, prompt=str(words),
    )  # fmt: skip
    with pytest.raises(IgakuError, match="the wording of the prompt"):
        run.questions_of(settings)


def test_a_run_that_lost_nothing_to_its_budget_is_said_to(tmp_path):
    written(tmp_path, ["answered", "api_error", "unparsable"])
    with pytest.raises(IgakuError, match="lost no question .* nothing to ask again"):
        list(rescue("base", outputs_dir=tmp_path))


def test_a_run_that_was_not_asked_here_cannot_be_asked_again(tmp_path):
    settings = written(tmp_path, ["truncated"])
    (settings.folder / "manifest.json").unlink()
    with pytest.raises(IgakuError, match="choose a run that was asked here"):
        list(rescue("base", outputs_dir=tmp_path))


def test_a_whole_run_is_not_added_to_by_a_rescue(tmp_path):
    written(tmp_path, ["truncated", "answered"])
    settings = settings_from(
        model="stand-in", exam="calibration", shots=0, lost_of="base", run="base",
        max_tokens=64, outputs_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(IgakuError, match=r"lost_of \(None, now base\)"):
        ask(settings)


@pytest.mark.parametrize("max_tokens", [1, 64])
def test_a_budget_that_rescues_nothing_is_refused_before_all_else(
    tmp_path, monkeypatch, max_tokens
):
    written(tmp_path, ["truncated"])
    words = ["rescue", "base", "--max-tokens", max_tokens, "--outputs", tmp_path]
    monkeypatch.setattr(sys, "argv", ["igaku", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert "base lost at 64: give a larger --max-tokens" in str(ended.value.code)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


@pytest.mark.parametrize("name", ["", "../base", 7, True])
def test_lost_of_names_a_folder(name, tmp_path):
    with pytest.raises(IgakuError, match="lost_of is"):
        settings_from(model="stand-in", lost_of=name, outputs_dir=tmp_path)


# --- what the command passes on -------------------------------------------------------


def test_the_command_tells_the_notebook_what_the_run_was_told(tmp_path, monkeypatch):
    seen = []

    def run(command, watch, keep=()):
        seen.append(yaml.safe_load(command[command.index("-y") + 1]))
        watch()
        return 0, ""

    monkeypatch.setattr(workbook, "run", run)
    written(
        tmp_path, ["truncated"], extra_body=BODY, temperature=1e-5, top_p=0.9, seed=3,
        reasoning_effort="low", concurrency=4, timeout=100, card={"label": "10_0"},
    )  # fmt: skip
    folders = list(
        rescue("base", base_url="http://127.0.0.1:9/v1", outputs_dir=tmp_path)
    )
    assert [folder.name for folder in folders] == ["base-rescue", "base-control"]
    assert [given.pop("lang") for given in seen] == ["en", "en"]
    rescued, control = (settings_from(**given) for given in seen)
    assert (rescued.max_tokens, control.max_tokens) == (256, 64)
    assert (rescued.timeout, control.timeout) == (400, 100)
    for settings in (rescued, control):
        assert (settings.extra_body, settings.temperature) == (BODY, 1e-5)
        assert (settings.top_p, settings.seed) == (0.9, 3)
        assert (settings.reasoning_effort, settings.concurrency) == ("low", 4)
        assert settings.card == {"label": "10_0"}
        assert settings.base_url == "http://127.0.0.1:9/v1"
        assert settings.slug == "stand-in"


def test_a_run_of_the_lab_is_served_anew_and_another_where_it_was(tmp_path):
    written(tmp_path, ["truncated"], base_url="http://10.0.0.1:1234/v1")
    given = parameters(base_of("base", tmp_path), 64)
    assert given["base_url"] == "http://10.0.0.1:1234/v1"
    assert given["run"] == "base-control"
    assert parameters(base_of("base", tmp_path), 65)["run"] == "base-rescue"
    written(tmp_path, ["truncated"], card={"origin": "lab"})
    assert parameters(base_of("base", tmp_path), 64)["base_url"] == "lab"
