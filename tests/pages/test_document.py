"""The document of the recorded runs, of repeats, of hostile and of odd folders."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
import yaml
from recordings import STEMS, bring_in
from runs import planned, replied, sit

from igaku.pages import document
from igaku.pages.export import write_tables
from igaku.pages.facts import facts_of
from igaku.study import open_study
from igaku.study.declared import declare

JAPANESE = re.compile("[ぁ-ん]")
# What the seed says in Japanese of its own rows stays as it was published.
PUBLISHED = re.compile(r"Published[^:]*: .*|source: [^)]*\)|~9%.*|禁忌|必修|一般・臨床")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, shared):
    """The recorded variants and GPT-4, imported."""
    return bring_in(tmp_path_factory.mktemp("recorded"), shared, ["gpt4"])


def markdown(folder, lang="en"):
    """The document of a folder, as Markdown without its escapes."""
    page = document.write(open_study(folder, lang=lang))
    return page.with_suffix(".md").read_text("utf-8").replace("\\", "")


def worded(folder, lang="en"):
    """The same with its tables, but without its page and its pictures: to be read."""
    facts = facts_of(open_study(folder, lang=lang))
    files = write_tables(facts, folder / document.TABLES)
    values = document.contents(facts) | {"files": files}
    return document.text(lang, values).replace("\\", "")


@pytest.fixture(scope="module", params=["ja", "en"])
def written(recorded, request):
    """The document of the recorded runs in each language: language, folder, text."""
    return request.param, recorded, markdown(recorded, request.param)


class Page(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tables_of(folder):
    found = {}
    for path in (folder / "report/tables").glob("*.csv"):
        found[path.stem] = list(
            csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
        )
    return found


# --- the first screen -----------------------------------------------------------------


def before_the_figures(text):
    return text.partition("\n## ")[0]


def test_the_first_screen_says_what_was_asked_of_which_six(written):
    lang, _, text = written
    first = before_the_figures(text)
    said = {
        "en": ["6 models", "5 of openai/gpt-oss-20b", "national exam 116",
               "400 questions", "2-shot", "prompt baseline", "max_tokens 1,024",
               "reasoning effort not on record", "75%: 300 of 400"],
        "ja": ["6モデル", "openai/gpt-oss-20b 5件", "第116回", "400問", "2-shot",
               "プロンプトbaseline", "max_tokens 1,024", "推論の強さは記録なし",
               "75%（400問中300問）"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in first] == []
    for score in ("286/400", "284/400", "17/125", "7/75", "27/75"):
        assert f"| {score} |" in first.split("2.")[0] + first


def test_the_half_point_has_counts_interval_p_and_a_verdict(written):
    lang, _, text = written
    first = before_the_figures(text)
    said = {
        "en": ["284 of 400 right", "286: −0.5 points", "−4.3 to +3.3", "30 questions",
               "28 only", "p = 0.795 at level 0.05",
               "Not worse by 2.5 points: not shown",
               "n = 400, p = 0.149 at level 0.025"],
        "ja": ["400問中284問", "286問", "−0.5ポイント", "−4.3〜+3.3", "30問", "28問",
               "p = 0.795", "非劣性）は示されませんでした", "p = 0.149", "0.025"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in first] == []


def test_the_silence_is_inferred_and_said_to_be(written):
    lang, _, text = written
    first = before_the_figures(text)
    said = {
        "en": ["214 of 1,475", "58 of 58 at 7.6 s", "7.3 s at most",
               "4 times the token budget", "3.9 times as far", "133 to 135 tokens",
               "197 of 369 finished replies at 4,096 fit into 1,024 tokens",
               "text for 33 of 75 questions", "text for 30, 25 of them the same",
               "sections A and B ran side by side until 116A50",
               "36 of 39 blank questions", "All of it is inferred from timing",
               "igaku sweep failure would settle it"],
        "ja": ["1,475件中214件", "58件中58件", "7.3秒", "トークン上限を4倍", "3.9倍",
               "毎秒133〜135トークン", "369件のうち197件が1,024トークンに収まり",
               "75問中33問で本文", "本文があったのは30問で、25問が一致",
               "116A50の前まで区分AとBが並行", "以上は時間からの推定",
               "（igaku sweep failure）"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in first] == []


def test_the_figure_of_the_silence_stands_beside_its_words(written):
    _, folder, text = written
    page = Page((folder / "report.html").read_text("utf-8"))
    tags = [tag for tag, _ in page.found]
    assert tags.index("img") < tags.index("table")
    assert text.index("report/figures/walls.png") < text.index("\n## ")


def test_a_run_without_a_wall_is_said_to_have_no_clock(written):
    lang, _, text = written
    said = {"en": "No wall, no clock: ", "ja": "壁がないため長さを換算できない実行："}
    (line,) = [line for line in text.splitlines() if line.startswith(said[lang])]
    for label in ("openai @8bit", "openai @mxfp4", "mlx-community Q8"):
        assert label in line
    for label in ("safeguard", "Q4", "InferenceIllusionist"):
        assert label not in line


def test_what_may_not_be_concluded_names_its_reasons(written):
    lang, _, text = written
    first = before_the_figures(text)
    said = {
        "en": ["rows 2 and 3 gave the same replies", "to 400 of 400 questions",
               "another model's name", "no analysis was declared",
               "reasoning effort is not on record for 6 of 6 rows",
               "no server reported which weights answered in 6 of 6",
               "400 questions detect 5.3 points or more (80% power)",
               "how many of the 58 flips are noise is not known",
               "rows 4, 5, 6 stopped after 75 to 125 of 400 questions",
               "99 questions need an image"],
        "ja": ["2と3は返答が一字一句同じ（400問中400問）", "別のモデル名",
               "推論の強さの記録なし（6件中6件）", "解析の事前宣言なし",
               "どの量子化版が応答したかの記録なし（6件中6件）",
               "400問で検出できる差は5.3ポイント以上（検出力80%）",
               "入れ替わり58問のうちゆらぎの数は不明",
               "4、5、6は400問中75〜125問で打ち切り", "99問は必要な画像なし"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in first] == []


def test_a_run_at_another_budget_is_none_of_the_six(written):
    lang, _, text = written
    first = before_the_figures(text)
    six, apart = first.split({"en": "Table 2.", "ja": "表2."}[lang])
    assert "262/400" in apart and "262/400" not in six and "4,096" in apart


# --- the document beside the seed -----------------------------------------------------


def test_every_figure_the_seed_prints_of_a_model_is_there(written, checkout):
    _, _, text = written
    for slug in list(STEMS)[:6]:
        told = yaml.safe_load((checkout / f"params/{slug}.yaml").read_text("utf-8"))
        card, published = told["card"], told["published"]
        assert f"{card['size_gb']:.2f} GB" in text
        assert f"{card['downloads']:,}" in text
        assert card["huggingface_id"] in text and card["released"] in text
        for name in ("correct", "blank"):
            printed = [s[name] for s in published["sections"].values() if name in s]
            assert f"| {' | '.join(map(str, printed))} |" in text, (slug, name)
        for name in ("verdict", "remark", "failure"):
            assert str(published.get(name) or "") in text


def test_what_the_models_share_is_said_once_with_exceptions(written):
    _, _, text = written
    assert (
        text.count("131,072") == 1
        and text.count("<|startoftext|>".replace("<", "&lt;")) == 1
    )
    assert "gpt-oss-20b-MXFP4.gguf" in text and "openai/gpt-oss-safeguard-20b" in text


def test_the_findings_of_the_seed_become_statements_that_hold(written):
    lang, _, text = written
    said = {
        "ja": ["46%小さい", "あと14問", "非劣性は示されていません", "92.0%", "4,096",
               "283と一致しません", "60+→58", "~9%", "約45,500問", "35,700〜57,400問"],
        "en": ["46% smaller", "14 short", "is not shown", "92.0%", "4,096",
               "283", "60+", "~9%", "about 45,500", "(35,700 to 57,400"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in text] == []


@pytest.mark.parametrize(
    "claim",
    [
        "negligible",
        "ほぼ同一",
        "無視できる",
        "no difference",
        "差はない",
        "the same as",
    ],
)
def test_no_claim_of_equality_is_made(written, claim):
    assert claim not in written[2]


def test_alarms_that_overturn_stand_above_the_results_they_taint(written):
    lang, _, text = written
    same = {"ja": "一字一句同じ", "en": "character for character"}[lang]
    effort = {"ja": "推論の強さ（reasoning effort）", "en": "The reasoning effort"}[
        lang
    ]
    _, _, alarms, difference, *_ = re.split(r"^## ", text, flags=re.M)
    open_ones = alarms.split("<details>")[0]
    assert same in open_ones and effort in open_ones and "max_tokens" in open_ones
    assert "283" not in open_ones and "283" in alarms
    assert "286" not in difference.split("\n")[0]


def test_tables_and_figures_are_numbered_in_order(written):
    lang, _, text = written
    for word in {"en": ("Table", "Figure"), "ja": ("表", "図")}[lang]:
        found = re.findall(rf"^\**{word} ?(\d+)\.", text, re.M)
        assert list(map(int, found)) == list(range(1, len(found) + 1))
        assert len(found) > 3


def test_a_mark_is_explained_once(written):
    lang, _, text = written
    said = {"en": "† The server did not report", "ja": "† どの量子化版が"}[lang]
    assert text.count(said) == 1


def test_what_was_published_of_another_budget_says_so(written):
    """Safeguard was asked with 4,096 tokens too; its published figures are of 1,024."""
    lang, _, text = written
    said = {
        "en": ["Right, published (max_tokens 1,024)", "Published of max_tokens 1,024:"],
        "ja": ["正答数（公表）（max_tokens 1,024）", "公表（max_tokens 1,024のもの）"],
    }[lang]  # fmt: skip
    assert [text.count(part) for part in said] == [1, 1]


def test_the_english_document_is_in_english(written):
    lang, _, text = written
    if lang == "en":
        left = [
            line
            for line in PUBLISHED.sub("", text).splitlines()
            if JAPANESE.search(line)
        ]
        assert not left, left


def test_every_kind_of_number_is_labelled(written):
    lang, _, text = written
    words = {
        "ja": ("「記録」", "「公表」"),
        "en": ("are recorded", "Published figures"),
    }
    assert all(word in before_the_figures(text) for word in words[lang])


def test_references_stand_apart_and_are_not_tested(written):
    lang, _, text = written
    assert "314/400" in text and "314/400" not in before_the_figures(text)
    named = {"en": "main family", "ja": "主解析"}[lang]
    table = next(t for t in text.split("\n\n") if "−0.5" in t and t.startswith("|"))
    assert "GPT-4" not in table and named in text


def test_the_methods_paragraph_names_tests_and_versions(written):
    _, _, text = written
    methods = re.split(r"^## ", text, flags=re.M)[-1]
    for part in ("McNemar", "Tango", "Newcombe", "Holm", "Cochran", "Kaplan", "scipy"):
        assert part in methods, part


# --- the files ------------------------------------------------------------------------


def test_the_page_asks_nothing_of_any_host_and_runs_nothing(written):
    page = Page((written[1] / "report.html").read_text("utf-8"))
    for tag, given in page.found:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href", "srcset"):
            assert given.get(name, "#").startswith(("data:", "#")), given[name][:80]
        assert not any(name.startswith("on") for name in given)
    pictures = [given for tag, given in page.found if tag == "img"]
    assert len(pictures) >= 6 and all(given["alt"] for given in pictures)
    assert len({given["alt"] for given in pictures}) == len(pictures)


def test_the_words_for_a_figure_name_what_it_draws_and_nothing_else(written):
    pictures = re.findall(r"!\[([^]]*)\]\(report/figures/(\w+)\.png\)", written[2])
    alt = {name: words for words, name in pictures}
    assert "mlx-community Q8" in alt["sections"] and "A 57/75" in alt["sections"]
    assert "mlx-community Q8" not in alt["memory"] and "12.11 GB" in alt["memory"]
    assert {"en": "2 of 3 finished", "ja": "3件中2件"}[written[0]] in written[2]
    assert "4096" in alt["walls"]


def test_every_picture_of_the_markdown_is_beside_it(written):
    _, folder, text = written
    linked = re.findall(r"\]\((report/[^)]+)\)", text)
    assert len(linked) == len(set(linked)) >= 6
    for path in linked:
        assert (folder / path).read_bytes().startswith(b"\x89PNG")


def test_the_tables_can_be_read_back(written):
    tables = tables_of(written[1])
    assert {"models", "sections", "pairs", "strata", "answers"} <= set(tables)
    assert len(tables["answers"]) == 3 * 400 + 125 + 75 + 75 + 400 + 400
    right = [
        row
        for row in tables["answers"]
        if row["label"] == "openai @8bit" and row["correct"] == "True"
    ]
    assert len(right) == 286


def test_every_alarm_pattern_and_rescue_is_in_a_table(written):
    tables = tables_of(written[1])
    kinds = {row["kind"] for row in tables["alarms"]}
    assert {"identical_replies", "other_model", "published_sums"} <= kinds
    assert sum(int(row["questions"]) for row in tables["patterns"]) == 400
    (rescue,) = tables["rescues"]
    counts = [
        int(rescue[k]) for k in ("lost", "rescued", "finished_wrong", "unfinished")
    ]
    assert counts == [39, 26, 10, 3]
    (gpt4,) = [row for row in tables["models"] if row["role"] == "reference"]
    assert gpt4["right"] == "314"
    points = {
        row["part"]: row["points"]
        for row in tables["official"]
        if row["run"] == gpt4["run"]
    }
    assert (points["compulsory"], points["rest"]) == ("164", "228")


def test_the_repeated_document_is_the_same_text(written):
    lang, folder, text = written
    assert worded(folder, lang) == text


# --- repeats --------------------------------------------------------------------------


def test_flips_between_models_are_read_against_those_of_a_repeat(tmp_path):
    first = [i % 4 > 0 for i in range(40)]
    sit(tmp_path, first, "a1", settings={"slug": "a"})
    sit(tmp_path, [not first[0], *first[1:]], "a2", settings={"slug": "a"})
    sit(tmp_path, [i % 5 > 0 for i in range(40)], "b")
    assert "Noise floor: a (a1) asked again flips 1 of 40" in worded(tmp_path)


def test_askings_are_pooled_and_say_what_it_takes(tmp_path):
    for slug, often in (("a", 5), ("b", 4)):
        for day in (1, 2):
            rights = [(i * day) % often > 0 for i in range(60)]
            about = {"settings": {"slug": slug}, "start": f"2026-02-0{day}T09:00:00Z"}
            sit(tmp_path, rights, f"{slug}{day}", **about)
    said = {
        "en": ("Of 60 questions, b (b1) got", "in 2 askings", "paired t over all",
               "is noise", "systematic", "Asked once each: 60"),
        "ja": ("60問の正答率はb (b1)が2回で", "対応のあるt検定", "うちゆらぎが",
               "系統的", "各1回なら、60問"),
    }  # fmt: skip
    for lang, parts in said.items():
        text = worded(tmp_path, lang)
        assert [part for part in parts if part not in text] == []


def test_without_a_repeat_the_noise_is_said_to_be_unknown(tmp_path):
    sit(tmp_path, [True] * 20, "a")
    sit(tmp_path, [False] * 20, "b")
    assert "the part of the flips that is noise is not known" in worded(tmp_path)


# --- what is lost ---------------------------------------------------------------------


def cut(question):
    """A reply that the budget ended before its answer."""
    return replied(
        question, outcome="truncated", correct=False, answer=None, content="",
        finish_reason="length", completion_tokens=1024,
    )  # fmt: skip


def test_replies_that_the_budget_cut_are_counted_and_not_inferred(tmp_path):
    asked = planned(40)
    sit(tmp_path, [True] * 30 + [False] * 10, "first", asked)
    rows = [cut(q) if i < 4 else replied(q) for i, q in enumerate(asked)]
    sit(tmp_path, None, "second", asked, rows=rows)
    text = worded(tmp_path)
    assert "4 of 80 replies were lost: 4 cut by the token budget." in text
    assert "inferred from" not in before_the_figures(text)


def failed(question):
    """A request that the server failed."""
    return replied(
        question, outcome="api_error", correct=None, content=None, answer=None
    )


def silent(question):
    """A reply without text."""
    return replied(question, outcome="empty", correct=False, answer=None, content="")


def losing(folder, name, kinds, **more):
    """A run of forty questions whose first replies are lost in these ways."""
    asked = planned(40)
    made = dict(enumerate(kinds))
    rows = [made.get(i, replied)(question) for i, question in enumerate(asked)]
    sit(folder, None, name, asked, rows=rows, **more)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_run_asked_otherwise_that_lost_its_replies_is_named_at_once(tmp_path, lang):
    sit(tmp_path, [True] * 40, "whole")
    losing(tmp_path, "cut-off", [cut] * 20, settings={"max_tokens": 64})
    first = before_the_figures(worded(tmp_path, lang))
    said = {
        "en": ["Are replies lost? Yes.", "20 of 80 replies were lost",
               "cut-off", "(BROKEN, token budget) 20 of 40"],
        "ja": ["失われた返答があります", "80件中20件", "cut-off",
               "（破綻、トークン上限）40件中20件"],
    }[lang]  # fmt: skip
    assert [part for part in said if part not in first] == []
    assert "was lost" not in first and "whole (" not in first


def test_runs_that_lost_as_much_are_all_named_and_the_worst_first(tmp_path):
    for name, kinds in (("a", [cut] * 2), ("b", [cut] * 2), ("c", [cut] * 3)):
        losing(tmp_path, name, kinds)
    told = r"worst first: c \(.*\) 3 of 40; a \(.*\) 2 of 40; b \(.*\) 2 of 40\."
    assert re.search(told, before_the_figures(worded(tmp_path)))


def test_causes_of_loss_are_counted_apart_and_none_is_named_that_did_not_occur(
    tmp_path,
):
    losing(tmp_path / "api", "a", [failed] * 40)
    losing(tmp_path / "blank", "a", [silent] * 40)
    losing(tmp_path / "all", "a", [cut] * 3 + [failed] * 2 + [silent])
    for name, told in (
        ("api", "40 of 40 replies were lost: 40 failed with an API error. Lost"),
        ("blank", "40 of 40 replies were lost: 40 blank. Lost"),
        ("all", "3 cut by the token budget, 2 failed with an API error, 1 blank. Lost"),
    ):
        assert told in worded(tmp_path / name), name
    assert "APIエラー40件）" in worded(tmp_path / "api", "ja")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("window", "6 cut by the server's context window."),
        ("looping", "6 repeating themselves until they were cut."),
    ],
)
def test_a_cut_that_was_not_the_budgets_is_not_put_down_to_it(tmp_path, cause, told):
    losing(tmp_path, "a", [lambda q: cut(q) | {"cause": cause}] * 6)
    text = worded(tmp_path)
    assert told in text and "token budget." not in before_the_figures(text)


def test_without_a_lost_reply_that_is_said_with_n(tmp_path):
    sit(tmp_path, [True] * 20, "one")
    assert "none of 20 replies was lost" in worded(tmp_path)


def test_more_than_one_pair_is_told_by_the_widest_and_by_counts(tmp_path):
    for name, right in (("a", 60), ("b", 40), ("c", 57)):
        sit(tmp_path, [i < right for i in range(80)], name)
    first = before_the_figures(worded(tmp_path))
    assert (
        "b got 40 of 80 right" in first and "Of 3 pairs a difference is shown" in first
    )


# --- which weights answered -----------------------------------------------------------

VERIFIED = {"status": "verified", "source": "/api/v1/models", "checks": []}
WRONG = {"status": "wrong_model", "source": "/api/v1/models", "checks": []}


@pytest.fixture
def of_three_kinds(tmp_path):
    """A verified run, one that nothing confirms, and one of other weights."""
    sit(tmp_path, [i % 4 > 0 for i in range(40)], "sure", identity=VERIFIED)
    sit(tmp_path, [i % 5 > 0 for i in range(40)], "mute")
    sit(tmp_path, [i % 3 > 0 for i in range(40)], "other", identity=WRONG)
    return tmp_path


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_table_of_scores_marks_what_is_known_of_the_weights(of_three_kinds, lang):
    first = before_the_figures(worded(of_three_kinds, lang))
    assert re.search(r"\| \d\. mute † \|", first)
    assert re.search(r"\| \d\. other ‡ \|", first)
    assert re.search(r"\| \d\. sure \|", first)
    assert "\n† " in first and "\n‡ " in first


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_every_table_that_names_a_run_marks_it(of_three_kinds, lang):
    def late(question):
        return {**silent(question), "seconds": 7.6}

    losing(of_three_kinds, "mute-too", [late] * 30)
    text = worded(of_three_kinds, lang)
    tables = [each for each in text.split("\n\n") if each.startswith("| ")]
    naming = [each for each in tables if re.search(r"[| ](mute|other)", each)]
    assert len(naming) >= 5 and any("| 7.6 |" in each for each in naming)
    for table in naming:
        assert not re.search(r"(mute-too|mute|other)(?! [†‡]|-too)\b", table), table
    assert not re.search("sure [†‡]", text)


def test_strata_and_sections_are_described_and_not_tested(tmp_path):
    asked = [q for q in planned() if q["problem_id"][-1] in "12"]
    for i, question in enumerate(asked):
        question["text_only"] = i >= 15
    sit(tmp_path, [q["section"] != "C" for q in asked], "one", asked)
    text = worded(tmp_path)
    assert "described, not tested" in text
    alone = [t for t in text.split("\n\n") if t.startswith("| Stratum")]
    assert alone and "p" not in alone[0].splitlines()[0].split(" ")
    n = sum(q["section"] == "C" for q in asked)
    assert f"C 0/{n}" in text  # in the words that stand in for the figure


def test_other_weights_leave_the_pairs(of_three_kinds):
    text = worded(of_three_kinds)
    assert "other weights than those asked for answered in row" in text
    (row,) = [
        each
        for each in tables_of(of_three_kinds)["pairs"]
        if {each["reference"], each["candidate"]} == {"sure", "mute"}
    ]
    assert row["tainted"] == "False"


def test_tables_for_programs_have_a_column_instead_of_marks(of_three_kinds):
    worded(of_three_kinds)
    tables = tables_of(of_three_kinds)
    known = {"sure": "verified", "mute": "unverified", "other": "wrong_model"}
    for name in ("models", "sections", "answers", "strata"):
        assert {row["run"]: row["identity"] for row in tables[name]} == known
    for row in tables["pairs"]:
        assert row["identity_reference"] == known[row["reference"]]
        assert row["identity_candidate"] == known[row["candidate"]]
    assert not any(re.search("[†‡]", row["label"]) for row in tables["models"])


# --- what was declared ----------------------------------------------------------------


def test_the_first_screen_says_that_nothing_was_declared(written):
    lang, _, text = written
    said = {"en": "No analysis was declared", "ja": "解析の事前宣言はありません"}
    assert said[lang] in before_the_figures(text)


def test_the_first_screen_says_what_was_declared_and_the_level_is_used(tmp_path):
    declare(tmp_path, question=f"{HOSTILE}?", reference="b", margin=0.1, level=0.001)
    sit(tmp_path, [True] * 40, "a")
    sit(tmp_path, [True] * 32 + [False] * 8, "b")
    first = before_the_figures(worded(tmp_path))
    assert "Reference b; family all finished runs" in first
    assert "before a, b is not shown" in first or "before b, a is not shown" in first
    assert "at level 0.001). Neither was shown to be better." in first
    assert "Not worse by 10.0 points: shown" in first and "at level 0.0005)" in first
    study = open_study(tmp_path, margin=0.2)
    document.write(study)
    text = (tmp_path / "report.md").read_text("utf-8").replace("\\", "")
    assert "margin 0.2 was given; 0.1 was declared" in before_the_figures(text)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in page and "alert(1)" in page


# --- hostile and degenerate input -----------------------------------------------------

HOSTILE = "<script>alert(1)</script>|`x`[y](javascript:z)*$a$"


def test_hostile_names_and_replies_are_shown_and_do_nothing(tmp_path):
    rows = [replied(q, content=HOSTILE, served_model=HOSTILE) for q in planned(6)]
    card = {"label": HOSTILE, "format": HOSTILE, "quantization": "=1+1",
            "base_model": HOSTILE, "note": HOSTILE}  # fmt: skip
    told = {"failure": HOSTILE, "remark": HOSTILE, "summary": {"format": HOSTILE},
            "sections": {"A": {"correct": HOSTILE, "blank": HOSTILE}}}  # fmt: skip
    sit(tmp_path, None, "a", planned(6), rows=rows, card=card, published=told)
    sit(tmp_path, [True] * 6, "b", card={"label": "=cmd|'/c calc'!A1"})
    page = document.write(open_study(tmp_path))
    shown = Page(page.read_text("utf-8"))
    assert {tag for tag, _ in shown.found}.isdisjoint({"script", "a href"})
    assert "javascript:z)" in page.read_text("utf-8")
    links = [given.get("href", "#") for tag, given in shown.found if tag == "a"]
    assert all(link.startswith("#") for link in links)
    text = page.with_suffix(".md").read_text("utf-8")
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(javascript", text)
    for path in (tmp_path / "report/tables").glob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"))):
            assert not any(re.match(r"[=@\t]|[+-](?![\d.])", cell) for cell in row)


def no_runs(folder):
    return "There are no runs yet"


def nothing_but_a_failed_job(folder):
    (folder / "gone").mkdir()
    job = {"state": "failed", "model": "m", "why": "It is not there."}
    (folder / "gone/job.json").write_text(json.dumps(job))
    return "It is not there."


def nothing_but_a_reference(folder):
    sit(folder, [True] * 20, "human", card={"origin": "reference"})
    return "20/20"


def one_run(folder):
    sit(folder, [True, False] * 10, "only")
    return "No two finished runs of separate measurements"


def an_empty_file_and_no_manifest(folder):
    (folder / "r").mkdir()
    (folder / "r/answers.jsonl").touch()
    return "No reply is on record"


def no_shared_questions(folder):
    sit(folder, [True] * 20, "a")
    sit(folder, [True] * 20, "b", planned(20, 112), settings={"exam": 2018})
    return "No two finished runs"


def without_manifest(folder):
    sit(folder, [True, False] * 10, "bare")
    (folder / "bare/manifest.json").unlink()
    sit(folder, [True] * 20, "whole")
    return "bare/manifest.json is missing"


def mixed_up_lines(folder):
    sit(folder, [True, False] * 10, "torn")
    path = folder / "torn/answers.jsonl"
    line = path.read_text().splitlines()[0]
    foreign = json.dumps({"question": 1, "text": "x"})
    other = json.dumps(replied(planned(1, 112)[0]))
    path.write_text(path.read_text() + "\n".join([line, foreign, other, line[:30]]))
    sit(folder, [False, True] * 10, "whole")
    return "torn/answers.jsonl, line"


def nothing_but_failures(folder):
    rows = [
        replied(q, outcome="api_error", correct=None, content=None, answer=None)
        for q in planned(20)
    ]
    sit(folder, None, "dead", planned(20), rows=rows)
    sit(folder, [True] * 20, "well")
    return "BROKEN (server errors)"


def not_begun(folder):
    sit(folder, [None] * 20, "asleep")
    sit(folder, [True] * 20, "well")
    return "unfinished"


def all_right(folder):
    for name in ("a", "b", "c"):
        sit(folder, [True] * 20, name, settings={"slug": name, "model": name})
    return "gave the same reply"


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize(
    "case",
    [no_runs, nothing_but_a_failed_job, nothing_but_a_reference, one_run,
     an_empty_file_and_no_manifest, no_shared_questions, without_manifest,
     mixed_up_lines, nothing_but_failures, not_begun, all_right],
)  # fmt: skip
@pytest.mark.filterwarnings("error:Glyph:UserWarning")
def test_whatever_is_there_is_told_and_the_rest_is_a_sentence(tmp_path, case, lang):
    said = case(tmp_path)
    text = markdown(tmp_path, lang)
    assert (tmp_path / "report.html").is_file()
    if lang == "en":
        assert said in text


def test_letters_that_models_share_because_they_know_make_no_copies(tmp_path):
    for name in ("a", "b"):
        sit(tmp_path, [True] * 40, name)
    text = worded(tmp_path)
    assert "and count once" not in text
    assert "quantization is why replies are blank" not in text  # none is


def test_a_difference_that_is_shown_is_not_called_open(tmp_path):
    sit(tmp_path, [True] * 40, "a")
    sit(tmp_path, [True] * 20 + [False] * 20, "b")
    assert "That one quantization is better" not in worded(tmp_path)
    assert "優劣は結論できません" not in worded(tmp_path, "ja")
