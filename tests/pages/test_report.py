import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
import yaml
from runs import planned, replied, sit

import igaku
from igaku.pages import findings, models, pairs, report, strata, tables, tokens
from igaku.study.study import open_study

STEMS = {
    "openai-8bit": "gpt-oss-20b-gguf",
    "openai-mxfp4-gguf": "gpt-oss-20b-openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8": "gpt-oss-20b-mlx-community",
    "mlx-community-mxfp4-q4": "gpt-oss-20b-mlx-q4",
    "inferenceillusionist-4bit": "gpt-oss-20b-inferenceill",
    "safeguard-mxfp4": "gpt-oss-20b-safeguard",
    "safeguard-4096": "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096",
}
JAPANESE = re.compile("[ぁ-ん]")
# What the seed says in Japanese of its own rows stays as it was published.
PUBLISHED = re.compile(r"Published: .*|source: [^)]*\)|Source: .*")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, shared):
    """The recorded variants and GPT-4, imported."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
        for slug, stem in STEMS.items():
            files = sorted((shared / "data/recorded").glob(f"{stem}_2022_*.json"))
            igaku.import_recorded(files, folder, slug)
        base = shared / "data/igakuqa/baseline_results/2022"
        igaku.import_recorded(sorted(base.glob("*_gpt4.jsonl")), folder, "gpt4-2022")
    return folder


@pytest.fixture(scope="module", params=["ja", "en"])
def written(recorded, request):
    """The report of the recorded runs in each language, as Markdown."""
    study = open_study(recorded, lang=request.param)
    found = report.write(study)
    return request.param, found, found.markdown.read_text("utf-8")


class Page(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# --- the document beside the seed -----------------------------------------------------


def test_every_section_of_the_seed_has_its_place(written):
    lang, _, text = written
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    wanted = {
        "ja": ["共通仕様", "モデル一覧", "比較サマリー", "重要な発見",
               "コストパフォーマンス"],
        "en": ["What the models share", "The models", "Comparison", "Findings",
               "Cost and performance"],
    }[lang]  # fmt: skip
    assert all(any(name in each for each in headings) for name in wanted)


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


def test_the_findings_of_the_seed_become_statements_that_hold(written):
    lang, _, text = written
    said = {
        "ja": ["46%小さい", "あと14問", "示されていない", "292/400", "92.0 %",
               "仮説です", "4,096", "283 と一致しません"],
        "en": ["46% smaller", "missed by 14 questions", "not shown", "292 of 400",
               "92.0 %", "hypothesis", "4,096", "is not the sum of its sections"],
    }[lang]  # fmt: skip
    for part in said:
        assert part in text, part


@pytest.mark.parametrize(
    "claim", ["negligible", "ほぼ同一", "無視できる差", "no difference", "差はない"]
)
def test_no_claim_of_equality_is_made(written, claim):
    assert claim not in written[2]


def test_alarms_stand_above_the_results_they_taint(written):
    lang, _, text = written
    said = {"ja": "一字一句同じ", "en": "character for character"}[lang]
    chapters = re.split(r"^## ", text, flags=re.M)
    assert sum(said in chapter for chapter in chapters) >= 3  # audits, models, pairs
    models_chapter = next(c for c in chapters if c.startswith("3. "))
    own = re.split(r"^### ", models_chapter, flags=re.M)
    tainted = [part.splitlines()[0] for part in own if said in part]
    assert len(tainted) == 2
    assert all(part.find(said) < part.find("| ") for part in own if said in part)


def test_the_english_report_is_in_english(written):
    lang, _, text = written
    if lang == "en":
        plain = PUBLISHED.sub("", text)
        # Cards keep the names that Japanese tables have; GPT-4 and others have none.
        left = [line for line in plain.splitlines() if JAPANESE.search(line)]
        assert not left, left


def test_every_kind_of_number_is_labelled(written):
    lang, _, text = written
    words = ("記録", "公表") if lang == "ja" else ("recorded", "published")
    first = text.split("## 1.")[0]
    assert all(f"{word} =" in first for word in words)


def test_the_methods_paragraph_names_tests_and_versions(written):
    _, _, text = written
    methods = text.split("## 10. ")[1]
    for part in ("McNemar", "Tango", "Newcombe", "Holm", "Cochran", "Kaplan", "scipy"):
        assert part in methods, part


# --- the files ------------------------------------------------------------------------


def test_the_page_asks_nothing_of_any_host_and_runs_nothing(written):
    page = Page(written[1].page.read_text("utf-8"))
    for tag, given in page.found:
        assert tag not in ("script", "iframe", "object", "embed")
        source = given.get("src") or given.get("href") or "data:"
        assert source.startswith(("data:", "#")), source
        assert not any(name.startswith("on") for name in given)
    pictures = [given for tag, given in page.found if tag == "img"]
    assert len(pictures) >= 12 and all(given["alt"] for given in pictures)


def test_every_picture_of_the_markdown_is_beside_it(written):
    _, found, text = written
    linked = re.findall(r"\]\((report/[^)]+)\)", text)
    assert len(linked) == len(found.figures) >= 12
    for path in linked:
        assert (found.markdown.parent / path).read_bytes().startswith(b"\x89PNG")


def test_the_tables_can_be_read_back(written):
    _, found, _ = written
    tables = {path.stem: path for path in found.tables}
    assert {"models", "sections", "pairs", "strata", "answers"} <= set(tables)
    text = tables["answers"].read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3 * 400 + 125 + 75 + 75 + 400 + 400
    right = [r for r in rows if r["run"] == "openai-8bit" and r["correct"] == "True"]
    assert len(right) == 286


def test_every_alarm_pattern_and_rescue_is_in_a_table(written):
    tables = {path.stem: path.read_text("utf-8-sig") for path in written[1].tables}
    read = {name: list(csv.DictReader(io.StringIO(t))) for name, t in tables.items()}
    kinds = {row["kind"] for row in read["alarms"]}
    assert {"identical_replies", "other_model", "published_sums"} <= kinds
    assert sum(int(row["questions"]) for row in read["patterns"]) == 400
    (rescue,) = read["rescues"]
    counts = [
        int(rescue[k]) for k in ("lost", "rescued", "finished_wrong", "unfinished")
    ]
    assert counts == [39, 26, 10, 3]
    (gpt4,) = [row for row in read["models"] if row["run"] == "gpt4-2022"]
    assert (gpt4["correct"], gpt4["compulsory_points"], gpt4["general_points"]) == (
        "314",
        "164.0",
        "228.0",
    )


def test_the_repeated_report_is_the_same_text(recorded):
    first = report.write(open_study(recorded, lang="en")).markdown.read_text("utf-8")
    again = report.write(open_study(recorded, lang="en")).markdown.read_text("utf-8")
    assert first == again


# --- repeats --------------------------------------------------------------------------


def test_flips_between_models_are_read_against_those_of_a_repeat(tmp_path):
    first = [i % 4 > 0 for i in range(40)]
    sit(tmp_path, first, "a1", settings={"slug": "a"})
    sit(tmp_path, [not first[0], *first[1:]], "a2", settings={"slug": "a"})
    sit(tmp_path, [i % 5 > 0 for i in range(40)], "b")
    study = open_study(tmp_path, lang="en")
    told = pairs.noise_floor(study).text
    assert "Noise floor: a (a1) † asked again flips 1 of 40" in told
    assert "Flips between models: a (a1) †/b † 14/40" in told


def test_without_a_repeat_the_noise_is_said_to_be_unknown(tmp_path):
    sit(tmp_path, [True] * 20, "a")
    sit(tmp_path, [False] * 20, "b")
    told = pairs.noise_floor(open_study(tmp_path, lang="en")).text
    assert "the noise of the measurement is unknown" in told


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
def test_every_table_that_names_a_run_says_what_is_known_of_its_weights(
    of_three_kinds, lang
):
    study = open_study(of_three_kinds, lang=lang)
    tables = report.write(study).markdown.read_text(encoding="utf-8").split("\n\n")
    naming = [
        (block, after)
        for block, after in zip(tables, [*tables[1:], ""], strict=True)
        if block.startswith("| ") and re.search(r"\| (mute|other)\b", block)
    ]
    assert len(naming) > 5
    for block, after in naming:
        assert not re.search(r"\b(mute|other)\b(?! [†‡])", block), block
        assert "†" in after or "‡" in after, block
        assert bool(JAPANESE.search(after)) == (lang == "ja")
    assert "sure †" not in "".join(tables) and "sure ‡" not in "".join(tables)


def test_the_overview_says_by_which_path_the_weights_are_known(of_three_kinds):
    told = models.overview(open_study(of_three_kinds, lang="en")).text
    assert "verified (/api/v1/models)" in told
    assert "unverified" in told and "wrong model" in told


def test_tables_for_programs_have_a_column_instead_of_marks(of_three_kinds):
    frames = tables.frames(open_study(of_three_kinds, lang="en"))
    known = {"sure": "verified", "mute": "unverified", "other": "wrong_model"}
    for name in ("models", "sections", "answers", "strata"):
        seen = frames[name]
        assert dict(zip(seen["run"], seen["identity"], strict=True)) == known
    pair = frames["pairs"].iloc[0]
    assert pair["identity_a"] == known[pair["a"]]
    assert pair["identity_b"] == known[pair["b"]]
    assert not frames["models"]["label"].str.contains("[†‡]").any()


def test_figures_say_below_what_the_marks_in_them_mean(of_three_kinds):
    study = open_study(of_three_kinds, lang="en")
    assert "mute †" in models.accuracy_figure(study).alt
    told = report.caption(study, "accuracy").text
    assert "† " in told and "‡ " in told


# --- hostile and degenerate input -----------------------------------------------------

HOSTILE = "<script>alert(1)</script>|`x`[y](javascript:z)*$a$"


def test_hostile_names_and_replies_are_shown_and_do_nothing(tmp_path):
    rows = [replied(q, content=HOSTILE, served_model=HOSTILE) for q in planned(6)]
    card = {"label": HOSTILE, "format": HOSTILE, "quantization": "=1+1"}
    sit(tmp_path, None, "a", planned(6), rows=rows, card=card)
    sit(tmp_path, [True] * 6, "b", card={"label": "=cmd|'/c calc'!A1"})
    found = report.write(open_study(tmp_path, lang="en"))
    page = found.page.read_text("utf-8")
    assert "<script" not in page and "javascript:z)" in page
    text = found.markdown.read_text("utf-8")
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(javascript", text)
    models_csv = next(p for p in found.tables if p.stem == "models")
    cells = next(csv.reader(io.StringIO(models_csv.read_text("utf-8-sig"))))
    assert "label" in cells
    for path in found.tables:
        for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"))):
            assert not any(re.match(r"[=@\t]|[+-](?![\d.])", cell) for cell in row)


def everything(study):
    """Each piece of the analysis notebook, drawn or told."""
    return [
        models.audits(study), findings.findings_table(study), models.overview(study),
        models.accuracy_figure(study), models.causes(study), models.heatmap(study),
        models.lines_table(study), models.pass_lines(study), findings.verdicts(study),
        pairs.families(study), pairs.noise_floor(study), pairs.gate(study),
        pairs.tables_figure(study), pairs.barcode(study), pairs.forest(study),
        pairs.pair_tables(study), pairs.readings(study), pairs.power_figure(study),
        tokens.token_table(study), tokens.curves_figure(study),
        tokens.logrank_table(study), tokens.distribution_figure(study),
        tokens.right_wrong_table(study), tokens.loop_table(study),
        tokens.budget_figure(study), tokens.budget_table(study),
        tokens.rescue_table(study), strata.difficulty_figure(study),
        strata.strata_tables(study), strata.vignette_sentences(study),
        strata.kinki_table(study), pairs.patterns_figure(study),
        strata.pattern_table(study), models.memory(study), findings.cost(study),
        findings.reference_rows(study), models.models(study),
    ]  # fmt: skip


def no_runs(folder):
    return "There are no runs yet"


def one_run(folder):
    sit(folder, [True, False] * 10, "only")
    return "one run only"


def no_shared_questions(folder):
    sit(folder, [True] * 20, "a")
    sit(folder, [True] * 20, "b", planned(20, 112), settings={"exam": 2018})
    return "No two runs share a question"


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
    return "BROKEN (api)"


def not_begun(folder):
    sit(folder, [None] * 20, "asleep")
    sit(folder, [True] * 20, "well")
    return "INCOMPLETE"


def all_right(folder):
    for name in ("a", "b", "c"):
        sit(folder, [True] * 20, name)
    return "hardly any is wrong"


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize(
    "case",
    [no_runs, one_run, no_shared_questions, without_manifest, mixed_up_lines,
     nothing_but_failures, not_begun, all_right],
)  # fmt: skip
@pytest.mark.filterwarnings("error::UserWarning")  # a missing glyph is one
def test_whatever_is_there_is_analysed_and_the_rest_is_a_sentence(tmp_path, case, lang):
    said = case(tmp_path)
    study = open_study(tmp_path, lang=lang)
    shown = "\n".join(repr(piece) for piece in everything(study))
    found = report.write(study)
    assert found.markdown.is_file() and found.page.is_file()
    if lang == "en":
        assert said in shown
