"""The server's own word on its weights, in each server's dialect, against a card."""

import pytest

from igaku.params.settings import settings_from
from igaku.reading.reply import read_reply
from igaku.server.fingerprint import Fingerprint, fingerprint
from igaku.server.identity import (
    bits_in,
    contradiction,
    identify,
    later,
)

SEED = (
    "openai-8bit",
    "openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8",
    "mlx-community-mxfp4-q4",
    "inferenceillusionist-4bit",
    "safeguard-mxfp4",
)
HUB = "openai/gpt-oss-20b"
Q8 = "mlx-community/gpt-oss-20b-mxfp4-q8"


def listed(key=HUB, size=22_256_000_000, loaded=None, **changes):
    """LM Studio's listing of one model that is loaded, as `/api/v1/models` has it."""
    row = {
        "type": "llm",
        "key": key,
        "quantization": {"name": "8bit", "bits_per_weight": 8},
        "size_bytes": size,
        "format": "mlx",
        "variants": [f"{HUB}@8bit", f"{HUB}@mxfp4"],
        "selected_variant": f"{HUB}@8bit",
        "loaded_instances": [
            {
                "id": loaded or key,
                "config": {"context_length": 8192, "parallel": 1},
            }
        ],
        "capabilities": {"reasoning": {"allowed_options": ["low"], "default": "low"}},
    }
    return {"/api/v1/models": {"models": [row | changes]}}


def reply(**info):
    """A chat completion with what `/api/v0/chat/completions` adds to it."""
    message = {"message": {"content": "c"}, "finish_reason": "stop"}
    return {"model": HUB, "choices": [message], "model_info": info}


OWN = reply(format="mlx", quant="8bit", context_length=8192)
GGUF = reply(format="gguf", quant="MXFP4", context_length=8192)


# --- LM Studio ------------------------------------------------------------------------


def test_lm_studio_says_enough_to_verify_a_variant():
    found = identify(settings_from(model="openai-8bit"), listed(), OWN)
    assert (found.status, found.why) == ("verified", None)
    said = found.fingerprint
    assert said.source == "/api/v1/models"
    assert (said.variant, said.format, said.bits_per_weight) == ("8bit", "mlx", 8)
    assert (said.context_length, said.parallel, said.effort) == (8192, 1, "low")
    assert all(check.agrees for check in found.checks)


def test_a_chosen_variant_is_no_proof_that_it_is_loaded():
    """The listing tells what is chosen under My Models; no reply has told yet."""
    found = identify(settings_from(model="openai-8bit"), listed())
    assert found.status == "unverified" and "is chosen, not which" in found.why
    other = identify(settings_from(model="openai-8bit"), listed(), GGUF)
    assert other.status == "wrong_model"


def test_a_reply_acquits_a_variant_that_is_not_the_chosen_one():
    """Both variants can be in memory, and the choice stays what it was."""
    settings = settings_from(model="openai-mxfp4-gguf")
    assert identify(settings, listed(), GGUF).status == "verified"
    assert identify(settings, listed(), doubt=False).status == "unverified"
    assert identify(settings, listed()).status == "wrong_model"
    assert identify(settings, listed(), OWN).status == "wrong_model"


def test_nothing_in_memory_is_no_wrong_model():
    facts = listed(loaded_instances=[])
    settings = settings_from(model="openai-mxfp4-gguf")
    assert identify(settings, facts).status == "unverified"
    assert identify(settings, facts, GGUF).status == "verified"


def test_sources_that_contradict_each_other_prove_nothing():
    row = {"id": Q8, "compatibility_type": "gguf", "state": "loaded"}
    facts = listed(key=Q8, size=12_100_000_000, variants=[], selected_variant=None)
    facts["/api/v1/models"]["models"][0]["quantization"] = {"name": "MXFP4"}
    settings = settings_from(model="mlx-community-mxfp4-q8")
    assert identify(settings, facts).status == "verified"
    found = identify(settings, facts | {"/api/v0/models": {"data": [row]}})
    assert found.status == "wrong_model" and "format gguf" in found.why


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"size": 12_110_000_000}, "size"),
        ({"format": "gguf"}, "format"),
        ({"quantization": {"name": "MXFP4", "bits_per_weight": 4}}, "quantization"),
        ({"selected_variant": f"{HUB}@mxfp4"}, "variant"),
        ({"key": "google/gemma-3", "variants": [HUB]}, "name"),
    ],
)
def test_whatever_disagrees_with_the_card_is_a_wrong_model(changes, what):
    found = identify(settings_from(model="openai-8bit"), listed(**changes))
    assert found.status == "wrong_model"
    assert what in [check.what for check in found.checks if check.agrees is False]
    assert what in found.why and "load openai/gpt-oss-20b@8bit" in found.why


def test_the_seeds_error_is_seen():
    """Rows 1 and 2 of the seed: the GGUF asked for, the 8-bit MLX loaded."""
    found = identify(settings_from(model="openai-mxfp4-gguf"), listed())
    assert found.status == "wrong_model"
    assert "size 22.26 GB, not 12.11 GB" in found.why


@pytest.mark.parametrize("slug", SEED)
@pytest.mark.parametrize("other", SEED)
def test_of_the_six_each_card_fits_its_own_weights_alone(slug, other):
    """Sizes half a per cent apart are told apart by name, and by format or bits."""
    served = settings_from(model=other)
    variant = served.model.partition("@")[2]
    instance = f"loaded@{variant}" if variant else "loaded"
    card = settings_from(model=slug, identifier=instance)
    key, _, variant = served.model.partition("@")
    facts = listed(
        key=key,
        loaded=instance,
        size=round(served.card["size_gb"] * 1e9),
        format="gguf" if "GGUF" in served.card["format"] else "mlx",
        quantization={"name": served.card["quantization"]},
        variants=[],
        selected_variant=f"{key}@{variant}" if variant else None,
    )
    expected = "verified" if slug == other else "wrong_model"
    assert identify(card, facts).status == expected


def test_an_instance_is_found_by_its_identifier():
    settings = settings_from(model="openai-8bit", identifier="mine")
    assert identify(settings, listed(loaded="mine"), OWN).status == "verified"
    other = listed(key="google/gemma-3", variants=[], loaded="mine")
    assert identify(settings, other).status == "wrong_model"


def test_another_variants_size_is_not_taken_for_the_loaded_ones():
    """The listing's size is the selected variant's; the instance names another."""
    facts = listed(loaded=f"{HUB}@mxfp4")
    settings = settings_from(model="openai-mxfp4-gguf")
    found = identify(settings, facts)
    assert (found.status, found.fingerprint.size_bytes) == ("unverified", None)
    shown = identify(settings, facts, reply(format="gguf", quant="MXFP4"))
    assert shown.status == "verified"
    wrong = identify(settings, facts, reply(format="mlx", quant="8bit"))
    assert wrong.status == "wrong_model"


def test_the_older_listing_alone_proves_nothing():
    row = {"id": HUB, "compatibility_type": "mlx", "quantization": "8bit"}
    found = identify(
        settings_from(model="openai-8bit"), {"/api/v0/models": {"data": [row]}}
    )
    assert found.status == "unverified" and "not say enough" in found.why
    row["quantization"] = "4bit"
    found = identify(
        settings_from(model="openai-8bit"), {"/api/v0/models": {"data": [row]}}
    )
    assert found.status == "wrong_model"


def test_every_reply_can_give_another_model_away():
    settings = settings_from(model="openai-8bit")
    told = read_reply(reply(format="mlx", quant="8bit"))
    assert contradiction(settings, told) is None
    told = read_reply(reply(format="gguf", quant="MXFP4"))
    assert "format gguf, not safetensors (MLX)" in contradiction(settings, told)
    told = read_reply(reply() | {"model": "google/gemma-3"})
    assert "answered as google/gemma-3" in contradiction(settings, told)


def test_a_reply_may_carry_the_identifier():
    settings = settings_from(model="openai-8bit", identifier="mine")
    told = read_reply(reply() | {"model": "mine"})
    assert contradiction(settings, told) is None
    assert contradiction(settings, told, listed(loaded="mine")) is None
    gemma = {"key": "google/gemma-3", "variants": [], "selected_variant": None}
    other = listed(loaded="mine", **gemma)
    assert "not as openai/gpt-oss-20b@8bit" in contradiction(settings, told, other)


# --- other servers --------------------------------------------------------------------


def test_ollama_shows_format_and_level_and_lists_bytes():
    facts = {
        "/api/version": {"version": "0.12"},
        "/api/show": {"details": {"format": "gguf", "quantization_level": "MXFP4"}},
        "/api/tags": {"models": [{"name": "gpt-oss:20b", "size": 13_793_441_244}]},
    }
    card = {"format": "GGUF", "quantization": "MXFP4", "size_gb": 13.79}
    settings = settings_from(model="gpt-oss:20b", card=card)
    found = identify(settings, facts)
    assert found.status == "verified"
    assert found.fingerprint.source == "/api/show, /api/tags"
    other = settings_from(model="gpt-oss:20b", card=card | {"size_gb": 12.11})
    assert identify(other, facts).status == "wrong_model"


def test_llama_cpp_counts_its_tensors():
    """Measured: the file of the lab's model is 4 % larger than its tensors."""
    meta = {"size": 856_112, "ftype": "MXFP4 MoE"}
    facts = {
        "/props": {"model_path": "/m.gguf", "model_alias": "m", "total_slots": 8},
        "/v1/models": {"data": [{"id": "m", "owned_by": "llamacpp", "meta": meta}]},
    }
    card = {"format": "GGUF", "quantization": "MXFP4", "size_bytes": 888_352}
    settings = settings_from(model="m", card=card | {"tensor_bytes": 856_112})
    assert identify(settings, facts).status == "verified"
    assert identify(settings_from(model="m", card=card), facts).status == "wrong_model"


def test_a_size_of_two_decimals_is_right_within_its_rounding():
    meta = {"size": 96_576_768, "ftype": "Q4_1"}
    facts = {
        "/props": {"model_path": "/m.gguf", "model_alias": "m", "total_slots": 1},
        "/v1/models": {"data": [{"id": "m", "owned_by": "llamacpp", "meta": meta}]},
    }
    card = {"format": "GGUF", "quantization": "Q4_1"}
    own = settings_from(model="m", card=card | {"size_gb": 0.10})
    assert identify(own, facts).status == "verified"
    other = settings_from(model="m", card=card | {"size_gb": 0.11})
    assert identify(other, facts).status == "wrong_model"


@pytest.mark.parametrize("facts", [{}, {"/v1/models": {"data": [{"id": "m"}]}}])
def test_a_server_that_says_nothing_leaves_the_weights_unverified(facts):
    settings = settings_from(model="m", card={"size_gb": 12.11})
    found = identify(settings, facts)
    assert found.status == "unverified" and "says nothing" in found.why
    of_no_size = settings_from(model="m", card={"format": "gguf"})
    assert "has no size to compare the server's with" in identify(of_no_size, facts).why
    of_no_file = identify(settings_from(model="m"), facts)
    assert "There is no params/m.yaml" in of_no_file.why
    assert "`igaku card m --write`" in of_no_file.why


def test_vllm_names_itself_and_no_weights():
    row = {"id": "m", "owned_by": "vllm", "max_model_len": 4096}
    found = fingerprint({"/v1/models": {"data": [row]}}, "m")
    assert (found.runtime, found.context_length) == ("vllm", 4096)
    assert found.size_bytes is None


# --- before and after -----------------------------------------------------------------


def test_what_comes_later_counts_where_it_says_something():
    settings = settings_from(model="openai-8bit")
    right, silent = identify(settings, listed(), OWN), identify(settings, {})
    wrong = identify(settings, listed(size=12_110_000_000))
    assert later(right, silent) == right
    assert later(right, wrong) == wrong
    assert later(wrong, right) == wrong
    assert later(right, right).status == "verified"
    assert later(silent, right).status == "unverified"


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("8bit", {8}),
        ("4-bit", {4}),
        ("MXFP4 (4bit weights) + Q8 (non-weights)", {4, 8}),
        ("MXFP4 MoE", {4}),
        ("Q4_K_M", {4}),
        ("IQ3_XXS", {3}),
        ("BF16", {16}),
        ("F32", {32}),
        ("", set()),
        (None, set()),
        ("unknown", set()),
    ],
)
def test_the_bits_in_a_quantizations_name(name, bits):
    assert bits_in(name) == bits


def test_strange_listings_are_no_trouble():
    odd = {
        "/api/v1/models": {"models": [{"key": 7, "loaded_instances": "x"}, None]},
        "/api/v0/models": {"data": "x"},
        "/props": {"model_path": 1, "default_generation_settings": []},
        "/api/show": {"details": "x"},
        "/v1/models": {"data": [{"id": "m", "meta": []}]},
    }
    assert fingerprint(odd, "m") == Fingerprint(source="/v1/models", name="m")
