"""The manifest of a run: under which condition, with what, when, and how it ended."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

from igaku import paths
from igaku.ask.folder import MANIFEST, Manifest, Row, now
from igaku.ask.plan import ORDER, Plan, contradicted, is_reply, misplaced
from igaku.ask.repair import blank, rebuilt
from igaku.ask.rows import firsts
from igaku.ask.shape import advice, examined
from igaku.errors import IgakuError, WrongModel
from igaku.exam.choices import AS_RELEASED
from igaku.params.declared import read_declared
from igaku.params.settings import Role, Settings, of_role
from igaku.server.client import defaults_of, request_body
from igaku.server.fingerprint import served_as
from igaku.server.identity import shown

if TYPE_CHECKING:
    import pandas as pd

KEPT, PER_SITTING = of_role(Role.KEPT), of_role(Role.SITTING)
# What a condition meant that was written before it could say so.
EARLIER = {"choice_order": AS_RELEASED}
# What the hash of a question's messages settles of the settings.
BY_WORDS = ("exam", "shots", "language", "serial_context", "choice_order")
PACKAGES = (
    "igaku", "openai", "httpx2", "papermill", "pandas", "numpy", "scipy",
    "matplotlib", "seaborn", "mlx", "mlx-lm", "xllamacpp",
)  # fmt: skip


def opened(plan: Plan, rows: Sequence[Row]) -> tuple[Manifest, dict[int, str]]:
    """The manifest of a run that these rows belong to, with the plan taken in.

    Rows that were asked under another condition are never added to; failures bind a run
    to nothing, as they are asked again anyway. Rows that the manifest contradicts are
    named by their starts, each with its fault.
    """
    begun, (found, trouble) = _begun(plan), examined(plan.settings.folder)
    damage: dict[int, str] = {}
    if rows := list(filter(is_reply, rows)):
        known = _questions(plan, found, rows) if found.get("questions") else {}
        damage = misplaced(rows, known) if known else {}
        rows = firsts(rows, damage)
        if found.get("origin") == "recorded":
            raise _other(plan, ["it was imported, not asked here"])
        if trouble := trouble or _lacking(plan, found):
            damage |= _misplaced_by(plan, rows, trouble)
            rows = firsts(rows, damage)
            found = _adopted(plan, found, rows, trouble)
        _refuse_other(plan, found, rows)
    else:
        found = begun
    exam = found["exam"] if isinstance(found["exam"], dict) else {}
    files = {**(exam.get("files") or {}), **plan.exam_files}
    return found | {
        "exam": {"name": plan.settings.exam, "files": files},
        "questions": list(_questions(plan, found, rows).values()),
    }, damage


def _questions(
    plan: Plan, manifest: Manifest, rows: Sequence[Row]
) -> dict[str, dict[str, Any]]:
    """What is on record of each question, and then those that the plan adds.

    Where row and plan agree against an entry, it is the entry that is damaged.
    """
    on_record = {q["problem_id"]: q for q in manifest.get("questions") or ()}
    of_plan = plan.entries
    # An entry that was rebuilt without its exam gets its facts from the plan.
    known = {n: q if "gold" in q else of_plan.get(n, q) for n, q in on_record.items()}
    asked = {row["problem_id"]: row for row in rows if row["problem_id"] in of_plan}
    for name, row in asked.items():
        if contradicted(row, known.get(name)) and not contradicted(row, of_plan[name]):
            known[name] = of_plan[name]
    return known | {n: q for n, q in of_plan.items() if n not in known}


def mended(recorded: Manifest, opened: Manifest) -> list[str]:
    """The questions of which another entry is on record than a run goes on with."""
    known = {q["problem_id"]: q for q in recorded.get("questions") or ()}
    now = {q["problem_id"]: q for q in opened["questions"]}
    return [
        name
        for name in now
        if "gold" in (was := known.get(name, {})) and was != now[name]
    ]


def _lacking(plan: Plan, found: Manifest) -> str | None:
    """What a manifest that is sound in its parts lacks of a run's, in words."""
    if lacking := blank(plan.settings.run).keys() - found.keys():
        return f"{plan.settings.run}/{MANIFEST} lacks {', '.join(sorted(lacking))}"
    is_told = isinstance(found["condition"], dict)
    return None if is_told else str((found.get("rebuilt") or {}).get("why"))


def _misplaced_by(plan: Plan, rows: Sequence[Row], trouble: str) -> dict[int, str]:
    """The few rows that the plan's own words contradict, where no manifest tells.

    Where they are not few, the whole run was asked under other settings.
    """
    entries, words = plan.entries, {None, *(item.prompt_sha256 for item in plan.items)}
    # A question that is not planned now may have been; not in another's words.
    own = (r for r in rows if r["problem_id"] in entries or r["prompt_sha256"] in words)
    damage = misplaced(own, entries)
    if rows and 2 * len(damage) >= len(rows):
        raise IgakuError(
            f"{trouble}, and {len(damage)} of its {len(rows)} answers are not to the "
            "words of these settings: ask with those it was asked with, or give `run` "
            f"another name; {advice(plan.settings.folder)}."
        )
    return damage


def _adopted(
    plan: Plan, parts: Manifest, rows: Sequence[Row], trouble: str
) -> Manifest:
    """A damaged run's manifest as these settings go on with it.

    What its rows and the sound parts tell has to agree; what nothing tells is listed
    as unknown in `rebuilt`, and stays out of the run's settings.
    """
    settings = plan.settings
    old = parts.get("settings") or {}
    told = parts.get("condition") or {n: old[n] for n in old if n in KEPT}
    found = rebuilt(settings.folder, parts, rows, trouble)
    own = (settings.identifier, f"igaku-{settings.slug}")
    named = found["rebuilt"]["served"]
    others = [n for n in named if n not in own and not served_as(settings.model, n)]
    if others:
        raise IgakuError(
            f"{trouble}, and its answers name {others[0]} as the model that gave them, "
            f"not {settings.model}: ask with that one, or give `run` another name; "
            f"{advice(settings.folder)}."
        )
    known = {*told, *(BY_WORDS if rows else ()), *(["model"] if named else ())}
    unknown = [name for name in KEPT if name not in known]
    return found | {
        "origin": parts.get("origin") or settings.origin,
        "prompt_sha256": parts.get("prompt_sha256") or plan.prompt_sha256,
        "condition": condition(plan) | told,
        "rebuilt": found["rebuilt"] | {"unknown": unknown},
    }


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
    changed = differences(found["condition"], condition(plan)) or reworded(plan, rows)
    if changed:
        raise _other(plan, changed)
    identity = found.get("identity") or {}
    if identity.get("status") == "wrong_model":
        raise WrongModel(
            f"The run {settings.run} holds replies of other weights "
            f"({identity.get('why')}): give `run` another name, or delete "
            f"{settings.folder}."
        )


def _other(plan: Plan, changed: Sequence[str]) -> IgakuError:
    return IgakuError(
        f"The run {plan.settings.run} was made under other settings: "
        f"{'; '.join(changed)}. To ask under the new ones, give `run` another "
        f"name, or delete {plan.settings.folder}."
    )


def reworded(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """The questions that would be put in other words now than they were."""
    hashes = {name: item.prompt_sha256 for name, item in plan.by_name.items()}
    sent = {row["problem_id"]: row["prompt_sha256"] for row in rows}
    other = [name for name in sent if hashes.get(name, sent[name]) != sent[name]]
    if not other:
        return []
    return [f"the wording of {len(other)} questions, such as {other[0]}"]


def _begun(plan: Plan) -> Manifest:
    """The manifest of a run that has not asked anything yet."""
    asked_under, declared = condition(plan), read_declared(plan.settings.outputs_dir)
    dumped = json.dumps(asked_under, sort_keys=True, ensure_ascii=False)
    return blank(plan.settings.run) | {
        "origin": plan.settings.origin,
        "start": now(),
        "exam": {"name": plan.settings.exam, "files": {}},
        "prompt_sha256": plan.prompt_sha256,
        "condition": asked_under,
        "condition_sha256": hashlib.sha256(dumped.encode()).hexdigest(),
        "order": ORDER,
        "declared": declared and {"sha256": declared.digest, "at": declared.at},
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
    session |= {"warm": [], **{name: told[name] for name in PER_SITTING}}
    session |= {"git_commit": versions["git_commit"], "loaded": loaded}
    # What is not known of a run's first replies is told of this session alone.
    unknown = (manifest.get("rebuilt") or {}).get("unknown") or []
    session |= {name: told[name] for name in unknown}
    told |= dict.fromkeys({*unknown} - {"model"})
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
    packages = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "git_commit": git_commit(),
    }


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
