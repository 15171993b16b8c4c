"""The shipped weights: they are what their card says, and they reason."""

import hashlib
import json

import pytest

from igaku.exam.calibration import MEASUREMENTS, SMALL, Problem
from igaku.exam.questions import load_exam, stratified
from igaku.lab.engines import missing_writer
from igaku.lab.recipes import LLAMA_CPP, MLX
from igaku.mechanism.sitting import chats_of
from igaku.reading.turns import turn_of
from train.card import BUDGET, card_markdown, shipped_card, sit
from train.dialogue import WEIGHTS, render, reply_text

CARD = json.loads((WEIGHTS / "card.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def questions():
    if reason := missing_writer(MLX):
        pytest.skip(f"the reference cannot run here: {reason}")
    return stratified(load_exam("calibration", serial_context="joined"), 40)


def test_the_card_speaks_of_these_weights():
    body = (WEIGHTS / "model.safetensors").read_bytes()
    assert hashlib.sha256(body).hexdigest() == CARD["sha256"]
    assert len(body) == CARD["bytes"] <= 8_000_000


def test_the_card_reports_what_the_lab_needs():
    assert CARD["measured"]["medium"]["n"] == 400
    assert CARD["measured"]["medium"]["accuracy"] >= 0.85
    assert CARD["measured"]["medium"]["blank"] < 0.01


def test_card_md_is_written_from_the_figures():
    if reason := missing_writer(MLX) or missing_writer(LLAMA_CPP):
        pytest.skip(f"the variants cannot be made here: {reason}")
    assert (WEIGHTS / "card.md").read_text("utf-8") == shipped_card()


def test_a_changed_figure_changes_the_card():
    variants = [
        {
            "recipe": "x",
            "engine": "mlx",
            "size_bytes": 1,
            "tensor_bytes": 1,
            "parameters": 8,
            "bits_per_weight": 1.0,
        }
    ]
    other = CARD | {"sha256": "0" * 64}
    assert "0" * 64 in card_markdown(other, variants)
    assert card_markdown(CARD, variants) != card_markdown(other, variants)


def test_it_answers_unseen_questions_within_the_budget(questions):
    scored = sit(WEIGHTS, questions, "medium", BUDGET)
    assert scored["accuracy"] >= 0.85
    assert scored["blank"] == 0


def test_more_effort_makes_longer_replies(questions):
    few = questions[:12]
    lengths = [
        sit(WEIGHTS, few, effort, 2 * BUDGET)["mean_tokens"]
        for effort in ("low", "medium", "high")
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_what_it_learns_is_a_whole_harmony_reply():
    problem = Problem("kth", (27, 58, 35, 86, 14), SMALL, 2, MEASUREMENTS[0])
    turn = turn_of(reply_text(problem, "low"))
    assert (turn.said, turn.thought) == ("a", "1:14e;2:27a")


def test_the_trained_network_and_the_reference_agree(questions):
    torch = pytest.importorskip("torch", reason="torch is needed for training only")
    tokenizers = pytest.importorskip("tokenizers")
    from igaku.lab import forward
    from igaku.lab.checkpoint import open_checkpoint
    from igaku.mechanism.ablation import Ablation, ablated_weights
    from train.network import Shape, TinyGptOss

    safetensors = pytest.importorskip("safetensors.torch")
    config = json.loads((WEIGHTS / "config.json").read_text("utf-8"))
    names = Shape.__dataclass_fields__
    model = TinyGptOss(Shape(**{k: v for k, v in config.items() if k in names}))
    model.load_state_dict(safetensors.load_file(WEIGHTS / "model.safetensors"))
    tokenizer = tokenizers.Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
    prompt = render(chats_of(questions)[questions[0].problem_id], "medium")
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    source = open_checkpoint(WEIGHTS)
    net = forward.network(source, ablated_weights(source, Ablation()))
    (generated,) = forward.generate(net, [ids], 20, set())
    for token in generated.tokens:
        with torch.no_grad():
            hidden, _ = model(torch.tensor([ids]))
            assert int(model.lm_head(hidden[0, -1]).argmax()) == token
        ids = [*ids, token]
