"""Runs made by hand, for tests of what is read out of several of them."""

import json

from igaku.study.runs import load_run

SIZES = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}


def planned(n=None, exam=116):
    """The questions of an exam as a manifest lists them; all 400, or the first n."""
    whole = [
        {
            "problem_id": f"{exam}{section}{i}",
            "section": section,
            "kind": "choice",
            "gold": ["a"],
            "points": 1,
            "text_only": True,
            "stem": None,
            "kinki": [],
        }
        for section, size in SIZES.items()
        for i in range(1, size + 1)
    ]
    return whole[:n]


def replied(question, is_right=True, **changes):
    """A line of answers.jsonl: answered "a", which is right, or "b", which is not."""
    letter = "a" if is_right else "b"
    return {
        "problem_id": question["problem_id"],
        "section": question["section"],
        "outcome": "answered",
        "answer": [letter],
        "correct": is_right,
        "content": letter,
        "finish_reason": "stop",
        "served_model": "m",
        "asked_at": "2026-02-07T10:00:00Z",
    } | changes


def sit(
    folder,
    rights,
    name="run",
    questions=None,
    card=None,
    published=None,
    settings=None,
    rows=None,
    **about,
):
    """A run whose i-th question came out as rights[i] says; None: it was not asked."""
    questions = questions or planned(len(rights) if rights else None)
    if rows is None:
        marked = zip(questions, rights, strict=False)
        rows = [replied(q, right) for q, right in marked if right is not None]
    place = folder / name
    place.mkdir(parents=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (place / "answers.jsonl").write_text(text, encoding="utf-8")
    told = {"model": "m", "slug": name, "exam": 2022, "max_tokens": 1024}
    manifest = {
        "settings": told | (settings or {}),
        "card": card or {},
        "published": published or {},
        "questions": questions,
    }
    (place / "manifest.json").write_text(
        json.dumps(manifest | about, ensure_ascii=False), encoding="utf-8"
    )
    return load_run(place)
