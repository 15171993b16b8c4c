"""The manifest of a run: under which condition, with what, when, and how it ended."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths
from igaku.ask.folder import Manifest, Row, now, read_manifest
from igaku.ask.plan import ORDER, Plan
from igaku.errors import IgakuError, WrongModel
from igaku.exam.choices import AS_RELEASED
from igaku.exam.questions import Question
from igaku.params.declared import read_declared
from igaku.params.settings import Role, Settings, of_role
from igaku.server.client import defaults_of, request_body
from igaku.server.identity import shown

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1

KEPT, PER_SITTING = of_role(Role.KEPT), of_role(Role.SITTING)
# What a condition meant that was written before it could say so.
EARLIER = {"choice_order": AS_RELEASED}
PACKAGES = (
    "igaku", "openai", "httpx2", "tenacity", "papermill", "pandas", "numpy", "scipy",
    "statsmodels", "matplotlib", "seaborn", "mlx", "mlx-lm", "xllamacpp",
)  # fmt: skip


def opened(plan: Plan, rows: Sequence[Row]) -> Manifest:
    """The manifest of a run that these rows belong to, with the plan taken in.

    Rows that were asked under another condition are never added to.
    """
    declared = _declared(plan.settings.outputs_dir)
    manifest = _begun(plan) | {"order": ORDER, "declared": declared}
    if rows:
        manifest = read_manifest(plan.settings.folder)
        _refuse_other(plan, manifest, rows)
    known = {question["problem_id"] for question in manifest["questions"]}
    new = [
        planned(item.question)
        | {"prompt_sha256": item.prompt_sha256}
        | ({"shown_as": item.order} if item.order else {})
        for item in plan.items
        if item.question.problem_id not in known
    ]
    files = manifest["exam"]["files"] | plan.exam_files
    return manifest | {
        "exam": {"name": plan.settings.exam, "files": files},
        "questions": [*manifest["questions"], *new],
    }


def _declared(outputs_dir: Path) -> dict[str, str] | None:
    """Which declared analysis a run begins under, None where there is none."""
    found = read_declared(outputs_dir)
    return {"sha256": found.digest, "at": found.at} if found else None


def condition(plan: Plan) -> Manifest:
    """What two sessions must share to be one run; questions carry their own hashes."""
    told = plan.settings.to_dict() | {"prompt_sha256": plan.prompt_sha256}
    return {name: told[name] for name in (*KEPT, "prompt_sha256")}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two conditions, in words, the settings by their names."""
    old = EARLIER | dict(old)
    named = [name for name in KEPT if old.get(name) != new.get(name)]
    if named:
        return [f"{name} ({old.get(name)}, now {new.get(name)})" for name in named]
    same = old.get("prompt_sha256") == new.get("prompt_sha256")
    return [] if same else ["the wording of the prompt"]


def _refuse_other(plan: Plan, found: Manifest, rows: Sequence[Row]) -> None:
    settings = plan.settings
    if not found:
        changed = ["its manifest.json is missing or unreadable"]
    elif not isinstance(found.get("condition"), dict):
        changed = ["it was imported, not asked here"]
    elif lacking := _begun(plan).keys() - found.keys():
        changed = [f"its manifest.json lacks {', '.join(sorted(lacking))}"]
    else:
        changed = differences(found["condition"], condition(plan))
        changed = changed or reworded(plan, rows)
    identity = found.get("identity") or {}
    if not changed and identity.get("status") == "wrong_model":
        raise WrongModel(
            f"The run {settings.run} holds replies of other weights "
            f"({identity['why']}): give `run` another name, or delete "
            f"{settings.folder}."
        )
    if changed:
        raise IgakuError(
            f"The run {settings.run} was made under other settings: "
            f"{'; '.join(changed)}. To ask under the new ones, give `run` another "
            f"name, or delete {settings.folder}."
        )


def reworded(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """The questions that would be put in other words now than they were."""
    hashes = {item.question.problem_id: item.prompt_sha256 for item in plan.items}
    now_other = [
        row["problem_id"]
        for row in rows
        if hashes.get(row["problem_id"], row["prompt_sha256"]) != row["prompt_sha256"]
    ]
    if not now_other:
        return []
    return [f"the wording of {len(now_other)} questions, such as {now_other[0]}"]


def _begun(plan: Plan) -> Manifest:
    """The manifest of a run that has not asked anything yet."""
    asked_under = condition(plan)
    dumped = json.dumps(asked_under, sort_keys=True, ensure_ascii=False)
    return {
        "format": FORMAT,
        "run": plan.settings.run,
        "origin": plan.settings.origin,
        "status": "INCOMPLETE",
        "cause": None,
        "why": None,
        "start": now(),
        "end": None,
        "outcomes": {},
        "correct": 0,
        "early_stop": None,
        "exam": {"name": plan.settings.exam, "files": {}},
        "prompt_sha256": plan.prompt_sha256,
        "condition": asked_under,
        "condition_sha256": hashlib.sha256(dumped.encode()).hexdigest(),
        "settings": {},
        "card": {},
        "published": {},
        "sessions": [],
        "server_before": None,
        "server_after": None,
        "identity": None,
        "effort": None,
        "sampling": {},
        "questions": [],
    }


def planned(question: Question) -> dict[str, Any]:
    """What an analysis must know of a question, also of one that was never asked."""
    return {
        "problem_id": question.problem_id,
        "section": question.section,
        "kind": question.kind,
        "gold": list(question.answer),
        "accepted": [list(answer) for answer in question.accepted],
        "points": question.points,
        "text_only": question.text_only,
        "stem": question.stem,
        "category": question.category,
        "kinki": list(question.kinki),
        "human_accuracy": question.human_accuracy,
    }


def joined(
    manifest: Manifest,
    settings: Settings,
    server: Mapping[str, Any],
    loaded: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest with a new session at its end, which is under way."""
    told = settings.to_dict()
    versions = environment()
    session: Manifest = {"start": now(), "end": None, "ended": None, "requests": 0}
    session |= {"warm": []}
    session |= {name: told[name] for name in PER_SITTING}
    session |= {"git_commit": versions["git_commit"], "loaded": loaded}
    if manifest["server_before"] not in (None, server):
        session["server_before"] = server
    cards = ("card", "published")
    return manifest | {
        "status": "INCOMPLETE",
        "end": None,
        "settings": {name: told[name] for name in told if name not in cards},
        **{name: told[name] for name in cards},
        **versions,
        "server_before": manifest["server_before"] or server,
        "sessions": [*manifest["sessions"], session],
    }


def sampling(
    settings: Settings, server: Mapping[str, Any], told_by: str = "field"
) -> Manifest:
    """Every field of a request but its messages, and what would fill in the others.

    `otherwise` is the server's own word where it has one, else what is documented.
    """
    message = {"role": "user", "content": ""}
    sent = request_body(settings, [message], told_by=told_by, facts=server)
    sent = {n: v for n, v in sent.items() if n not in ("messages", "input")}
    source, otherwise = defaults_of(server)
    return {"sent": sent, "otherwise": otherwise, "source": source}


def environment() -> Manifest:
    """The versions of Python, of the packages and of this checkout."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(_packages()),
        "git_commit": git_commit(),
    }


@cache
def _packages() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_commit() -> str | None:
    """The commit of this checkout, marked -dirty when files differ from it."""
    checkout = paths.PACKAGE.parent
    if not (checkout / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        told = subprocess.run(
            command, cwd=checkout, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


# --- as frames ------------------------------------------------------------------------


def weights_frame(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """The card beside the server's word: `what`, `card`, `server` and `agrees`.

    `agrees` is None where one of the two is silent. Sizes are in GB (10⁹ bytes).
    """
    import pandas as pd

    checks = (manifest.get("identity") or {}).get("checks") or []
    rows = [
        check | {side: shown(check["what"], check[side]) for side in ("card", "server")}
        for check in checks
    ]
    names = ["what", "card", "server", "agrees"]
    return pd.DataFrame(rows, columns=names, dtype=object)


def environment_frame(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """What a run was made with, as a frame: `what` and `value`, None for unknown.

    Whose weights answered, the effort and the sampling, versions, and hashes of exam
    and prompt. What the server said of itself is in the manifest, whole.
    """
    import pandas as pd

    identity, effort = manifest.get("identity") or {}, manifest.get("effort") or {}
    sampling, exam = manifest.get("sampling") or {}, manifest.get("exam") or {}
    told = {
        "weights": identity.get("status"),
        "told_by": identity.get("source"),
        "why": identity.get("why"),
        "reasoning_effort": effort.get("asked"),
        "effort_told_by": effort.get("told_by"),
        "effort_shown": effort and f"{'' if effort['shown'] else 'no '}effect shown",
        "effort_trials": "; ".join(_trials(effort)),
        "default_effort": effort.get("default"),
        "slots": (identity.get("fingerprint") or {}).get("parallel"),
        "sent": _listed(sampling.get("sent")),
        "otherwise": _listed(sampling.get("otherwise"), sampling.get("source")),
    }
    told |= {n: manifest.get(n) for n in ("start", "end", "python", "platform")}
    told |= {
        "sessions": len(manifest.get("sessions") or []) or None,
        "packages": _listed(manifest.get("packages")),
        "git_commit": manifest.get("git_commit"),
        "exam": exam.get("name"),
        "exam_files": _listed(exam.get("files")),
        "prompt_sha256": manifest.get("prompt_sha256"),
        "condition_sha256": manifest.get("condition_sha256"),
    }
    rows = [(what, value or None) for what, value in told.items()]
    return pd.DataFrame(rows, columns=["what", "value"], dtype=object)


def _trials(effort: Mapping[str, Any]) -> Iterator[str]:
    for trial in effort.get("trials") or []:
        asked = f"{effort['asked']} {trial['asked_tokens']}"
        contrast = f"{effort['contrast']} {trial['contrast_tokens']}"
        yield f"{trial['problem_id']} [{trial['told_by']}] {asked} / {contrast}"


def _listed(told: Mapping[str, Any] | None, source: object = None) -> str:
    listed = ", ".join(f"{name} {value}" for name, value in (told or {}).items())
    return f"{listed} ({source})" if listed and source else listed
