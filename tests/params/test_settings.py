"""Models as files, and the validation of everything a run is given."""

import json
import re

import pytest
import yaml

from igaku import paths
from igaku.errors import IgakuError
from igaku.params import fields
from igaku.params.settings import (
    FIELDS,
    Role,
    Settings,
    card_frame,
    check_parameter_names,
    find_card,
    of_role,
    settings_frame,
    settings_from,
    slugs,
)
from igaku.words import HELD_FIXED, word

SEED = [
    "openai-8bit",
    "openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8",
    "mlx-community-mxfp4-q4",
    "inferenceillusionist-4bit",
    "safeguard-mxfp4",
]
LAB = [
    "lab-mlx-8bit",
    "lab-gguf-mxfp4",
    "lab-mxfp4-q8",
    "lab-mxfp4-q4",
    "lab-mlx-4bit",
    "lab-all-mxfp4",
    "lab-mxfp4-q2",
]


def refusal(**given):
    with pytest.raises(IgakuError) as refused:
        settings_from(**given)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


# --- finding a model ------------------------------------------------------------------


def test_params_has_the_seed_the_reference_and_the_lab():
    assert sorted(slugs()) == sorted([*SEED, "gpt-oss-120b", *LAB])


@pytest.mark.parametrize("slug", [*SEED, "gpt-oss-120b", *LAB])
def test_every_file_is_found_by_each_of_its_names(slug):
    values = find_card(slug).values
    names = [values["model"], values["card"].get("lm_studio_name")]
    names += [values["card"].get("huggingface_id")]
    for name in filter(None, names):
        assert find_card(name).slug == slug
        assert find_card(name.upper()).slug == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("openai/gpt-oss-20b @8bit", "openai-8bit"),
        ("OpenAI/GPT-OSS-20B@8BIT", "openai-8bit"),
        ("mlx-community/gpt-oss-20b-MXFP4-Q4", "mlx-community-mxfp4-q4"),
        ("InferenceIllusionist/gpt-oss-20b-MLX-4bit", "inferenceillusionist-4bit"),
    ],
)
def test_models_are_found_however_they_are_written(name, slug):
    settings = settings_from(model=name)
    assert settings.slug == settings.run == slug
    assert settings.model == find_card(slug).values["model"]


def test_a_name_of_two_models_is_refused_with_both():
    assert "openai-8bit or openai-mxfp4-gguf" in refusal(model="openai/gpt-oss-20b")


def test_a_slug_settles_an_ambiguous_name_and_keeps_it():
    settings = settings_from(model="openai/gpt-oss-20b", slug="openai-8bit")
    assert settings.model == "openai/gpt-oss-20b"
    assert settings.card["size_gb"] == 22.26
    assert settings.run == "openai-8bit"


def test_an_unknown_model_gets_the_defaults_and_a_folder_name():
    settings = settings_from(model="Qwen/Qwen3-30B@q4_K_M")
    assert settings.slug == settings.run == "qwen-qwen3-30b-q4_k_m"
    assert settings.card == {} and settings.label == settings.slug
    assert settings.max_tokens == 1024 and settings.exam == 2022


@pytest.mark.parametrize("model", ["医師", "...", "///"])
def test_any_name_makes_a_folder_name(model):
    assert re.fullmatch("[a-z0-9._-]+", settings_from(model=model).run)


# --- explicit, then the file, then the default ----------------------------------------


def test_given_goes_over_the_file_and_the_file_over_the_default(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("model: a/b\nshots: 1\nmax_tokens: 300\n")
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    settings = settings_from(model="mine", max_tokens=500, temperature=None)
    told = (settings.max_tokens, settings.shots, settings.temperature, settings.model)
    assert told == (500, 1, 0.0, "a/b")


@pytest.mark.parametrize("slug", [*SEED, *LAB])
def test_minus_f_and_minus_p_come_to_the_same(slug):
    path = next(p for p in paths.PARAMS.rglob("*.yaml") if p.stem == slug)
    injected = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert settings_from(**injected) == settings_from(model=slug)


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ({"model": "openai-8bit"}, "openai-8bit"),
        ({"model": "openai-8bit", "exam": 2022}, "openai-8bit"),
        ({"model": "openai-8bit", "exam": 2018}, "openai-8bit-2018"),
        ({"model": "openai-8bit", "exam": "calibration"}, "openai-8bit-calibration"),
        ({"model": "lab-mlx-8bit"}, "lab-mlx-8bit"),
        ({"model": "lab-mlx-8bit", "exam": 2022}, "lab-mlx-8bit-2022"),
        ({"model": "x", "exam": "2019"}, "x-2019"),
        ({"model": "x", "run": "low effort"}, "low effort"),
    ],
)
def test_the_run_is_named_after_the_model_and_the_exam(given, run):
    assert settings_from(**given).run == run


def test_the_lab_is_asked_its_own_exam_by_its_own_server():
    for slug in LAB:
        settings = settings_from(model=slug)
        assert settings.base_url == fields.LAB
        assert (settings.exam, settings.serial_context) == ("calibration", "joined")
        assert settings.origin == "lab" and settings.card["recipe"]
    assert settings_from(model="openai-8bit").origin == "measured"


def test_settings_are_whole_as_json():
    told = settings_from(model="openai-8bit").to_dict()
    assert set(told) == set(FIELDS)
    assert json.loads(json.dumps(told)) == told


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_token": 3}, "did you mean max_tokens?"),
        ({"temprature": 0.3}, "did you mean temperature?"),
        ({"reasoning": "low"}, "did you mean reasoning_effort?"),
        ({"max_tokens": -1}, "whole number from 1"),
        ({"max_tokens": 0}, "whole number from 1"),
        ({"max_tokens": 12.5}, "whole number"),
        ({"max_tokens": "1024"}, "whole number"),
        ({"max_tokens": True}, "whole number"),
        ({"limit": 0}, "whole number from 1"),
        ({"shots": 4}, "from 0 to 3"),
        ({"concurrency": 0}, "from 1"),
        ({"temperature": "1e-3"}, "write 0.001 or 1.0e-3"),
        ({"temperature": float("nan")}, "from 0 to 2"),
        ({"temperature": float("inf")}, "from 0 to 2"),
        ({"temperature": -0.1}, "from 0 to 2"),
        ({"temperature": True}, "from 0 to 2"),
        ({"top_p": 0}, "above 0 to 1"),
        ({"timeout": 0}, "above 0"),
        ({"seed": -1}, "from 0"),
        ({"seed": 1.0}, "whole number"),
        ({"stop_when_broken": "false"}, "True or False"),
        ({"stop_when_broken": 0}, "True or False"),
        ({"reasoning_effort": "medum"}, "low, medium, high"),
        ({"reasoning_effort": False}, "low, medium, high"),  # YAML 1.1's `off`
        ({"language": "de"}, "ja, en"),
        ({"serial_context": "yes"}, "as_released, joined"),
        ({"exam": 2017}, "2018 to 2022"),
        ({"exam": 2022.0}, "2018 to 2022"),
        ({"exam": True}, "2018 to 2022"),
        ({"sections": "AG"}, "letters from A to F"),
        ({"sections": "AA"}, "letters from A to F"),
        ({"sections": ["A"]}, "text"),
        ({"run": ".."}, "plain folder name"),
        ({"run": "a/b"}, "plain folder name"),
        ({"run": "a\\b"}, "plain folder name"),
        ({"run": ".hidden"}, "plain folder name"),
        ({"run": "x" * 101}, "plain folder name"),
        ({"run": "~"}, "has '~' at its start"),
        ({"run": "$HOME"}, "has '$'"),
        ({"run": "a;b"}, "has ';'"),
        ({"run": "-p"}, "has '-' at its start"),
        ({"run": " a"}, "the blank U+0020 at an end"),
        ({"run": "a\u3000"}, "the blank U+3000 at an end"),
        ({"run": "a\u202eb"}, "the character U+202E"),
        ({"run": "a\nb"}, "the character U+000A"),
        ({"run": "a\x7fb"}, "the character U+007F"),
        ({"lost_of": "a`b"}, "has '`'"),
        ({"run": 7}, "papermill -r"),
        ({"slug": "../x"}, "plain folder name"),
        ({"prompt": ""}, "not empty"),
        ({"base_url": "localhost:1234"}, "http://127.0.0.1:1234/v1"),
        ({"base_url": "http://me:secret@host/v1"}, "IGAKU_API_KEY"),
        ({"base_url": "http://[::1/v1"}, "http://[::1]:1234/v1"),
        ({"base_url": "http://127.0.0.1:abc/v1"}, "from 1 to 65535"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "from 1 to 65535"),
        ({"base_url": "http://127.0.0.1:0/v1"}, "from 1 to 65535"),
        ({"base_url": f"http://{'x' * 300}/v1"}, "whose host is no name"),
        ({"base_url": "http://a^b/v1"}, "whose host is no name"),
        ({"base_url": "http://a..b/v1"}, "whose host is no name"),
        ({"base_url": "http://:1234/v1"}, "whose host is no name"),
        ({"base_url": "http://h/v1/chat/completions"}, "/chat/completions is igaku's"),
        ({"base_url": "http://h/v1/models/"}, "/models/ is igaku's"),
        ({"api_key": "sk-1"}, "IGAKU_API_KEY"),
        ({"extra_body": "top_k=0"}, "a mapping"),
        ({"extra_body": {"max_tokens": 9}}, "use the parameter"),
        ({"extra_body": {"messages": []}}, "leave it out"),
        ({"extra_body": {"model": None}}, "leave it out"),
        ({"extra_body": {"stream": True}}, "leave it out"),
        ({"extra_body": {"api_key": "sk-1"}}, "IGAKU_API_KEY"),
        ({"extra_body": {"top_k": float("nan")}}, "JSON"),
        ({"extra_body": {1: 2}}, "in quotes"),
        ({"outputs_dir": 3}, "path"),
        ({"card": {"lable": "x"}}, "did you mean label?"),
        ({"card": {"color": "red"}}, "#0072B2"),
        ({"card": {"marker": "?"}}, "one of"),
        ({"card": {"size_gb": "22.26 GB"}}, "number"),
        ({"card": {"vision": "no"}}, "True or False"),
        ({"card": {"tools": "browser"}}, "a list of texts"),
        ({"slug": " "}, "not empty"),
        ({"card": {"tokenizer": {"bso": "x"}}}, "did you mean bos?"),
        ({"card": []}, "a mapping"),
        ({"published": {"corect": 286}}, "did you mean correct?"),
        ({"published": {"sections": {"G": {}}}}, "G"),
        ({"published": {"sections": {"A": {"blanks": 3}}}}, "did you mean blank?"),
        ({"published": {"accuracy": 715}}, "from 0 to 100"),
        ({"model": 20}, "papermill -r"),
        ({"model": " "}, "not empty"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_it(given, says):
    sentence = refusal(**{"model": "x", **given})
    assert says in sentence
    assert next(iter(given)) in sentence


def test_without_a_model_the_known_ones_are_listed():
    assert "openai-8bit" in refusal()


def test_settings_are_validated_whoever_makes_them():
    with pytest.raises(IgakuError, match="shots"):
        Settings(model="x", shots=9)


def test_a_prompt_file_is_found_from_any_folder(tmp_path):
    relative = settings_from(model="x", prompt="prompts/mine.yaml").prompt
    assert relative == str(paths.ROOT / "prompts" / "mine.yaml")
    named = settings_from(model="x", prompt=f"{tmp_path}/results.json#baseline").prompt
    assert named == f"{tmp_path}/results.json#baseline"
    assert settings_from(model="x", prompt="baseline").prompt == "baseline"


def test_a_null_in_extra_body_takes_a_parameter_out():
    settings = settings_from(model="x", extra_body={"temperature": None})
    assert settings.extra_body == {"temperature": None}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a\nmax_token: 5\n", "did you mean max_tokens?"),
        ("model: a\ncard: {lable: x}\n", "did you mean label?"),
        (
            "model: a\npublished: {sections: {A: {corect: 5}}}\n",
            "did you mean correct?",
        ),
        ("model: [a\n", "not readable as YAML"),
        ("just text\n", "`model`"),
        ("max_tokens: 5\n", "`model`"),
    ],
)
def test_a_slip_in_a_file_names_the_file(text, says, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    sentence = refusal(model="mine")
    assert says in sentence and "mine.yaml" in sentence


# --- parameters that papermill injects ------------------------------------------------

OWN = (
    "# Parameters of the run: None leaves one to the file\nmodel = None\nlang = 'ja'\n"
)


def test_known_parameters_pass():
    check_parameter_names(["", OWN, '# Parameters\nmodel = "x"\nlang = "en"\n'])
    check_parameter_names(["import igaku", '# Parameters\nmodel = "x"\n'])
    check_parameter_names([OWN, '# Parameters\nPAPERMILL_OUTPUT_PATH = "x"\n'])
    check_parameter_names(["# Something else\nmax_token = 3", "%matplotlib inline"])


@pytest.mark.parametrize("cell", ["modle = 1", "modle: int = 1", "a = 2\nmodle = 1"])
def test_an_injected_typo_is_refused(cell):
    with pytest.raises(IgakuError, match=r"parameter (modle|a)"):
        check_parameter_names([OWN, f"# Parameters\n{cell}\n"])
    with pytest.raises(IgakuError, match="did you mean model"):
        check_parameter_names(["# Parameters\nmodle = 1\n"])


# --- the cards and the seed -----------------------------------------------------------


def test_every_model_has_its_own_colour_and_marker():
    cards = [find_card(slug).values["card"] for slug in slugs()]
    assert len({card["color"].lower() for card in cards}) == len(cards)
    assert len({card["marker"] for card in cards}) == len(cards)
    assert all(card["label"] and card["label_en"] for card in cards)
    assert len({card["label"] for card in cards}) == len(cards)


@pytest.fixture(scope="module")
def seed(shared):
    text = (shared / "seed" / "gpt-oss-20b-comparison.md").read_text(encoding="utf-8")
    return re.split(r"^---$", text, flags=re.M)


def rows_of(part):
    lines = [line.strip("| \n") for line in part.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("-: ")]


def as_printed(card):
    """A card in Japanese, as the seed prints it."""
    shown = card_frame(card, "ja")
    return dict(zip(shown["what"], shown["value"], strict=True))


def plain(text):
    for a, b in (("（", " ("), ("）", ")"), ("`", ""), ("\\", ""), (" tokens", "")):
        text = text.replace(a, b)
    return text


@pytest.mark.parametrize("number", range(6))
def test_every_row_of_the_seeds_tables_is_on_the_card(number, seed):
    own = as_printed(settings_from(model=SEED[number]).card)
    common = [row for row in rows_of(seed[1]) if row[0] != "項目"]
    table = rows_of(seed[number + 2].partition("**評価結果**")[0])[1:]
    assert len(common) == 10 and len(table) >= 12
    for heading, value in common:
        if heading in ("アーキテクチャ", "パラメータ数", "ベースモデル"):
            continue  # each model's own table has the exact value
        assert own[heading] == plain(value), heading
    for heading, value in table:
        printed = own[heading]
        assert printed == value or (value == "Yes" and printed.startswith("Yes ("))


@pytest.mark.parametrize("number", range(6))
def test_the_seeds_results_are_published_as_printed(number, seed):
    published = settings_from(model=SEED[number]).published
    part = seed[number + 2]
    table = {row[0]: row[1:] for row in rows_of(part) if len(row) > 2 or "空" in row[0]}
    headings = re.findall(r"\| Section \|(.*)\|", part)[0].split("|")
    sections = [h.split()[0] for h in headings]
    keys = {"正答数": "correct", "正答率": "accuracy", "空回答": "blank"}
    keys["APIエラー"] = "api_errors"
    found = {r[0]: r[1:] for r in rows_of(part) if r[0] in keys}
    assert table
    for heading, values in found.items():
        for section, value in zip(sections, values, strict=True):
            where = published if section == "Total" else published["sections"][section]
            assert as_number(value) == where[keys[heading]], (heading, section)
    assert published["source"] in seed[0]
    assert published["condition"] in seed[0]
    if "障害内容" in part:
        assert published["failure"] in part and published["remark"] in part
    assert published["verdict"] in part


def as_number(text):
    if text.endswith("%"):
        return float(text[:-1])
    return text if text.endswith("+") else int(text)


def test_the_seeds_summary_row_is_published_as_printed(seed):
    rows = [row for row in rows_of(seed[8]) if row[0].isdigit()]
    assert len(rows) == 6
    for slug, row in zip(SEED, rows, strict=True):
        told = settings_from(model=slug).published["summary"]
        assert [str(each) for each in told.values()] == [c.strip("*") for c in row]


def test_the_reference_row_is_what_the_seed_says_of_it(seed):
    published = settings_from(model="gpt-oss-120b").published
    assert published["sections"] == {"A": {"accuracy": 92.0}}
    assert "gpt-oss-120b は 92.0%（セクションA）" in seed[9]


def test_a_card_reads_in_both_languages():
    safeguard = settings_from(model="safeguard-mxfp4").card
    english, japanese = card_frame(safeguard), card_frame(safeguard, "ja")
    assert english.columns.to_list() == ["key", "what", "value"]
    note = dict(zip(english["what"], english["value"], strict=True))["Note"]
    assert note == "A variant with a safety filter (safeguard)"
    assert as_printed(safeguard)["備考"].startswith("安全性")
    assert english["key"].to_list() == japanese["key"].to_list()
    assert english["key"][0] == "lm_studio_name"
    assert card_frame({}).empty


def test_every_key_of_a_card_that_is_printed_has_a_heading():
    for key in fields.PRINTED:
        assert word("card_row", key, "ja") and word("card_row", key, "en") != key


# --- what a parameter is --------------------------------------------------------------


def test_a_run_keeps_what_a_comparison_holds_fixed():
    """Of the prompt it keeps the words, and it keeps model, exam and base as well."""
    kept = set(of_role(Role.KEPT))
    assert kept - {"model", "exam", "lost_of"} == set(HELD_FIXED) - {"prompt"}
    assert not kept & set(of_role(Role.SITTING))


def test_every_parameter_is_told_with_its_value_and_its_meaning():
    settings = settings_from(model="openai-8bit", seed=3)
    for lang in ("en", "ja"):
        told = settings_frame(settings, lang).set_index("name")
        assert [*told.index, "card", "published"] == list(FIELDS)
        assert (told["meaning"] != told.index).all()
        assert told["value"]["seed"] == "3"
        assert told["value"]["outputs_dir"] == "outputs"
        assert told["value"]["limit"] is None


def test_a_missing_params_is_called_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "none")
    for asked in (slugs, lambda: find_card("openai-8bit")):
        with pytest.raises(IgakuError, match=r"There is no folder .*none, and .*new"):
            asked()


def test_an_exam_may_be_told_by_its_number_and_is_named_by_its_year():
    with pytest.warns(UserWarning, match="116 is the exam of 2022"):
        assert settings_from(model="m", exam="116").exam == 2022
    with pytest.raises(IgakuError, match="exam is 117"):
        settings_from(model="m", exam=117)


def test_a_broken_file_stops_its_own_model_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "bad.yaml").write_text("model: b\nmax_token: 3\n")
    (tmp_path / "good.yaml").write_text("model: g\nmax_tokens: 1k\n")
    with pytest.warns(UserWarning, match=r"bad\.yaml is passed over"):
        assert find_card("another") is None
    with pytest.raises(IgakuError, match=r"good\.yaml: max_tokens is '1k'"):
        find_card("good")


@pytest.mark.parametrize(
    "name", ["第116回 low", "👩‍⚕️ 一回目", "a b-c_d@8bit+1,2", "Ünï #2"]
)
def test_a_run_may_be_called_what_any_disk_holds(name):
    assert settings_from(model="m", run=name).folder.name == name
