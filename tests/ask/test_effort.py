"""The reasoning effort: on the lab's engines, and where a server drops it silently."""

import json
from collections import Counter

import pytest
from lm_studio import LMStudio
from stand_in import Answer, StandIn

from igaku.ask import manifest, run
from igaku.ask.folder import EFFORT
from igaku.ask.preflight import WAYS, contrast_of, is_shown, ways
from igaku.ask.shape import read_manifest
from igaku.lab.serve import serving
from igaku.params.settings import settings_from

LM_STUDIO = {"/api/v1/models": {"models": []}}


@pytest.fixture(scope="module", params=["lab-gguf-mxfp4", "lab-mxfp4-q8"])
def engine(request):
    with serving(request.param) as server:
        yield server


@pytest.mark.parametrize("asked", ["low", "medium", "high"])
def test_both_engines_honour_the_field(engine, asked, tmp_path):
    settings = settings_from(
        model=engine.model,
        base_url=engine.base_url,
        reasoning_effort=asked,
        max_tokens=256,
        limit=4,
        outputs_dir=tmp_path,
    )
    folder = run.run_exam(settings, run.questions_of(settings), progress=False)
    found = read_manifest(folder)["effort"]
    assert (found["asked"], found["told_by"], found["shown"]) == (asked, "field", True)
    assert len(found["trials"]) == 2
    shown = manifest.environment_frame(read_manifest(folder)).set_index("what")["value"]
    assert shown["reasoning_effort"] == asked and shown["effort_shown"]
    assert len(shown["effort_trials"].split("; ")) == 2
    assert "temperature 0.0" in shown["sent"] and "igaku" in shown["packages"]
    assert len(shown["prompt_sha256"]) == 64
    checks = manifest.weights_frame(read_manifest(folder)).set_index("what")
    assert checks.columns.to_list() == ["card", "server", "agrees"]
    assert checks.loc["size", "agrees"] in (True, None)
    assert "None" not in checks.to_numpy()
    text = (folder / EFFORT).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert Counter(row["effort"] for row in rows) == {asked: 2, contrast_of(asked): 2}
    assert all(row["raw"]["choices"] for row in rows)


@pytest.fixture
def sit(tmp_path):
    """A run of a few questions, and what its manifest says of the effort."""

    def sit(server, model="m", **given):
        settings = settings_from(
            **{
                "model": model,
                "exam": "calibration",
                "shots": 0,
                "limit": 4,
                "run": "r",
            }
            | {"base_url": server.base_url, "outputs_dir": tmp_path}
            | given
        )
        folder = run.run_exam(settings, run.questions_of(settings), progress=False)
        return read_manifest(folder)["effort"]

    return sit


@pytest.mark.parametrize("asked", ["low", "medium", "high"])
@pytest.mark.parametrize(
    "model", ["openai/gpt-oss-20b@8bit", "mlx-community/gpt-oss-20b-mxfp4-q8"]
)
def test_lm_studio_drops_the_field_and_is_told_in_the_system_message(sit, model, asked):
    with LMStudio() as server:
        found = sit(server, model, reasoning_effort=asked, concurrency=1)
        assert (found["told_by"], found["shown"]) == ("system", True)
        assert found["default"] == ("low" if "openai" in model else None)
        path, last = server.asked[-1]
        assert path == "/api/v0/chat/completions"
        system = last["messages"][0]
        assert system["role"] == "system"
        assert system["content"].endswith(f"Reasoning: {asked}")


def test_a_server_that_drops_every_word_of_it_is_said_to(sit):
    with StandIn(models=("m",)) as server:
        found = sit(server, reasoning_effort="low")
    assert (found["told_by"], found["shown"]) == ("field", False)
    assert [t["asked_tokens"] == t["contrast_tokens"] for t in found["trials"]] == [
        True
    ]


def test_no_effort_is_tried_where_none_is_asked_for(sit):
    with StandIn(models=("m",)) as server:
        assert sit(server) is None
        assert len(server.asked) == 4


def test_it_is_tried_once_in_the_life_of_a_run(sit):
    with StandIn(models=("m",)) as server:
        sit(server, reasoning_effort="low", limit=4)
        tried = len(server.asked) - 4
        sit(server, reasoning_effort="low", limit=8)
        assert len(server.asked) == tried + 8


def test_a_failed_trial_shows_nothing(sit):
    def behave(asked, number):
        return Answer(status=400, body={"error": "no"}) if number <= 2 else Answer()

    with StandIn(behave, models=("m",)) as server:
        found = sit(server, reasoning_effort="low")
    assert found["trials"][0]["asked_tokens"] is None and not found["shown"]


@pytest.mark.parametrize(
    ("asked", "tokens", "shown"),
    [
        ("low", (40, 160), True),
        ("high", (160, 40), True),
        ("medium", (60, 40), True),
        ("low", (100, 119), False),
        ("low", (100, 120), True),
        ("low", (160, 40), False),
        ("low", (40, None), False),
        ("low", (0, 0), False),
    ],
)
def test_more_effort_must_take_clearly_more_tokens(asked, tokens, shown):
    trial = dict(zip(("asked_tokens", "contrast_tokens"), tokens, strict=True))
    assert is_shown(trial, asked, contrast_of(asked)) is shown


def test_only_lm_studio_is_tried_in_several_ways():
    settings = settings_from(model="m", reasoning_effort="low")
    assert ways(settings, {}) == ("field",)
    assert ways(settings, LM_STUDIO) == WAYS
    odd = settings_from(model="m", reasoning_effort="minimal")
    assert "system" not in ways(odd, LM_STUDIO)
