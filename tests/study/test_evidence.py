"""Contaminations that a hostile reviewer plants: each one is named, by run."""

import pytest
from runs import planned, replied, sit

import igaku
from igaku.study.audits import wrong_runs
from igaku.study.families import open_study, study_of

QUESTIONS = 60
SESSION = {
    "start": "2026-02-07T10:00:00Z",
    "end": "2026-02-07T10:30:00Z",
    "base_url": "http://127.0.0.1:1234/v1",
    "concurrency": 1,
}


def questions():
    return [
        q | {"prompt_sha256": f"p{i}", "accepted": [q["gold"]]}
        for i, q in enumerate(planned(QUESTIONS))
    ]


def row(name, i, question, day, is_right):
    """A reply as a measured run has it: with thought, tokens and times of its own."""
    return replied(question, is_right) | {
        "reasoning": f"{name} weighs the findings of case {i} at length and decides.",
        "prompt_tokens": 800 + i,
        "completion_tokens": 40 + (7 * i + len(name)) % 50,
        "seconds": 1 + i / 100 + len(name) / 1000,
        "prompt_sha256": f"p{i}",
        "asked_at": f"2026-02-{day:02}T10:{i // 4:02}:{15 * (i % 4):02}Z",
    }


def run_of(name, day, seed):
    rows = [
        row(name, i, q, day, (i * 7 + seed) % 4 > 0) for i, q in enumerate(questions())
    ]
    session = {
        key: value.replace("-07T", f"-{day:02}T") if key in ("start", "end") else value
        for key, value in SESSION.items()
    }
    return {
        "rows": rows,
        "questions": questions(),
        "settings": {"slug": name, "shots": 2, "prompt": "baseline", "concurrency": 1},
        "sessions": [session],
        "exam": {"name": 2022, "files": {"116-A.jsonl": "e" * 64}},
        "packages": {"igaku": "1.0"},
        "git_commit": "a" * 40,
        "identity": {
            "status": "verified",
            "fingerprint": {"name": name, "size_bytes": 10**10 + seed},
        },
    }


@pytest.fixture
def runs():
    """Three measured runs, all clean."""
    return {
        name: run_of(name, 7 + k, k) for k, name in enumerate(("a8", "bb4", "ccc2"))
    }


@pytest.fixture
def study(tmp_path, runs, sitting):
    """What the study of the runs is, once they are as a test wants them."""

    def opened():
        for name, about in runs.items():
            sitting(tmp_path, name, about)
        return open_study(tmp_path)

    return opened


@pytest.fixture
def sitting():
    from runs import sit

    def put(folder, name, about):
        about = dict(about)
        sit(
            folder, None, name, about.pop("questions"), rows=about.pop("rows"),
            settings=about.pop("settings"), **about,
        )  # fmt: skip

    return put


def alarms(study):
    told = igaku.audit(study).set_index("kind")
    return {kind: list(told.loc[[kind], "runs"]) for kind in told.index.unique()}


def test_a_clean_study_raises_no_grave_alarm_but_what_is_not_on_record(study):
    opened = study()
    told = igaku.audit(opened)
    assert set(told["kind"]) <= {"unknown_effort"}
    assert not wrong_runs(opened)


def spoil_wording(runs):
    names = {each["problem_id"] for each in runs["bb4"]["rows"][:30]}
    for each in (*runs["bb4"]["rows"], *runs["bb4"]["questions"]):
        if each["problem_id"] in names and "prompt_sha256" in each:
            each["prompt_sha256"] += "'"


def spoil_exam(runs):
    runs["bb4"]["exam"]["files"]["116-A.jsonl"] = "f" * 64


def spoil_gold(runs):
    for i in range(20):
        question, each = runs["bb4"]["questions"][i], runs["bb4"]["rows"][i]
        question |= {"gold": ["c"], "accepted": [["c"]]}
        each |= {"answer": ["c"], "content": "c", "correct": True}


def spoil_grades(runs):
    for each in runs["bb4"]["rows"][:40]:
        each["correct"] = True


def spoil_answers(runs):
    rows = runs["bb4"]["rows"]
    letters = [each["answer"] for each in rows]
    for each, letter in zip(rows, letters[1:] + letters[:1], strict=True):
        each["answer"] = letter


def spoil_answers_and_grades(runs):
    spoil_answers(runs)
    for each in runs["bb4"]["rows"]:
        each["correct"] = each["answer"] == ["a"]


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (spoil_wording, "other_wording"),
        (spoil_exam, "other_exam"),
        (spoil_gold, "other_gold"),
        (spoil_grades, "wrong_grades"),
        (spoil_answers, "wrong_grades"),
        (spoil_answers_and_grades, "wrong_grades"),
    ],
)
def test_what_is_not_the_others_leaves_every_count(study, runs, spoil, kind):
    spoil(runs)
    opened = study()
    assert alarms(opened)[kind] == [("bb4",)]
    assert list(wrong_runs(opened)) == ["bb4"]
    pairs = igaku.pairs(opened)
    with_it = (pairs["reference"] == "bb4") | (pairs["candidate"] == "bb4")
    assert pairs["tainted"].equals(with_it.rename("tainted"))
    assert pairs.loc[with_it, "adjusted"].isna().all()


@pytest.mark.parametrize("kept", [10, 30])
def test_a_copy_with_a_few_other_replies_is_still_a_copy(study, runs, kept):
    """One changed reply of many must not silence the alarm, nor half of them."""
    copied = [dict(each) for each in runs["a8"]["rows"]]
    for i in range(kept):
        copied[i] = runs["bb4"]["rows"][i]
    for i, each in enumerate(copied):
        each["asked_at"] = runs["bb4"]["rows"][i]["asked_at"]
    runs["bb4"]["rows"] = copied
    opened = study()
    assert alarms(opened)["shared_replies"] == [("a8", "bb4")]
    assert wrong_runs(opened) == {"bb4": "a8"}
    assert "holds" in " ".join(igaku.audit(opened)["text"])


def test_times_to_the_digit_tell_a_copy_with_other_words(study, runs):
    for own, other in zip(runs["ccc2"]["rows"], runs["a8"]["rows"], strict=True):
        own |= {k: other[k] for k in ("asked_at", "seconds", "completion_tokens")}
    runs["ccc2"]["sessions"] = runs["a8"]["sessions"]
    assert ("a8", "ccc2") in alarms(study())["shared_replies"]


def test_short_letters_alike_prove_nothing(study, runs):
    for about in runs.values():
        for each in about["rows"]:
            each |= {
                "reasoning": None,
                "content": "a",
                "answer": ["a"],
                "correct": True,
            }
    assert "shared_replies" not in alarms(study())


def test_the_same_weights_under_two_names_are_one_measurement(study, runs):
    for name in ("a8", "bb4"):
        said = runs[name]["identity"]
        runs[name]["identity"] = said | {"fingerprint": {"name": "x", "size_bytes": 5}}
    opened = study()
    assert alarms(opened)["same_weights"] == [("a8", "bb4")]
    assert wrong_runs(opened) == {"bb4": "a8"}


def test_a_section_from_another_day_is_outside_the_sessions(study, runs):
    one, two = runs["a8"]["rows"], runs["bb4"]["rows"]
    one[:20], two[:20] = two[:20], one[:20]
    told = alarms(study())
    assert told["outside_sessions"] == [("a8",), ("bb4",)]


def test_two_runs_at_once_on_one_server(study, runs):
    runs["bb4"]["sessions"] = runs["a8"]["sessions"]
    for own, other in zip(runs["bb4"]["rows"], runs["a8"]["rows"], strict=True):
        own["asked_at"] = other["asked_at"]
    assert alarms(study())["side_by_side"] == [("a8", "bb4")]


def test_replies_longer_than_the_budget(study, runs):
    for each in runs["bb4"]["rows"][:30]:
        each["completion_tokens"] = 3000
    assert alarms(study())["over_budget"] == [("bb4",)]


def test_replies_of_one_id_and_prompts_that_were_kept_in_a_cache(study, runs):
    for number, each in enumerate(runs["bb4"]["rows"]):
        each |= {"reply_id": f"chatcmpl-{number // 2}", "cached_tokens": 512}
    for number, each in enumerate(runs["a8"]["rows"]):
        each |= {"reply_id": f"chatcmpl-{number}", "cached_tokens": 0}
    told = igaku.audit(study())
    assert list(told.loc[told["kind"] == "repeated_ids", "runs"]) == [("bb4",)]
    found = told[told["kind"] == "other_serving"].iloc[0]
    assert found["facts"]["setting"] == "cached_tokens" and not found["grave"]


def shift(rows, fields):
    """One doubled response: from the 20th on, each question has the reply before it."""
    told = [{name: each[name] for name in fields} for each in rows]
    for each, earlier in zip(rows[20:30], told[19:29], strict=True):
        each |= earlier


def test_a_doubled_response_is_an_alarm_that_names_its_questions(study, runs):
    rows = runs["bb4"]["rows"]
    for number, each in enumerate(rows):
        each["reply_id"] = f"chatcmpl-{number}"
    names = ("reply_id", "content", "reasoning", "prompt_tokens", "completion_tokens")
    shift(rows, names)
    told = igaku.audit(study()).set_index("kind").loc["repeated_ids"]
    assert told["grave"] and told["runs"] == ("bb4",)
    assert told["facts"]["questions"] == [each["problem_id"] for each in rows[19:21]]
    assert rows[20]["problem_id"] in told["text"]


def test_a_folder_that_has_ids_in_the_bodies_alone_is_looked_through(study, runs):
    rows = runs["bb4"]["rows"]
    for number, each in enumerate(rows):
        each["raw"] = {"id": f"chatcmpl-{number}"}
    shift(rows, ("raw", "content", "reasoning", "prompt_tokens", "completion_tokens"))
    told = igaku.audit(study()).set_index("kind").loc["repeated_ids"]
    assert told["grave"] and len(told["facts"]["questions"]) == 2


@pytest.mark.parametrize("ids", [1, 2, 40])
def test_ids_that_a_server_draws_from_few_are_a_note(study, runs, ids):
    for number, each in enumerate(runs["bb4"]["rows"]):
        each["reply_id"] = f"chatcmpl-{number % ids}"
    told = igaku.audit(study()).set_index("kind").loc["repeated_ids"]
    assert not told["grave"] and not told["facts"]["questions"]


def test_one_id_for_bare_letters_of_one_length_is_a_note(study, runs):
    for each in runs["bb4"]["rows"]:
        each |= {"reply_id": "chatcmpl-0", "reasoning": None, "prompt_tokens": None}
        each |= {"completion_tokens": 2}
    told = igaku.audit(study()).set_index("kind").loc["repeated_ids"]
    assert not told["grave"]


@pytest.mark.parametrize("name", ["reasoning", "content"])
def test_two_questions_that_share_a_long_text_are_named(study, runs, name):
    one, two = runs["bb4"]["rows"][3], runs["bb4"]["rows"][40]
    if name == "content":
        for each in runs["bb4"]["rows"]:
            each["content"] = (
                f"{each['content']} (case {each['problem_id']})" + "." * 80
            )
    two[name] = one[name] = f"{one[name]} {'So it is, all told.' * 5}"
    told = igaku.audit(study()).set_index("kind").loc["repeated_texts"]
    assert told["grave"] and told["facts"]["where"] == name
    assert told["facts"]["questions"] == [one["problem_id"], two["problem_id"]]


@pytest.mark.parametrize(("n", "told"), [(4, []), (5, [False])])
def test_loops_of_one_model_may_be_alike(study, runs, n, told):
    for each in runs["bb4"]["rows"][:n]:
        each |= {"content": "a,b," * 60, "cause": "looping", "outcome": "truncated"}
        each |= {"answer": None, "correct": False}
    found = igaku.audit(study()).query("kind == 'repeated_texts'")
    assert list(found["grave"]) == told


def test_no_two_questions_share_a_text_in_what_was_recorded(recorded_folder):
    assert not {"repeated_texts", "repeated_ids"} & set(
        igaku.audit(recorded_folder)["kind"]
    )


def test_one_text_for_many_questions_and_one_count_for_all_prompts(study, runs):
    for each in runs["bb4"]["rows"]:
        each |= {"reasoning": "<b>The same long thought, again</b> " * 5}
        each |= {"prompt_tokens": 812}
    opened = study()
    told = alarms(opened)
    assert told["repeated_texts"] == [("bb4",)]
    assert told["constant_tokens"] == [("bb4",)]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("other_versions", {"git_commit": "b" * 40}),
        ("other_versions", {"git_commit": "a" * 40 + "-dirty"}),
        ("other_serving", {"server_before": {"/props": {"chat_template": "x"}}}),
    ],
)
def test_what_may_matter_is_said_and_taints_nothing(study, runs, kind, change):
    for name, about in runs.items():
        base = {"server_before": {"/props": {"chat_template": "t"}}}
        about |= base | (change if name == "bb4" else {})
    opened = study()
    assert kind in alarms(opened)
    assert not igaku.audit(opened).set_index("kind").loc[kind, "grave"]
    assert not wrong_runs(opened)


@pytest.mark.parametrize("name", ["context_length", "parallel", "runtime"])
def test_what_the_server_loaded_is_compared(study, runs, name):
    for k, about in enumerate(runs.values()):
        about["identity"]["fingerprint"][name] = 4096 if k else 8192
    (told,) = (
        a for a in igaku.audit(study()).itertuples() if a.kind == "other_serving"
    )
    assert told.facts["setting"] == name and "8192" in told.text


@pytest.mark.parametrize(
    ("slots", "sent", "is_told"),
    [
        (8, {}, True),
        (8, {"cache_prompt": True}, True),
        (8, {"cache_prompt": False}, False),
        (1, {}, False),
        (None, {}, False),
    ],
)
def test_slots_that_share_their_cache_are_a_note(study, runs, slots, sent, is_told):
    runs["bb4"]["server_before"] = {"/props": {"total_slots": slots}}
    runs["bb4"]["sampling"] = {"sent": sent}
    assert (alarms(study()).get("reused_prompts") == [("bb4",)]) == is_told


def test_what_a_manifest_says_of_warm_replies_is_told_whatever_it_is(study, runs):
    odd = [None, {"same": False, "of": ["<b>", 7]}, {"same": False}, {"same": "no"}]
    runs["bb4"]["sessions"][0]["warm"] = odd
    runs["a8"]["sessions"][0]["warm"] = {"same": False}
    found = igaku.audit(study()).set_index("kind").loc["anothers_reply"]
    assert found["runs"] == ("bb4",) and "<b>, 7" in found["text"]


def test_another_concurrency_is_said(study, runs):
    runs["bb4"]["settings"]["concurrency"] = 16
    assert set(alarms(study())["other_pace"][0]) == {"a8", "bb4", "ccc2"}


def test_a_letter_said_twice_is_one_answer(tmp_path):
    questions = planned(12)
    rows = [replied(q, content="a,a") for q in questions]
    study = study_of([sit(tmp_path, [], questions=questions, rows=rows)])
    assert "wrong_grades" not in set(igaku.audit(study)["kind"])
