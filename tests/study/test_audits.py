import json

import pytest
from runs import planned, replied, sit

import igaku
from igaku.study.audits import AUDIT, AUDITS, wrong_runs
from igaku.study.families import open_study
from igaku.words import TEXT, word

MIXED = [True] * 15 + [False] * 5


def found(folder, kind):
    """The alarms of a kind, with what they say in both languages."""
    en, ja = (igaku.audit(open_study(folder, lang=lang)) for lang in ("en", "ja"))
    both = en.rename(columns={"text": "en"}).assign(ja=ja["text"])
    return list(both[both["kind"] == kind].itertuples())


def groups(alarm):
    return [each["runs"] for each in alarm.facts["groups"]]


def test_identical_replies_name_both_runs_and_what_it_means(tmp_path):
    sit(tmp_path, MIXED, "one")
    sit(tmp_path, MIXED, "two")
    sit(tmp_path, [True] * 20, "three")
    (alarm,) = found(tmp_path, "identical_replies")
    assert alarm.runs == ("one", "two") and alarm.grave
    assert "one" in alarm.en and "two" in alarm.en
    assert (
        "all 20 common questions" in alarm.en
        and "of 20 with text, 5 are not right" in alarm.en
    )
    assert "most likely one model was measured twice" in alarm.en
    assert "二度測った" in alarm.ja and alarm.overturns
    told = {"n": 20, "told": 20, "wrong": 5, "finding": "telling"}
    assert alarm.facts == told
    assert wrong_runs(open_study(tmp_path)) == {"two": "one"}


def test_one_other_reply_is_enough_for_silence(tmp_path):
    sit(tmp_path, MIXED, "one")
    rows = [replied(q, r) for q, r in zip(planned(20), MIXED, strict=True)]
    rows[3]["content"] = "答えはa"
    sit(tmp_path, None, "two", planned(20), rows=rows)
    assert not found(tmp_path, "identical_replies")


def test_replies_alike_with_other_reasoning_come_from_two_models(tmp_path):
    for name in ("one", "two"):
        rows = [replied(q, False, reasoning=f"{name}…") for q in planned(20)]
        sit(tmp_path, None, name, planned(20), rows=rows)
    assert not found(tmp_path, "identical_replies")


def test_runs_that_are_both_silent_are_not_called_one_model(tmp_path):
    for name in ("one", "two"):
        rows = [replied(q, False, content="", outcome="empty") for q in planned(20)]
        sit(tmp_path, None, name, planned(20), rows=rows)
    assert not found(tmp_path, "identical_replies")


@pytest.mark.parametrize("wrong", [0, 4])
def test_identical_replies_that_are_nearly_all_right_prove_little(tmp_path, wrong):
    for name in ("one", "two"):
        sit(tmp_path, [i >= wrong for i in range(20)], name)
    (alarm,) = found(tmp_path, "identical_replies")
    assert set(alarm.runs) == {"one", "two"} and not alarm.grave
    assert "different models that know the answers would agree" in alarm.en
    assert not wrong_runs(open_study(tmp_path)) and not alarm.overturns


def test_failures_and_silence_are_no_shared_errors(tmp_path):
    for name in ("one", "two"):
        rows = [replied(q) for q in planned(20)]
        for row in rows[:6]:
            row |= {"content": "", "outcome": "empty", "correct": False}
        if name == "one":
            rows[19] |= {"outcome": "api_error", "correct": None, "content": None}
        sit(tmp_path, None, name, planned(20), rows=rows)
    (alarm,) = found(tmp_path, "identical_replies")
    assert "all 19 common questions" in alarm.en and ", 0 are not right" in alarm.en
    assert not alarm.grave


def test_one_model_at_two_budgets_may_say_the_same(tmp_path):
    for name, budget in (("one", 1024), ("two", 4096)):
        sit(tmp_path, MIXED, name, settings={"slug": "m", "max_tokens": budget})
    (alarm,) = found(tmp_path, "identical_replies")
    assert not alarm.grave and "One model was asked again" in alarm.en


def test_sections_that_were_not_asked_are_not_held_against_published_ones(tmp_path):
    sections = {"A": {"correct": 40}, "B": {"correct": 39}}
    rights = [i % 2 == 0 for i in range(75)] + [None] * 325
    sit(
        tmp_path, rights, "part", planned(), origin="recorded",
        published={"sections": sections},
    )  # fmt: skip
    (alarm,) = found(tmp_path, "published_otherwise")
    assert "A correct 40 → 38" in alarm.en and "B correct" not in alarm.en
    assert "A 正答 40→38" in alarm.ja


def test_published_shares_are_held_against_their_own_sections(tmp_path):
    sections = {
        "A": {"correct": 7, "questions": 75},
        "B": {"correct": 10, "questions": 50},
    }
    told = {"sections": sections, "summary": {"accuracy": "~9%"}}
    sit(tmp_path, MIXED, "q4", published=told)
    sit(
        tmp_path, MIXED[::-1], "fine", published=told | {"summary": {"accuracy": "14%"}}
    )
    (alarm,) = found(tmp_path, "published_shares")
    assert alarm.runs == ("q4",) and "17/125 = 13.6%" in alarm.en


@pytest.mark.parametrize(
    "about",
    [
        {"published": {"sections": [1], "summary": [2]}},
        {"published": {"sections": {"A": 57, "G": {"correct": 1}}}},
        {"clipped": [1], "regraded": ["116A1"], "notes": 3, "origin": "recorded"},
        {"card": {"downloads": "702,005", "size_gb": "12"}},
    ],
)
def test_a_manifest_of_odd_shape_stops_nothing(tmp_path, about):
    sit(tmp_path, MIXED, "odd", **about)
    sit(tmp_path, MIXED[::-1], "even", published={"summary": {"number": 1}})
    study = open_study(tmp_path)
    for name in ("runs", "pairs", "audit", "walls", "published", "cards", "rescues"):
        assert (
            getattr(igaku if name in dir(igaku) else igaku.study, name)(study)
            is not None
        )


def test_a_repeat_that_reproduces_itself_is_no_fraud(tmp_path):
    for name in ("one", "two"):
        sit(tmp_path, MIXED, name, settings={"slug": "m"})
    (alarm,) = found(tmp_path, "identical_replies")
    assert "0 flips" in alarm.en and not alarm.grave


def test_a_shorter_run_is_compared_on_what_both_were_asked(tmp_path):
    sit(tmp_path, [True, False] * 200, "whole")
    sit(tmp_path, [True, False] * 40, "part", planned())
    (alarm,) = found(tmp_path, "identical_replies")
    assert "all 80 common questions" in alarm.en


def test_a_model_that_was_not_asked_for_is_named(tmp_path):
    rows = [replied(q, served_model="openai/gpt-oss-20b") for q in planned(9)]
    wanted = {"model": "mlx-community/gpt-oss-20b-mxfp4-q8"}
    sit(tmp_path, None, "q8", planned(9), rows=rows, settings=wanted)
    (alarm,) = found(tmp_path, "other_model")
    assert alarm.runs == ("q8",)
    assert "mlx-community/gpt-oss-20b-mxfp4-q8" in alarm.en
    assert "openai/gpt-oss-20b (9)" in alarm.en


def checked(what, card, server, agrees):
    return {"what": what, "card": card, "server": server, "agrees": agrees}


def test_weights_that_the_server_calls_others_are_told_once(tmp_path):
    rows = [replied(q, served_model="openai/gpt-oss-20b") for q in planned(9)]
    wrong = {
        "status": "wrong_model",
        "why": "other weights",
        "checks": [
            checked("format", "GGUF", "mlx", False),
            checked("size", 12.11e9, None, None),
        ],
    }
    sit(
        tmp_path, None, "gguf", planned(9), rows=rows, identity=wrong,
        settings={"model": "mlx-community/gpt-oss-20b-mxfp4-q8"},
    )  # fmt: skip
    sit(tmp_path, MIXED, "fine", identity={"status": "verified"})
    (alarm,) = found(tmp_path, "wrong_weights")
    assert alarm.runs == ("gguf",) and alarm.grave
    assert "format GGUF → mlx" in alarm.en and "size" not in alarm.en
    assert not found(tmp_path, "other_model") and not found(tmp_path, "unverified")


def test_weights_that_no_check_names_are_told_by_the_sentence(tmp_path):
    why = "The server changed its mind."
    sit(tmp_path, MIXED, "odd", identity={"status": "wrong_model", "why": why})
    (alarm,) = found(tmp_path, "wrong_weights")
    assert why in alarm.en and why in alarm.ja


def test_runs_that_no_word_of_a_server_confirms_are_one_alarm(tmp_path):
    sit(tmp_path, MIXED, "sure", identity={"status": "verified"})
    sit(tmp_path, MIXED[::-1], "mute", identity={"status": "unverified"})
    sit(tmp_path, [True] * 20, "old")
    sit(tmp_path, [False] * 20, "taken", origin="recorded")
    (alarm,) = found(tmp_path, "unverified")
    assert set(alarm.runs) == {"mute", "old", "taken"} and not alarm.grave
    assert alarm.overturns  # no proof of which weights answered
    here, recorded = alarm.en.split("The record of these answers")
    assert "mute" in here and "old" in here and "taken" not in here
    assert "taken" in recorded and "sure" not in alarm.en


def test_a_variant_that_nothing_on_record_names_stays_named(tmp_path):
    rows = [replied(q, served_model="openai/gpt-oss-20b") for q in planned(9)]
    wanted = {"model": "openai/gpt-oss-20b@8bit"}
    sit(tmp_path, None, "bare", planned(9), rows=rows, settings=wanted)
    listed = {"/api/v1/models": {"models": [{"selected_variant": "x@8bit"}]}}
    sit(
        tmp_path, None, "told", planned(9), rows=rows, settings=wanted,
        server_before=listed,
    )  # fmt: skip
    (alarm,) = found(tmp_path, "unverified")
    assert "bare requested openai/gpt-oss-20b@8bit" in alarm.en
    assert "nothing proves that @8bit answered" in alarm.en
    assert "told requested" not in alarm.en
    assert "@8bitが応答した証拠はありません" in alarm.ja


def test_published_totals_must_be_the_sum_of_their_sections(tmp_path):
    sections = {"A": {"correct": 57}, "B": {"correct": 39}}
    sit(tmp_path, MIXED, "off", published={"correct": 99, "sections": sections})
    sit(tmp_path, MIXED[:-1], "fine", published={"correct": 96, "sections": sections})
    (alarm,) = found(tmp_path, "published_sums")
    assert alarm.runs == ("off",)
    assert "99" in alarm.en and "57+39 = 96" in alarm.en


@pytest.mark.parametrize("name", ["max_tokens", "shots", "serial_context"])
def test_different_settings_in_one_comparison_are_an_alarm(tmp_path, name):
    sit(tmp_path, MIXED, "a", settings={name: 1})
    sit(tmp_path, MIXED, "b", settings={name: 2})
    (alarm,) = found(tmp_path, "other_settings")
    assert set(alarm.runs) == {"a", "b"} and name in alarm.en


def tried(asked, shown, tokens=((40, 160), (50, 170)), **more):
    trials = [
        {
            "problem_id": f"116A{i}",
            "told_by": "field",
            "asked_tokens": few,
            "contrast_tokens": many,
        }
        for i, (few, many) in enumerate(tokens, 1)
    ]
    about = {"asked": asked, "contrast": "high", "told_by": "field", "shown": shown}
    return about | {"trials": trials, "default": None} | more


def test_different_efforts_are_said_to_outweigh_the_effect(tmp_path):
    sit(tmp_path, MIXED, "a", settings={"reasoning_effort": "low"})
    sit(tmp_path, MIXED, "b", settings={"reasoning_effort": "medium"})
    (alarm,) = found(tmp_path, "other_effort")
    assert groups(alarm) == [["a"], ["b"]] and alarm.grave
    assert "cannot be told apart" in alarm.en
    assert not found(tmp_path, "other_settings")


def test_a_servers_own_effort_is_an_effort_like_any_other(tmp_path):
    own = tried(None, False, (), default="low")
    sit(tmp_path, MIXED, "hub", effort=own)
    sit(tmp_path, [True] * 20, "pinned", effort=tried("low", True))
    assert not found(tmp_path, "other_effort")
    sit(tmp_path, [False] * 20, "more", effort=tried("medium", True))
    (alarm,) = found(tmp_path, "other_effort")
    assert set(map(frozenset, groups(alarm))) == {
        frozenset({"hub", "pinned"}),
        frozenset({"more"}),
    }
    assert "the server's own" in alarm.en and "effect shown" in alarm.en


def test_a_default_that_the_listing_names_is_known_without_a_trial(tmp_path):
    said = {"status": "verified", "fingerprint": {"effort": "low"}}
    sit(tmp_path, MIXED, "hub", identity=said)
    sit(tmp_path, [True] * 20, "derived")
    (alarm,) = found(tmp_path, "other_effort")
    assert "low [the server's own]: hub" in alarm.en
    assert "– [not on record]: derived" in alarm.en
    (note,) = found(tmp_path, "unknown_effort")
    assert note.runs == ("derived",)


def test_recorded_runs_are_not_said_to_differ_in_what_they_do_not_tell(tmp_path):
    sit(tmp_path, MIXED, "a", settings={"reasoning_effort": "low"})
    sit(tmp_path, [True] * 20, "b", origin="recorded")
    assert not found(tmp_path, "other_effort")


def test_an_effort_without_an_effect_is_an_alarm_with_its_numbers(tmp_path):
    sit(tmp_path, MIXED, "deaf", effort=tried("low", False, ((40, 41), (50, 49))))
    sit(tmp_path, [True] * 20, "hears", effort=tried("low", True))
    (alarm,) = found(tmp_path, "effort_unshown")
    assert alarm.runs == ("deaf",) and alarm.grave
    assert "116A1 [field] low 40 / high 41" in alarm.en


def test_an_effort_told_in_other_words_is_noted(tmp_path):
    by_line = tried("low", True) | {"told_by": "system"}
    sit(tmp_path, MIXED, "hub", effort=tried("low", True) | {"told_by": "field"})
    sit(tmp_path, [True] * 20, "derived", effort=by_line)
    (alarm,) = found(tmp_path, "told_otherwise")
    assert groups(alarm) == [["derived"], ["hub"]]
    assert "a line of the system message: derived" in alarm.en and not alarm.grave
    sit(tmp_path / "alike", MIXED, "one", effort=by_line)
    sit(tmp_path / "alike", [True] * 20, "two", effort=by_line)
    assert not found(tmp_path / "alike", "told_otherwise")


def test_a_run_that_a_sweep_could_not_begin_is_told(tmp_path):
    sit(tmp_path, MIXED, "a")
    job = {"state": "failed", "why": "It is not downloaded.", "kind": "not_loaded"}
    for name, about in (("gone", job), ("busy", job | {"state": "running"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(json.dumps(about))
    (tmp_path / "a/job.json").write_text(json.dumps(job))  # it has answers
    (alarm,) = found(tmp_path, "not_measured")
    assert alarm.runs == ("gone",) and "It is not downloaded." in alarm.en


def test_a_sweep_that_measured_nothing_says_why(tmp_path):
    (tmp_path / "gone").mkdir()
    job = {"state": "failed", "why": "It is not downloaded."}
    (tmp_path / "gone/job.json").write_text(json.dumps(job))
    (row,) = igaku.audit(tmp_path).itertuples()
    assert row.kind == "not_measured" and "It is not downloaded." in row.text


def test_other_exams_are_other_comparisons(tmp_path):
    sit(tmp_path, MIXED, "a")
    sit(
        tmp_path, MIXED, "b", planned(20, 112), settings={"exam": 2018, "max_tokens": 9}
    )
    assert not found(tmp_path, "other_settings")


def test_two_folders_that_claim_one_name_are_told(tmp_path):
    for name in ("a", "b"):
        sit(tmp_path, MIXED, name, run="a")
    (alarm,) = found(tmp_path, "one_name_twice")
    assert alarm.runs == ("a", "b")


def test_unreadable_lines_and_missing_manifests_are_alarms_and_the_rest_is_read(
    tmp_path,
):
    sit(tmp_path, MIXED, "torn")
    with (tmp_path / "torn/answers.jsonl").open("a") as file:
        file.write('{"problem_id": "116A1", "outcome"')
    sit(tmp_path, MIXED, "bare")
    (tmp_path / "bare/manifest.json").unlink()
    texts = [alarm.en for alarm in found(tmp_path, "unread")]
    assert any("torn/answers.jsonl, line 21" in text for text in texts)
    assert any("bare/manifest.json is missing" in text for text in texts)
    assert len(open_study(tmp_path).runs) == 2


def test_an_alarm_names_the_runs_that_it_taints_and_no_others(tmp_path):
    sit(tmp_path, MIXED, "one")
    sit(tmp_path, MIXED, "two")
    sit(tmp_path, [False] * 20, "three")
    grave = igaku.audit(tmp_path).query("grave")
    assert grave["kind"].tolist() == ["identical_replies"]
    assert grave["runs"].tolist() == [("one", "two")]
    tainted = igaku.pairs(tmp_path).set_index(["reference", "candidate"])["tainted"]
    assert not tainted["one", "three"] and tainted.sum() == 2


def test_where_a_difference_taints_the_groups_are_told(tmp_path):
    for name, budget in (("a", 1), ("b", 1), ("c", 2)):
        sit(tmp_path, MIXED, name, settings={"max_tokens": budget})
    (alarm,) = found(tmp_path, "other_settings")
    assert groups(alarm) == [["a", "b"], ["c"]]
    assert [each["value"] for each in alarm.facts["groups"]] == ["1", "2"]


def test_an_effort_that_is_not_on_record_is_noted(tmp_path):
    sit(tmp_path, MIXED, "a")
    sit(tmp_path, [True] * 20, "b", settings={"reasoning_effort": "low"})
    (alarm,) = found(tmp_path, "unknown_effort")
    assert alarm.runs == ("a",) and not alarm.grave


# --- the frame ------------------------------------------------------------------------


def test_what_overturns_the_study_comes_first_then_the_grave(tmp_path):
    sums = {"correct": 9, "sections": {"A": {"correct": 7}}}
    sit(tmp_path, MIXED, "one", published=sums)
    sit(tmp_path, MIXED, "two")
    told = igaku.audit(tmp_path)
    assert tuple(told.columns) == AUDIT
    kinds = ["identical_replies", "unverified", "unknown_effort", "published_sums"]
    assert told["kind"].tolist() == kinds
    assert told["overturns"].tolist() == [True, True, True, False]
    assert told["grave"].tolist() == [True, False, False, True]


def test_sentences_are_in_the_language_of_the_study_and_name_six_runs_at_most(tmp_path):
    for number in range(8):
        sit(tmp_path, MIXED[number:] + MIXED[:number], f"run{number}")
    en, ja = (igaku.audit(open_study(tmp_path, lang=lang)) for lang in ("en", "ja"))
    text = {f["kind"].iloc[0]: f["text"].iloc[0] for f in (en, ja)}
    assert en["kind"].tolist() == ja["kind"].tolist() and len(text) == 1
    told = en.set_index("kind").loc["unknown_effort"]
    assert "run5 and 2 more" in told["text"] and len(told["runs"]) == 8
    assert "run5 ほか2件" in ja.set_index("kind").loc["unknown_effort", "text"]


def test_every_kind_of_alarm_has_its_sentence_in_both_languages():
    kinds = {f"audit_{audit.__name__}" for audit in AUDITS} | {"audit_list"}
    for lang in ("en", "ja"):
        text = (TEXT / f"audits.{lang}.yaml").read_text("utf-8")
        blocks = {line.split(":")[0] for line in text.splitlines() if line[:1] == "a"}
        assert blocks == kinds
        names = [audit.__name__ for audit in AUDITS]
        assert all(word("kind", name, lang) != name for name in names)


@pytest.fixture(scope="module")
def recorded(recorded_folder):
    return open_study(recorded_folder)


def test_what_overturns_the_recorded_study_is_named(recorded):
    told = igaku.audit(recorded).query("overturns").set_index("kind")
    assert list(told.index) == [
        *("identical_replies", "other_model", "other_settings"),
        *("unverified", "unknown_effort"),
    ]
    same = told.loc["identical_replies"]
    assert same["runs"] == ("openai-mxfp4-gguf", "mlx-community-mxfp4-q8")
    assert same["facts"] == {"n": 400, "told": 400, "wrong": 116, "finding": "telling"}
    budgets = told.loc["other_settings", "facts"]
    assert budgets["setting"] == "max_tokens"
    assert [each["value"] for each in budgets["groups"]] == ["1024", "4096"]
    assert "nothing proves that @8bit answered" in told.loc["unverified", "text"]
    counted = igaku.runs(recorded).set_index("run")
    assert not counted.loc["mlx-community-mxfp4-q8", "counted"]
    assert counted.loc["mlx-community-mxfp4-q8", "same_as"] == "openai-mxfp4-gguf"


def test_the_figures_published_of_the_recorded_runs_are_held_against_them(recorded):
    told = igaku.audit(recorded).query("kind == 'published_sums'")
    assert [each["total"] for each in told["facts"]] == [286, 284]
    assert all(sum(each["parts"]) == 283 for each in told["facts"])
