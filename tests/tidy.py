"""Frames as the study gives them, made by hand: what the figures are tried on."""

import warnings

import numpy as np
import pandas as pd

LABELS = {
    "eight": "openai @8bit",
    "four": "openai @mxfp4 (GGUF)",
    "twin": "mlx-community Q8",
    "long": "safeguard (max_tokens 4096)",
    "broken": "InferenceIllusionist",
    "gpt": "GPT-4 学生多数決",
}


def runs():
    """Three finished runs and a twin of one, a broken one, a reference."""
    right = [286, 284, 284, 262, 7, 320]
    asked = [400, 400, 400, 400, 75, 400]
    share = np.divide(right, asked)
    return pd.DataFrame(
        {
            "run": list(LABELS),
            "label": list(LABELS.values()),
            "status": ["OK", "OK", "OK", "OK", "BROKEN", "OK"],
            "role": ["finished"] * 4 + ["stopped", "reference"],
            "origin": "recorded",
            "exam": "2022",
            "asked": asked,
            "right": right,
            "accuracy": share,
            "low": share - 0.04,
            "high": share + 0.04,
            "counted": [True, True, False, True, True, True],
            "size_gb": [22.26, 12.11, 12.10, 11.15, 11.80, None],
            "max_tokens": [1024, 1024, 1024, 4096, 1024, None],
        }
    )


def replies(counted=False):
    """Replies of the runs: two that finish, two whose blank ones end at a wall."""
    even = np.linspace(0, 1, 60)
    took = {
        "eight": (0.4 + 3 * even**2, []),
        "four": (0.3 + 2 * even**2, []),
        "long": (2 + 25 * even**2, [30.4, 30.5, 30.6] * 4),
        "broken": (3 + 4 * even[:15], [7.6, 7.65, 7.7] * 10 + [9.1]),
    }
    rows = [
        (name, seconds, blank)
        for name, (text, walls) in took.items()
        for blank, times in ((False, text), (True, walls))
        for seconds in times
    ]
    frame = pd.DataFrame(rows, columns=["run", "seconds", "blank"])
    frame["label"] = frame["run"].map(LABELS)
    frame["outcome"] = np.where(frame["blank"], "empty", "answered")
    frame["max_tokens"] = np.where(frame["run"] == "long", 4096, 1024)
    tokens = (frame["seconds"] * 134).round().clip(upper=frame["max_tokens"])
    frame["completion_tokens"] = tokens if counted else None
    failed = frame.tail(1).assign(outcome="api_error", blank=False, seconds=None)
    return pd.concat([frame, failed], ignore_index=True)


def thoughts():
    """Replies whose thought the servers counted, but for one run's, split by texts."""
    share = {"eight": 0.6, "four": 0.75, "long": 0.93, "broken": 1.0}
    frame = replies(counted=True)
    return frame.assign(
        reasoning_tokens=frame["completion_tokens"] * frame["run"].map(share),
        reasoning_tokens_estimated=frame["run"] == "long",
    )


def pairs():
    """Three candidates against one reference, the last of them tainted."""
    rows = [
        ("four", 400, 256, 30, 28, 86, -0.005, -0.0432, 0.0331, 0.795, False),
        ("long", 400, 240, 46, 22, 92, -0.06, -0.112, -0.0083, 0.0235, False),
        ("twin", 400, 256, 30, 28, 86, -0.005, -0.0432, 0.0331, 0.795, True),
    ]
    columns = [
        "candidate", "n", "both", "only_reference", "only_candidate", "neither",
        "difference", "low", "high", "pvalue", "tainted",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    flips = frame["only_reference"] + frame["only_candidate"]
    return frame.assign(reference="eight", flips=flips, margin=0.025)


def sections():
    """Two whole runs, and one that was asked nothing after section A."""
    rows = []
    for name, last in (("eight", "F"), ("four", "F"), ("broken", "A")):
        for section, size in zip("ABCDEF", (75, 50, 75, 75, 50, 75), strict=True):
            asked = size if section <= last else 0
            rows.append((name, LABELS[name], section, size, asked, asked * 3 // 4))
    columns = ["run", "label", "section", "planned", "asked", "right"]
    return pd.DataFrame(rows, columns=columns)


def strata():
    """Three runs in three bands of the examinees' accuracy."""
    rows = [
        (name, LABELS[name], "human_accuracy", band, n, at, at - 0.1, at + 0.1)
        for name in ("eight", "four", "long")
        for band, n, at in (
            ("0–59 %", 43, 0.4), ("60–89 %", 150, 0.6), ("90–100 %", 202, 0.8)
        )
    ]  # fmt: skip
    columns = ["run", "label", "stratum", "level", "n", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def official():
    """One run that lacks points in both parts, and one that reaches both lines."""
    rows = [
        ("eight", "compulsory", 153, 197, 158, False),
        ("eight", "rest", 211, 297, 214, False),
        ("eight", "kinki", 2, 25, 3, True),
        ("eight", "total", 364, 494, None, False),
        ("four", "compulsory", 160, 197, 158, True),
        ("four", "rest", 230, 297, 214, True),
        ("four", "kinki", 4, 25, 3, False),
    ]
    columns = ["run", "part", "points", "possible", "line", "passed"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(label=frame["run"].map(LABELS))


def crossed():
    """Two models under two efforts and two budgets."""
    rows = [
        (model, model, LABELS[model], effort, budget, 40, lost, (40 - lost) * 3 // 4)
        for model in ("twin", "four")
        for effort, budget, lost in (
            ("low", 48, 0), ("high", 48, 40), ("low", 192, 0), ("high", 192, 3)
        )
    ]  # fmt: skip
    columns = ["run", "model", "label", "effort", "budget", "n", "lost", "right"]
    return pd.DataFrame(rows, columns=columns)


def survival():
    """Three runs of one curve, and one that the budget cut."""
    x = np.arange(0, 129, 8)
    curves = {"a": 20, "b": 20, "c": 20, "cut": 90}
    return pd.concat(
        pd.DataFrame({"run": name, "x": x, "share": (s := np.exp(-x / scale)),
                      "low": (s - 0.1).clip(0), "high": (s + 0.1).clip(0, 1),
                      "max_tokens": 128})
        for name, scale in curves.items()
    )  # fmt: skip


def budget():
    """Three runs of one curve, and one that a larger budget would have helped."""
    x = 2.0 ** np.arange(4, 11)
    curves = {"a": 20, "b": 20, "c": 20, "cut": 900}
    return pd.concat(
        pd.DataFrame({"run": name, "max_tokens": x, "blank": (b := np.exp(-x / scale)),
                      "accuracy": 0.7 * (1 - b), "low": 0.6 * (1 - b),
                      "high": 0.8 * (1 - b)})
        for name, scale in curves.items()
    )  # fmt: skip


def plan():
    from igaku.study import plan

    return plan(0.145, 400)


def partings():
    """Two candidates beside one reference: one parts seldom, one early and silently."""
    parts = []
    for name, some, at in (("four", 12, 60), ("long", 40, 9)):
        flips = ["only_reference", None, None, "only_candidate"]
        parts.append(pd.DataFrame({
            "reference": "eight", "candidate": name, "unit": "character",
            "parted": np.arange(60) < some, "parted_at": at + 5 * np.arange(60) % 97,
            "flip": flips * 15, "silent": (["candidate"] + ["neither"] * 4) * 12,
        }))  # fmt: skip
    found = pd.concat(parts, ignore_index=True).astype({"parted_at": "Int64"})
    return found.assign(parted_at=found["parted_at"].where(found["parted"]))


FRAMES = {
    "accuracy": runs,
    "budget": budget,
    "crossed": crossed,
    "forest": pairs,
    "memory": runs,
    "partings": partings,
    "plan": plan,
    "power": pairs,
    "sections": sections,
    "strata": strata,
    "survival": survival,
    "token_usage": replies,
    "verdict": official,
}


def draw(name, frame=None, ax=None, lang="en"):
    """A figure, drawn without a warning: a missing glyph gives one."""
    from igaku import figures

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = getattr(figures, name)(
            FRAMES[name]() if frame is None else frame, ax, lang
        )
        found.figure.canvas.draw()
    return found
