"""Of which kind a silent reply is: constructed texts, recorded runs, the lab's own."""

import dataclasses
import doctest

import pandas as pd
import pytest
from replies import answer, blank, cut, failed

from igaku.ask import run
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.params.settings import settings_from
from igaku.reading import answer as answers
from igaku.reading import harmony
from igaku.reading.answer import silent_kind
from igaku.reading.harmony import torn_header
from igaku.study import silent as frames
from igaku.study.families import study_of
from igaku.study.silent import silences
from igaku.words import printed

CIRCLES = "c is right. Wait, a is right. " * 12
ORDERLY = "胸部X線で浸潤影があり、発熱と咳嗽を伴うので肺炎を疑う。起炎菌は"
HEAD = "<|channel|>analysis<|message|>"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize("module", [harmony, answers, frames])
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


KINDS = {
    "progressing": [
        (ORDERLY, "", True),
        ("", ORDERLY, True),
        (HEAD + ORDERLY, "", True),
    ],
    "looping": [("", CIRCLES, True), (HEAD + CIRCLES, "", True), (CIRCLES, "", False)],
    "header": [
        ("<|channel|>analysis3b", "", False),
        (f"{HEAD}b?<|end|><|start|><|message|>d", "", False),
        (f"{HEAD}b?<|end|><|start|>assistant", "", False),
        (f"<|channel|>ana<|message|>{ORDERLY}", "", True),
    ],
    "unanswered": [(HEAD + ORDERLY, "", False), ("", ORDERLY, False), ("?", "", False)],
}


@pytest.mark.parametrize(
    ("kind", "told"), [(kind, told) for kind, each in KINDS.items() for told in each]
)
def test_each_kind_is_known_by_its_text_and_its_end(kind, told):
    assert silent_kind(*told) == kind


@pytest.mark.parametrize("text", [
    f"{HEAD}b?{FINAL}d<|return|>", f"{HEAD}{ORDERLY}",
    f"<|start|>assistant{HEAD}b?{FINAL}d", "no mark at all", "",
    "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
    "<|start|>assistant to=functions.f<|channel|>commentary<|message|>{}<|call|>",
])  # fmt: skip
def test_a_whole_header_is_not_torn(text):
    assert torn_header(text) is None


def test_a_reply_cut_within_a_header_has_torn_none():
    whole = f"{HEAD}b?{FINAL}"
    places = range(len(HEAD), len(whole))
    assert not any(torn_header(whole[:end], is_cut=True) for end in places)


def test_silences_are_one_row_per_reply_without_an_answer(run_of):
    rows = [
        answer(1), cut(2, reasoning=CIRCLES), cut(3, reasoning=ORDERLY), failed(4),
        blank(5, reasoning=ORDERLY), blank(6), answer(7, outcome="unparsable"),
    ]  # fmt: skip
    found = silences(study_of([run_of(rows)])).set_index("problem_id")
    assert found["silence"].to_dict() == {
        "900A2": "looping", "900A3": "progressing", "900A5": "unanswered",
        "900A6": "unrecorded", "900A7": "unanswered",
    }  # fmt: skip
    assert found["ending"].fillna("").tolist() == ["cut"] * 2 + ["itself", "", "itself"]
    looped = found.loc["900A2"]
    assert looped["characters"] == len(CIRCLES)
    assert looped["repeated_share"] == pytest.approx(11 / 12)
    assert looped["text"] == CIRCLES
    assert found.loc["900A6", "characters":"text"].isna().all()


def test_the_marks_that_a_row_has_lost_are_read_in_the_servers_body(run_of):
    message = {"role": "assistant", "content": f"{HEAD}b?<|end|><|start|><|message|>d"}
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    row = blank(1, outcome="unparsable", reasoning="b?", content="d43", raw=body)
    (found,) = silences(study_of([run_of([row])])).itertuples()
    assert (found.silence, found.text) == ("header", message["content"])


def test_a_text_that_may_be_clipped_is_never_judged(run_of):
    clipped = {"clipped": {"response": 0, "reasoning": 1}}
    rows = [blank(1, reasoning=(CIRCLES * 2)[:500]), blank(2, reasoning=CIRCLES)]
    told = silences(study_of([run_of(rows, "clipped", about=clipped)]))
    assert told["silence"].tolist() == ["clipped", "looping"]  # shorter: whole
    assert told.loc[0, "ending":"text"].isna().all()
    whole = {"clipped": {"response": 0, "reasoning": 0}}
    told = silences(study_of([run_of(rows, "whole", about=whole)]))
    assert told["silence"].tolist() == ["looping", "looping"]


def test_no_recorded_blank_reply_is_judged(recorded_folder):
    found = silences(recorded_folder)
    blanks = found[found["outcome"] == "empty"]
    counts = pd.crosstab(blanks["run"], blanks["silence"]).stack()
    assert counts[counts > 0].to_dict() == {
        ("inferenceillusionist-4bit", "unrecorded"): 58,
        ("mlx-community-mxfp4-q4", "unrecorded"): 87,
        ("safeguard-mxfp4", "unrecorded"): 39,
        ("safeguard-mxfp4-mt4096", "clipped"): 30,
    }
    assert blanks["text"].isna().all()


def test_no_silent_reply_is_an_empty_frame_of_the_same_columns(run_of):
    found = silences(study_of([run_of([answer(1)])]))
    assert found.empty and list(found) == list(frames.SILENCES)
    assert pd.crosstab(found["run"], found["silence"]).empty


def test_what_a_model_wrote_is_shown_and_never_obeyed(run_of):
    row = cut(1, reasoning="<script>alert(1)</script>" + ORDERLY)
    page = printed(silences(study_of([run_of([row])]))).to_html()
    assert "&lt;script&gt;" in page and "<script>alert" not in page


@pytest.mark.parametrize("slug", ["lab-gguf-mxfp4", "lab-mxfp4-q4"])
def test_effort_leaves_the_lab_silent_in_orderly_thought(slug, tmp_path):
    if reason := missing_engine(slug):
        pytest.skip(f"{slug} cannot be served here: {reason}")
    with serving(slug) as server:
        settings = settings_from(
            model=slug, limit=6, outputs_dir=str(tmp_path), run=slug, max_tokens=48,
            reasoning_effort="high",
        )  # fmt: skip
        settings = dataclasses.replace(settings, base_url=server.base_url)
        run.run_exam(settings, run.questions_of(settings), progress=False)
    found = silences(tmp_path)
    assert len(found) >= 4
    assert set(found["silence"]) == {"progressing"} and set(found["ending"]) == {"cut"}
    assert (found["completion_tokens"] == 48).all()
    assert (found["repeated_share"] < 0.5).all()
