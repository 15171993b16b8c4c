"""The ablations: one component coded, the rest untouched, replies counted as served."""

import numpy as np
import pytest
from lab_checkpoint import make_checkpoint

from igaku.errors import IgakuError
from igaku.lab import engines
from igaku.lab.checkpoint import COMPONENTS, open_checkpoint
from igaku.lab.recipes import MXFP4, RECIPES, VARIANTS, Coding
from igaku.mechanism.ablation import (
    FINAL,
    PARTS,
    WHOLE,
    Ablation,
    ablate,
    ablated_weights,
    ablations,
    rounded,
)
from igaku.reading.reply import read_reply

pytestmark = pytest.mark.skipif(
    engines.missing_writer("mlx") is not None, reason="MLX is not installed here"
)
CHATS = {f"900A{n}": [{"role": "user", "content": f"hello {n}"}] for n in range(3)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def test_the_parts_are_the_reference_and_every_component_at_three_precisions():
    assert len(PARTS) == len(set(PARTS)) == 1 + 3 * (len(COMPONENTS) + 2)
    assert PARTS[0] == WHOLE[0] == Ablation("reference")
    assert {a.component for a in PARTS[1:]} == {*COMPONENTS, "non-experts", "all"}
    assert [a.bits for a in PARTS[:4]] == [None, 4, 3, 2]
    assert {a.component for a in WHOLE[1:]} == {*VARIANTS}


@pytest.mark.parametrize("component", COMPONENTS)
def test_only_the_named_component_changes(checkpoint, component):
    source = open_checkpoint(checkpoint)
    before = ablated_weights(source, Ablation("reference"))
    after = ablated_weights(source, Ablation(component, 3))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    parts = {f"{path}.weight" for path, kind in source.parts() if kind == component}
    assert changed == parts


def test_fewer_bits_leave_fewer_values_and_more_error():
    values = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    errors = []
    for bits in (8, 6, 4, 3, 2):
        left = rounded(values, Coding("affine", bits, 64))
        assert max(len(np.unique(row)) for row in left) <= 2**bits
        errors.append(np.abs(left - values).mean())
    assert errors == sorted(errors)
    assert len(np.unique(np.abs(rounded(values, MXFP4)[0, :32]))) <= 8


def test_a_reply_is_counted_and_worded_as_the_server_would(checkpoint):
    replies = ablate(Ablation("attention", 2), CHATS, 5, checkpoint=checkpoint)
    assert [reply.problem_id for reply in replies] == list(CHATS)
    for reply in replies:
        assert reply.finish_reason == "length"
        assert reply.tokens == 5
        assert FINAL not in reply.text
        read = read_reply(reply.body)
        assert read.completion_tokens == 5
        assert read.finish_reason == "length"


def test_all_cases_run_in_processes_and_agree_with_one(checkpoint):
    cases = ((Ablation(), "low"), (Ablation("experts", 2), "high"))
    done = dict(ablations(CHATS, cases, 4, checkpoint=checkpoint, workers=2))
    assert set(done) == set(cases)
    alone = ablate(Ablation("experts", 2), CHATS, 4, "high", checkpoint=checkpoint)
    assert done[cases[1]] == alone


def test_what_cannot_be_ablated_is_a_sentence(checkpoint):
    with pytest.raises(IgakuError, match=r"no component 'heads'.*lm_head"):
        ablate(Ablation("heads", 4), CHATS, checkpoint=checkpoint)
    with pytest.raises(IgakuError, match="1 bits cannot be had"):
        next(ablations(CHATS, [(Ablation("router", 1), None)], checkpoint=checkpoint))


def test_a_recipe_leaves_the_values_that_its_engine_multiplies_by(checkpoint):
    source = open_checkpoint(checkpoint)
    plain = ablated_weights(source, Ablation("reference"))
    for slug in ("mlx-8bit", "gguf-mxfp4", "mxfp4-q4", "all-mxfp4"):
        coded = ablated_weights(source, Ablation(slug))
        for path, component in source.parts():
            values, before = coded[f"{path}.weight"], plain[f"{path}.weight"]
            error = np.sqrt(((values - before) ** 2).mean() / (before**2).mean())
            untouched = RECIPES[slug].codings[component] is None
            assert (error == 0) == untouched, (slug, path)
            eight_bits = slug != "all-mxfp4" and component != "experts"
            assert error < (0.02 if eight_bits and slug != "mxfp4-q4" else 0.25)


def test_non_experts_are_everything_else(checkpoint):
    source = open_checkpoint(checkpoint)
    plain = ablated_weights(source, Ablation("reference"))
    coded = ablated_weights(source, Ablation("non-experts", 2))
    for path, component in source.parts():
        name = f"{path}.weight"
        same = np.array_equal(coded[name], plain[name])
        assert same == (component == "experts")
