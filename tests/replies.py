"""Lines of answers.jsonl by what the budget did to the reply."""

BUDGET = 1024


def answer(number=1, **changes):
    row = {
        "problem_id": f"900A{number}",
        "section": "A",
        "outcome": "answered",
        "answer": ["a"],
        "correct": True,
        "content": "a",
        "reasoning": "まず a",
        "finish_reason": "stop",
        "completion_tokens": 500,
        "reasoning_tokens": 400,
        "seconds": 5.0,
        "prompt_sha256": "00",
    }
    return row | changes


def cut(number=1, **changes):
    lost = {"outcome": "truncated", "answer": None, "correct": False, "content": ""}
    told = {"finish_reason": "length", "completion_tokens": BUDGET}
    return answer(number, **{**lost, **told, **changes})


def blank(number=1, **changes):
    """A blank reply without a word on why, as recorded runs have them."""
    unknown = {"finish_reason": None, "completion_tokens": None}
    lost = {"outcome": "empty", "reasoning_tokens": None, "reasoning": None}
    return cut(number, **{**unknown, **lost, **changes})


def failed(number=1):
    return blank(number, outcome="api_error", correct=None, content=None, seconds=1.0)
