"""The recipes: what they write, that engines read it, that it is whole or absent."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from lab_checkpoint import decoded, make_checkpoint, make_released

from igaku.errors import IgakuError
from igaku.lab import checkpoint as checkpoints
from igaku.lab import engines, forward, mxfp4, variants
from igaku.lab.checkpoint import EXPERT_PARTS, open_checkpoint
from igaku.lab.recipes import RECIPES, find_recipe
from igaku.lab.variants import model_card, quantize

MLX = [name for name, recipe in RECIPES.items() if recipe.engine == "mlx"]
A8, A4, A2 = (("affine", bits, 64) for bits in (8, 4, 2))
M4 = ("mxfp4", 4, 32)
# Of the published folders: experts, attention, embedding, lm_head, router.
LAYOUTS = {
    "mlx-8bit": (A8, A8, A8, A8, A8),
    "mxfp4-q8": (M4, A8, A8, A8, A8),
    "mxfp4-q4": (M4, A4, A4, A4, A8),
    "mxfp4-q2": (M4, A2, A2, A2, A8),
    "mlx-4bit": (A4, A4, A4, A4, A4),
    "all-mxfp4": (M4, M4, M4, M4, A8),
    "float32": (None,) * 5,
}
# GB of the published folders; MLX ones without their 0.028 GB of tokenizer.json.
PUBLISHED = {
    "mlx-8bit": 22.232,
    "gguf-mxfp4": 12.11,
    "mxfp4-q8": 12.072,
    "mxfp4-q4": 11.182,
    "mlx-4bit": 11.772,
    "all-mxfp4": 11.122,
}

needs_mlx = pytest.mark.skipif(
    engines.missing_writer("mlx") is not None, reason="MLX is not installed here"
)
needs_gguf = pytest.mark.skipif(
    engines.missing_writer("llama.cpp") is not None, reason="gguf is not installed here"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def written(tmp_path_factory, plain, released):
    """Folders of both checkpoints by recipe, each written once."""
    root, made = tmp_path_factory.mktemp("written"), {}

    def folder(source, recipe):
        key = source, recipe
        if key not in made:
            checkpoint = {"plain": plain, "released": released}[source]
            made[key] = quantize(recipe, checkpoint, root / f"{source}-{recipe}")
        return made[key]

    return folder


def test_mxfp4_takes_the_nearest_code_and_ties_go_to_the_even_one():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5, 64)).astype(np.float32)
    coded = mxfp4.encode(values)
    groups = values.reshape(5, 2, 32)
    scale = np.ldexp(1.0, coded.scales.astype(int) - 127)[..., None]
    grid = np.concatenate([mxfp4.MAGNITUDES, -mxfp4.MAGNITUDES])
    nearest = np.abs(groups[..., None] / scale[..., None] - grid).min(-1)
    error = np.abs(coded.decode().reshape(5, 2, 32) - groups) / scale
    assert np.allclose(error, nearest)
    ties = np.zeros((1, 32), np.float32)
    ties[0, :9] = [6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -2.5]
    assert mxfp4.encode(ties).decode()[0, :9].tolist() == [6, 0, 1, 1, 2, 2, 4, 4, -2]


@pytest.mark.parametrize("peak", [0.5, 1, 1.5, 2, 3, 4, 6])
def test_what_mxfp4_can_hold_survives_it_whatever_its_scale_was(peak):
    values = np.array([[*mxfp4.VALUES, *mxfp4.VALUES]])
    values = np.ldexp(np.where(np.abs(values) <= peak, values, 0), -9)
    assert np.array_equal(mxfp4.encode(values).decode(), values)


def test_zeros_and_a_wide_range_are_coded():
    values = np.zeros((1, 64), np.float32)
    values[0, 40] = 1e30
    kept = mxfp4.encode(values).decode()
    assert not kept[0, :40].any()
    assert kept[0, 40] == pytest.approx(1e30, rel=0.2)


@needs_mlx
@needs_gguf
@pytest.mark.parametrize("source", ["plain", "released"])
def test_native_experts_are_the_same_numbers_in_both_formats(written, source):
    gguf = tensors_of_gguf(written(source, "gguf-mxfp4"))
    for recipe in ("mxfp4-q8", "mxfp4-q4", "all-mxfp4"):
        mlx = decoded(written(source, recipe))
        for layer in range(4):
            for part in EXPERT_PARTS:
                path = f"model.layers.{layer}.mlp.experts.{part}_proj.weight"
                twin = gguf[f"blk.{layer}.ffn_{part}_exps.weight"]
                assert np.array_equal(mlx[path], twin), (recipe, path)


def test_released_codes_are_those_of_the_plain_weights(plain, released):
    ours, theirs = open_checkpoint(plain), open_checkpoint(released)
    assert theirs.released
    assert not ours.released
    for part in EXPERT_PARTS:
        path = f"model.layers.2.mlp.experts.{part}_proj"
        a, b = ours.expert_codes(path), theirs.expert_codes(path)
        assert np.array_equal(a.blocks, b.blocks)
        assert np.array_equal(a.scales, b.scales)
    assert ours.parameters == theirs.parameters


@needs_mlx
@pytest.mark.parametrize("source", ["plain", "released"])
@pytest.mark.parametrize("recipe", MLX)
def test_mlx_lm_loads_each_folder_with_the_published_layout(written, source, recipe):
    from mlx_lm.utils import load_model

    model, _ = load_model(written(source, recipe))
    experts, attention, embedding, head, router = LAYOUTS[recipe]
    for layer in model.model.layers:
        for name in ("gate_proj", "up_proj", "down_proj"):
            assert coding(layer.mlp.experts[name]) == experts
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            assert coding(layer.self_attn[name]) == attention
        assert coding(layer.mlp.router) == router
        assert coding(layer.input_layernorm) is None
    assert coding(model.model.embed_tokens) == embedding
    assert coding(model.lm_head) == head


def coding(module):
    if not hasattr(module, "bits"):
        return None
    return module.mode, module.bits, module.group_size


@needs_gguf
def test_gguf_holds_the_published_types(written):
    import gguf

    reader = gguf.GGUFReader(written("plain", "gguf-mxfp4") / "model.gguf")
    kinds = [tensor.tensor_type.name for tensor in reader.tensors]
    # With 24 layers this is 72 + 98 + 289 = 459, as llama.cpp's log has it.
    assert kinds.count("MXFP4") == 3 * 4
    assert kinds.count("Q8_0") == 4 * 4 + 2
    assert kinds.count("F32") == 12 * 4 + 1
    for tensor in reader.tensors:
        name = tensor.name
        expected = "MXFP4" if name.endswith("_exps.weight") else "Q8_0"
        if tensor.data.ndim == 1 or ".ffn_gate_inp." in name or "bias" in name:
            expected = "F32"
        assert tensor.tensor_type.name == expected, name


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_recipe_on_the_20b_would_have_the_published_size(recipe):
    shapes = {"experts": 19.110e9, "attention": 0.637e9, "router": 2.2e6}
    shapes |= {"embedding": 0.579e9, "lm_head": 0.579e9}
    overhead = {"affine": 32 / 64, "mxfp4": 8 / 32, "q8_0": 16 / 32}
    plain = 32 if recipe == "gguf-mxfp4" else 16
    bits = plain * 7.0e6  # norms, sinks and biases
    for component, coding in find_recipe(recipe).codings.items():
        each = coding.bits + overhead[coding.mode] if coding else 32
        bits += shapes[component] * each
    assert bits / 8e9 == pytest.approx(PUBLISHED[recipe], abs=0.025)


@needs_mlx
@pytest.mark.parametrize("recipe", MLX)
def test_mlx_computes_what_the_reference_computes(written, plain, recipe):
    import mlx.core as mx
    from mlx_lm.utils import load_model

    tokens = np.random.default_rng(1).integers(9, 270, 50).tolist()
    folder = written("plain", recipe)
    model, _ = load_model(folder)
    theirs = np.array(model(mx.array([tokens])))[0]
    net = forward.network(open_checkpoint(plain), decoded(folder))
    ours = forward.logits(net, tokens)
    assert np.abs(ours - theirs).max() < 1e-4


def test_the_reference_computes_what_transformers_computes(plain):
    torch = pytest.importorskip(
        "torch", reason="torch trains; it is not installed here"
    )
    transformers = pytest.importorskip("transformers")
    model = transformers.GptOssForCausalLM.from_pretrained(
        plain, attn_implementation="eager", dtype=torch.float32
    )
    tokens = np.random.default_rng(2).integers(9, 270, 50).tolist()
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    source = open_checkpoint(plain)
    net = forward.network(source, forward.plain_weights(source))
    assert np.abs(forward.logits(net, tokens) - theirs).max() < 1e-4


def test_decoding_in_a_batch_is_decoding_one_by_one(plain):
    source = open_checkpoint(plain)
    net = forward.network(source, forward.plain_weights(source))
    rng = np.random.default_rng(3)
    prompts = [rng.integers(9, 270, n).tolist() for n in (30, 5, 20, 12)]
    stop = {int(forward.logits(net, prompts[1])[-1].argmax())}
    replies = forward.generate(net, prompts, 12, stop)
    assert replies[1] == ([], True)
    for prompt, (tokens, stopped) in zip(prompts, replies, strict=True):
        ids = list(prompt)
        for token in tokens:
            assert forward.logits(net, ids)[-1].argmax() == token
            ids.append(token)
        assert stopped or len(tokens) == 12


@needs_mlx
def test_the_card_of_a_folder_says_what_it_weighs(written):
    card = model_card(written("released", "mxfp4-q4"))
    folder = written("released", "mxfp4-q4")
    assert card["layout"]["attention"] == "affine 4-bit, group 64"
    assert card["layout"]["experts"] == "MXFP4, group 32"
    assert 4.25 < card["bits_per_weight"] < 4.6
    on_disk = {p.name: p.stat().st_size for p in folder.iterdir()}
    assert on_disk.pop("recipe.json")
    assert {n: f["bytes"] for n, f in card["files"].items()} == on_disk
    assert card["size_bytes"] == sum(on_disk.values())
    whole = model_card(written("plain", "float32"))
    assert whole["bits_per_weight"] == 32


@needs_mlx
@needs_gguf
@pytest.mark.parametrize("recipe", ["mlx-4bit", "gguf-mxfp4"])
def test_the_same_weights_give_the_same_bytes(written, plain, tmp_path, recipe):
    again = quantize(recipe, plain, tmp_path / "again")
    first, second = model_card(written("plain", recipe)), model_card(again)
    assert first["files"] == second["files"]


@needs_mlx
def test_a_large_model_becomes_numbered_files(plain, tmp_path, monkeypatch):
    from mlx_lm.utils import load_model

    from igaku.lab import mlx_folder

    monkeypatch.setattr(mlx_folder, "SHARD_BYTES", 300_000)
    folder = quantize("mxfp4-q8", plain, tmp_path / "sharded")
    shards = sorted(p.name for p in folder.glob("model*.safetensors"))
    assert len(shards) > 2
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert sorted(set(index["weight_map"].values())) == shards
    load_model(folder)


@needs_mlx
def test_a_variant_is_kept_and_a_torn_one_is_made_anew(plain, tmp_path, monkeypatch):
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path))
    folder = quantize("mxfp4-q4", plain)
    assert tmp_path in folder.parents
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert quantize("lab-mxfp4-q4", plain) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    assert quantize("mxfp4-q4", plain) == folder
    assert (folder / "model.safetensors").stat().st_size > 1000
    (folder / "recipe.json").unlink()
    quantize("mxfp4-q4", plain)
    assert model_card(folder)["recipe"] == "mxfp4-q4"


@needs_mlx
def test_four_at_once_make_one_folder(plain, tmp_path, monkeypatch):
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path))
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(quantize("mlx-4bit", plain)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    assert [p.name for p in made[0].parent.iterdir()] == ["mlx-4bit"]


@needs_gguf
def test_a_folder_of_someone_else_is_left_alone(plain, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(IgakuError, match="name another folder"):
        quantize("gguf-mxfp4", plain, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@needs_mlx
@needs_gguf
@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX's")
@pytest.mark.parametrize("recipe", ["mlx-8bit", "gguf-mxfp4"])
def test_a_full_disk_leaves_nothing_behind(plain, tmp_path, recipe):
    script = (
        "import resource, sys; from igaku.lab.variants import quantize\n"
        "from igaku.errors import IgakuError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try: quantize(*sys.argv[1:])\n"
        "except IgakuError as problem: sys.exit(f'igaku: {problem}')\n"
    )
    target = tmp_path / "out" / "variant"
    command = [sys.executable, "-c", script, recipe, str(plain), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"igaku: {target} could not be written (")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


@needs_gguf
def test_too_little_room_is_said_before_the_work(plain, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(variants.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(IgakuError, match="0 MB are free, 1 may be needed"):
        quantize("gguf-mxfp4", plain, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_recipe_names_the_known_ones(plain, tmp_path):
    with pytest.raises(IgakuError, match=r"no recipe 'mxfp5'.*mxfp4-q8"):
        quantize("mxfp5", plain, tmp_path / "x")


def test_a_missing_engine_is_a_sentence(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_is_there", lambda name: False)
    with pytest.raises(IgakuError, match=r"mlx-8bit cannot be written here: .*mlx"):
        quantize("mlx-8bit", plain, tmp_path / "x")
    for system, machine in (("Windows", "AMD64"), ("Darwin", "x86_64")):
        monkeypatch.setattr(engines.platform, "system", lambda s=system: s)
        monkeypatch.setattr(engines.platform, "machine", lambda m=machine: m)
        reason = engines.missing_engine("lab-mxfp4-q8")
        assert reason == f"MLX has no build for {system} on {machine}"
        assert "gguf cannot be imported" in engines.missing_engine("lab-gguf-mxfp4")
    monkeypatch.setattr(engines.platform, "system", lambda: "Linux")
    monkeypatch.setattr(engines.platform, "libc_ver", lambda: ("glibc", "2.31"))
    assert "glibc 2.35" in engines.missing_engine("mlx-4bit")


def broken(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


CASES = {
    "no config": (lambda f: (f / "config.json").unlink(), "not a checkpoint folder"),
    "torn config": (lambda f: (f / "config.json").write_text("{"), "not a checkpoint"),
    "another model": (lambda f: broken(f, model_type="llama"), "'llama'.*gpt_oss"),
    "MLX already": (lambda f: broken(f, quantization={}), "quantized for MLX already"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "is missing"),
    "cut weights": (lambda f: os.truncate(f / "model.safetensors", 10**6), "cut short"),
    "foreign weights": (
        lambda f: (f / "model.safetensors").write_bytes(b"GGUF" * 99),
        "not a safetensors file",
    ),
    "more layers": (lambda f: broken(f, num_hidden_layers=5), "lacks the tensor"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json"),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), "no chat_template"),
    "other splitter": (
        lambda f: (f / "tokenizer.json").write_text(
            (f / "tokenizer.json").read_text().replace("p{N}", "p{Nd}")
        ),
        "no name for",
    ),
}


@needs_gguf
def test_rows_that_are_not_whole_groups_are_one_sentence(tmp_path):
    folder = make_checkpoint(tmp_path / "checkpoint", inter=80)
    with pytest.raises(
        IgakuError, match=r"down_proj has rows of 80, and MXFP4.* 32 at"
    ):
        quantize("gguf-mxfp4", folder, tmp_path / "out")


def test_weights_of_another_type_are_one_sentence(tmp_path):
    folder = make_checkpoint(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(IgakuError, match=r"holds .* as I32: .*float32 or bfloat16"):
        checkpoints.open_checkpoint(folder)


@needs_gguf
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_that_is_not_whole_is_one_sentence(tmp_path, case):
    folder = make_checkpoint(tmp_path / "checkpoint")
    spoil, sentence = CASES[case]
    spoil(folder)
    with pytest.raises(IgakuError, match=sentence) as problem:
        quantize("gguf-mxfp4", folder, tmp_path / "out")
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint"]


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = make_released(tmp_path)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        IgakuError, match=r"model-00002-of-00002\.safetensors is missing"
    ):
        checkpoints.open_checkpoint(folder)


def tensors_of_gguf(folder):
    import gguf

    reader = gguf.GGUFReader(folder / "model.gguf")
    return {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
