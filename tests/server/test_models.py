"""The models of params/ and of a server side by side, and cards of its word."""

import pandas as pd
import pytest
import yaml
from lm_studio import LMStudio
from stand_in import StandIn
from typer.testing import CliRunner

from igaku import paths
from igaku.ask.preflight import check
from igaku.cli import app
from igaku.errors import IgakuError
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from
from igaku.server.models import card_from, models, save_card

TENSORS = 96_576_768
LISTED = {"id": "smol", "object": "model", "owned_by": "llamacpp",
          "meta": {"size": TENSORS, "n_ctx_train": 8192}}  # fmt: skip


@pytest.fixture
def llama_cpp():
    """The stand-in in the words of llama.cpp, which counts tensors."""
    with StandIn(models=("smol",)) as server:
        server.facts["/v1/models"] = {"object": "list", "data": [LISTED]}
        server.facts["/props"] = {
            "model_path": "/models/smol.gguf", "model_alias": "smol",
            "model_ftype": "Q4_1", "total_slots": 1,
            "default_generation_settings": {"n_ctx": 4096},
        }  # fmt: skip
        yield server


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    monkeypatch.setattr(paths, "WORKBOOK", tmp_path)
    (tmp_path / "params").mkdir()
    return tmp_path


def test_every_model_of_params_is_held_against_what_the_server_lists():
    with LMStudio() as server:
        found, address = models(server.base_url)
    assert address == server.base_url
    rows = found.set_index("slug")
    there = rows["server"].dropna().index
    assert {"openai-8bit", "mlx-community-mxfp4-q4", "safeguard-mxfp4"} <= set(there)
    assert pd.isna(rows.loc["gpt-oss-120b", "server"])
    assert set(rows["fit"].dropna()) <= {"fits", "differs", "not told"}
    assert rows.loc["mlx-community-mxfp4-q4", "loaded"] == False  # noqa: E712
    assert rows.loc["openai-8bit", "size_gb"] == 22.26


def test_a_model_without_a_file_is_listed_by_its_name(llama_cpp, workbook):
    found, _ = models(llama_cpp.base_url)
    (row,) = found.to_dict("records")
    assert row["server"] == "smol" and pd.isna(row["slug"])
    assert row["quantization"] == "Q4_1" and row["loaded"] is True


def test_the_way_from_the_list_to_a_run_is_told(llama_cpp, workbook):
    told = CliRunner().invoke(app, ["models", "--base-url", llama_cpp.base_url])
    command = f"card NAME --base-url {llama_cpp.base_url} --write"
    assert told.stdout.endswith(f"gets a file by: igaku {command}\n")
    told = CliRunner().invoke(app, command.replace("NAME", "smol").split())
    assert told.stdout == f"{workbook / 'params/smol.yaml'}\n"
    assert told.stderr == "Now it can be asked by: igaku run smol\n"


def test_a_server_that_is_down_leaves_what_params_knows(workbook):
    (workbook / "params/mine.yaml").write_text("model: mine\n")
    found, _ = models("http://127.0.0.1:9/v1")
    assert found["slug"].tolist() == ["mine"] and found["server"].isna().all()


def test_a_card_of_the_servers_word_is_then_verified_by_it(llama_cpp, workbook):
    assert card_from("smol", llama_cpp.base_url).card == {
        "format": "gguf", "quantization": "Q4_1", "tensor_bytes": TENSORS,
        "context_length": 8192,
    }  # fmt: skip
    path = save_card("smol", llama_cpp.base_url)
    assert path == workbook / "params" / "smol.yaml"
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)["base_url"] == llama_cpp.base_url
    assert "# huggingface_id:" in text and "size_gb" not in text
    settings = settings_from(
        model="smol", exam="calibration", shots=0, outputs_dir=workbook
    )
    told = []
    questions = load_exam("calibration")[:1]
    found = check(settings, questions, tell=lambda what, value: told.append(what))
    assert found["weights"] == "verified" and list(found) == told
    assert told.index("listed_as") < told.index("said")


def test_a_card_that_is_there_stays_and_the_difference_is_told(llama_cpp, workbook):
    mine = workbook / "params/smol.yaml"
    mine.write_text("model: smol\ncard: {format: gguf, tensor_bytes: 5}\n")
    with pytest.raises(IgakuError, match=rf"tensor_bytes: {TENSORS} \(there: 5\)"):
        save_card("smol", llama_cpp.base_url)
    assert "tensor_bytes: 5}" in mine.read_text("utf-8")


def test_a_model_that_the_server_has_not_is_no_card(llama_cpp, workbook):
    with pytest.raises(IgakuError, match="says nothing of other: it lists smol"):
        card_from("other", llama_cpp.base_url)


def test_a_refused_card_names_the_value_that_would_mend_it(llama_cpp, workbook):
    (workbook / "params/smol.yaml").write_text(
        "model: smol\ncard: {format: gguf, quantization: Q4_1, size_bytes: 98362432}\n"
    )
    settings = settings_from(
        model="smol", exam="calibration", base_url=llama_cpp.base_url,
        outputs_dir=workbook,
    )  # fmt: skip
    with pytest.raises(IgakuError, match=f"tensor_bytes: {TENSORS}"):
        check(settings, load_exam("calibration")[:1])


def test_without_a_file_the_check_says_how_to_make_one(llama_cpp, workbook):
    settings = settings_from(
        model="smol", exam="calibration", base_url=llama_cpp.base_url,
        outputs_dir=workbook,
    )  # fmt: skip
    found = check(settings, load_exam("calibration")[:1])
    assert "igaku card smol --write" in found["why"]


@pytest.mark.parametrize(
    "base_url", ["http://[::1/v1", "http://h:port/v1", "http://me:Zx81pQr55T@h/v1"]
)
def test_an_address_that_is_none_is_a_sentence_here_too(base_url):
    with pytest.raises(IgakuError, match="base_url") as refused:
        models(base_url)
    assert "Zx81" not in str(refused.value)
