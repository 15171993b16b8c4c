import json

import pandas as pd
import pytest

import igaku
from igaku.exam.questions import Question
from igaku.params.settings import settings_from
from igaku.study import scoring
from igaku.study.runs import load_run
from igaku.study.runs import status as status_of

SIZES = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
RECORDED = {
    "gguf": 286,
    "openai-mxfp4-gguf": 284,
    "mlx-q4": 17,
    "inferenceill": 7,
    "safeguard": 27,
}


def planned(sizes=SIZES, exam=116):
    return [
        {"problem_id": f"{exam}{s}{i}", "section": s, "gold": ["a"]}
        for s, n in sizes.items()
        for i in range(1, n + 1)
    ]


def line(question, outcome="answered", correct=True, content="a", **changes):
    kept = {"problem_id": question["problem_id"], "section": question["section"]}
    return kept | {
        "outcome": outcome,
        "correct": correct,
        "content": content,
        "asked_at": "2026-02-07T10:00:00Z",
        **changes,
    }


@pytest.fixture
def make(tmp_path):
    def _make(lines, questions=None, **about):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in lines)
        (folder / "answers.jsonl").write_text(text)
        settings = {"model": "m", "exam": 2022, "max_tokens": 100}
        whole = {"settings": settings, "questions": questions or planned()} | about
        (folder / "manifest.json").write_text(json.dumps(whole))
        return load_run(folder)

    return _make


def recorded(shared, make, stem):
    questions, lines = [], []
    for section in SIZES:
        for row in (shared / f"data/igakuqa/2022/116-{section}.jsonl").open():
            question = Question.from_record(json.loads(row))
            kept = {"problem_id": question.problem_id, "section": question.section}
            questions.append(kept | {"gold": list(question.answer)})
        path = shared / f"data/recorded/gpt-oss-20b-{stem}_2022_{section}.json"
        if path.is_file():
            lines += _recorded_lines(
                json.loads(path.read_text())["details"]["baseline"]
            )
    return make(lines, questions)


def _recorded_lines(rows):
    for row in rows:
        text = row.get("response") or ""
        outcome = "answered" if text.strip() else "empty"
        outcome = "api_error" if row.get("error") else outcome
        yield {
            "problem_id": row["problem_id"],
            "section": row["problem_id"][3],
            "outcome": outcome,
            "correct": row["correct"],
            "content": text,
        }


@pytest.mark.parametrize(("stem", "right"), RECORDED.items())
def test_the_recorded_runs_give_the_seeds_totals(shared, make, stem, right):
    run = recorded(shared, make, stem)
    assert scoring.section_counts(run)["right"].sum() == right


@pytest.mark.parametrize(
    ("stem", "blank", "errors", "status"),
    [
        ("gguf", 0, 0, "OK"),
        ("mlx-q4", 87, 5, "BROKEN"),
        ("inferenceill", 58, 0, "BROKEN"),
        ("safeguard", 39, 6, "BROKEN"),
    ],
)
def test_blank_replies_and_api_errors_are_counted_apart(
    shared, make, stem, blank, errors, status
):
    run = recorded(shared, make, stem)
    total = scoring.section_counts(run).sum()
    assert (total["blank"], total["api_error"]) == (blank, errors)
    assert status_of(run).name == status


def test_the_sections_are_those_that_the_seed_prints(shared, make, tmp_path):
    recorded(shared, make, "openai-mxfp4-gguf")
    table = igaku.study.sections(tmp_path)
    assert table["section"].tolist() == list("ABCDEF")
    assert table["planned"].tolist() == table["asked"].tolist() == [*SIZES.values()]
    assert table["right"].tolist() == [57, 37, 49, 58, 37, 46]
    assert [f"{share:.1%}" for share in table["accuracy"]] == [
        "76.0%", "74.0%", "65.3%", "77.3%", "74.0%", "61.3%",
    ]  # fmt: skip
    assert set(table["blank"]) == set(table["api_error"]) == {0}


def test_sections_not_run_have_no_share_and_are_never_zero(make, tmp_path):
    make([line(q, correct=False) for q in planned()[:80]])
    table = igaku.study.sections(tmp_path).set_index("section")
    assert table["planned"].tolist() == [*SIZES.values()]
    assert table["asked"].tolist() == [75, 5, 0, 0, 0, 0]
    assert table.loc["B", ["right", "accuracy", "low"]].tolist() == [0, 0.0, 0.0]
    shares = ["accuracy", "low", "high"]
    assert table.loc["C":, shares].isna().all(axis=None)


def test_a_run_of_some_sections_has_no_share_of_the_others(make, tmp_path):
    questions = planned({"A": 3})
    make([line(q) for q in questions], questions)
    table = igaku.study.sections(tmp_path).set_index("section")
    assert table.loc["A", ["planned", "asked", "right"]].tolist() == [3, 3, 3]
    assert table.loc["A", ["accuracy", "high"]].tolist() == [1.0, 1.0]
    assert table.loc["B":, ["planned", "asked"]].eq(0).all(axis=None)
    assert table.loc["B":, "accuracy"].isna().all()


def test_what_no_manifest_plans_is_unknown(make, tmp_path):
    make([line(q) for q in planned()[:80]])
    (tmp_path / "run" / "manifest.json").unlink()
    table = igaku.study.sections(tmp_path)
    assert table["planned"].isna().all() and table["asked"].sum() == 80


def test_pass_and_fail_are_for_the_whole_exam_only(make):
    whole = planned()
    lines = [line(q, correct=i < 300) for i, q in enumerate(whole)]
    assert scoring.verdict(make(lines)) == "PASS"
    lines[299]["correct"] = False
    run = make(lines)
    assert scoring.verdict(run) == "FAIL"
    assert scoring.points_short(run) == 1
    assert scoring.verdict(make(lines[:399])) is None
    assert scoring.verdict(make(lines, origin="lab")) is None
    assert scoring.verdict(make(lines, status="BROKEN", cause="budget")) is None
    assert scoring.verdict(make([line(q) for q in whole[:40]], whole[:40])) is None


def test_the_calibration_exam_has_no_verdict(make):
    settings = {"model": "m", "exam": "calibration"}
    run = make(
        [line(q) for q in planned(exam=900)], planned(exam=900), settings=settings
    )
    assert run.is_complete
    assert scoring.verdict(run) is None


def test_status_follows_the_replies(make):
    questions = planned()
    assert status_of(make([])).name == "INCOMPLETE"
    assert status_of(make([line(q) for q in questions[:10]])).name == "INCOMPLETE"
    assert status_of(make([line(q) for q in questions])).name == "OK"
    cut = [line(q, "truncated", False, "") for q in questions[:12]]
    failed = [line(q, "api_error", None, None) for q in questions[12:15]]
    assert str(status_of(make(cut + failed))) == "BROKEN (budget)"


def test_a_manifest_that_says_ok_does_not_hide_a_broken_run(make):
    lines = [line(q, "empty", False, " \n") for q in planned()]
    assert str(status_of(make(lines, status="OK"))) == "BROKEN (output)"


def test_a_failed_request_is_no_wrong_answer_to_the_tables(make):
    lines = [line(q, "api_error", None, None) for q in planned()[:1]]
    counts = scoring.section_counts(make(lines)).loc["A"]
    assert counts[["asked", "right", "blank", "api_error"]].tolist() == [1, 0, 0, 1]


def test_runs_has_a_row_per_run(make, tmp_path):
    questions = planned()
    lines = [line(q, seconds=2.0, completion_tokens=7) for q in questions[:398]]
    lines += [line(q, "truncated", False, "") for q in questions[398:]]
    make(lines, card={"format": "GGUF", "size_gb": 12.11, "label_en": "Emm"})
    (row,) = igaku.runs(tmp_path).to_dict("records")
    told = {
        "run": "run", "label": "Emm", "status": "OK", "role": "finished",
        "origin": "measured", "exam": "2022", "planned": 400, "asked": 400,
        "right": 398, "accuracy": 0.995, "blank": 2, "lost": 2, "api_error": 0,
        "verdict": "PASS", "short": 0, "identity": "unverified", "counted": True,
        "format": "GGUF", "size_gb": 12.11, "max_tokens": 100, "seconds": 2.0,
        "completion_tokens": 7.0,
    }  # fmt: skip
    assert {name: row[name] for name in told} == told
    assert str(row["started"]) == "2026-02-07 10:00:00+00:00"


def test_runs_tells_the_downloads_that_a_shipped_card_holds(make, tmp_path):
    card = settings_from(model="openai-mxfp4-gguf").card
    make([line(planned()[0])], card=card)
    (row,) = igaku.runs(tmp_path).to_dict("records")
    assert row["hf_downloads"] == card["downloads"] == 157984
    assert row["size_gb"] == card["size_gb"]


def test_a_folder_without_runs_gives_empty_frames(tmp_path):
    frames = [igaku.runs, igaku.study.sections, igaku.study.strata]
    frames += [igaku.study.official, igaku.study.published, igaku.study.cards]
    assert all(frame(tmp_path).empty for frame in frames)
    assert "accuracy" in igaku.runs(tmp_path) and "low" in igaku.study.strata(tmp_path)


# --- what others printed --------------------------------------------------------------

PUBLISHED = {
    "condition": "max_tokens=100",
    "correct": 4,
    "sections": {
        "A": {"correct": 3, "accuracy": 66.7, "blank": "1+"},
        "B": {"correct": 1},
    },
}


def test_published_figures_stand_beside_those_counted(make, tmp_path):
    questions = planned({"A": 3, "B": 2})
    lines = [line(q) for q in questions[:2]]
    lines += [line(questions[2], "empty", False, "")]
    make(lines, questions, published=PUBLISHED)
    table = igaku.study.published(tmp_path).set_index(["section", "measure"])
    assert table.loc[("A", "correct"), ["published", "counted"]].tolist() == [3, 2]
    assert not table.loc[("A", "correct"), "agrees"]
    assert table.loc[("A", "accuracy"), "counted"] == pytest.approx(200 / 3)
    assert table.loc[("A", "accuracy"), "agrees"]
    assert table.loc[("A", "blank"), "published"] == "1+"
    assert table.loc[("A", "blank"), "agrees"]
    # Nothing of B was asked, and not all of the exam.
    assert table.loc[("B", "correct"), ["counted", "agrees"]].isna().all()
    assert table.loc[("total", "correct"), "agrees"] is pd.NA


def test_figures_of_another_budget_are_not_held_against_a_run(make, tmp_path):
    questions = planned({"A": 3})
    told = PUBLISHED | {"condition": "Baseline + max_tokens=1024"}
    make([line(q) for q in questions], questions, published=told)
    assert igaku.study.published(tmp_path)["agrees"].isna().all()


def test_cards_stand_side_by_side(make, tmp_path):
    make([line(planned()[0])], card={"size_gb": 22.26, "vision": False})
    table = igaku.study.cards(tmp_path)
    assert table["run"].to_dict() == {"Size": "22.26 GB", "Vision": "No"}


def test_a_run_shows_itself_in_a_line(make):
    lines = [line(q, correct=i < 300) for i, q in enumerate(planned())]
    assert repr(make(lines)) == "Run run: 300/400, OK"
