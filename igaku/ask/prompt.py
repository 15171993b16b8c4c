"""The prompt: a system line, worked examples and a question become chat messages.

A prompt is a small YAML file, so that a study can bring its own wording. Whatever the
question, the messages before the last one are the same, and servers reuse their cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from igaku.errors import IgakuError
from igaku.exam.choices import order_of, shown
from igaku.exam.questions import Question, load_examples
from igaku.params.settings import Settings, read_yaml

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(__file__).parent / "prompts"

Message = dict[str, str]  # keys: role, content


@dataclass(frozen=True)
class Prompt:
    """The wording of a prompt: a system line, and templates for the rest.

    `question` and `numeric_question` are filled with text, choices and instruction;
    `choice` with label and choice; `choose_one`, `choose_many` and `number` are the
    instructions, with the number of answers n and the last label.
    """

    name: str
    language: str
    system: str
    question: str
    numeric_question: str
    choice: str
    choose_one: str
    choose_many: str
    number: str


def load_prompt(name: str | Path = "baseline", language: str = "ja") -> Prompt:
    """The prompt called `name`, or the one in the YAML file at that path.

    The path of a recorded results file, `results.json` or `results.json#key`, takes the
    system line that was recorded there.
    """
    recorded, json_name, key = str(name).rpartition(".json")
    if json_name and key[:1] in ("", "#"):
        return prompt_from_recorded(f"{recorded}.json", key[1:] or None, language)
    path = SHIPPED / f"{name}.{language}.yaml"
    path = path if path.is_file() else Path(name).expanduser()
    if not path.is_file():
        known = sorted(p.name.split(".")[0] for p in SHIPPED.glob(f"*.{language}.yaml"))
        raise IgakuError(
            f"There is no prompt {str(name)!r} in language {language!r}: give one of "
            f"{', '.join(known)}, or the path of a YAML file."
        )
    prompt = _read(path)
    if prompt.language != language:
        raise IgakuError(
            f"{path} is written for language {prompt.language!r}, but {language!r} was "
            f"asked for: pass the language of the file, or another file."
        )
    return prompt


def prompt_from_recorded(
    path: str | Path, key: str | None = None, language: str = "ja"
) -> Prompt:
    """The prompt whose system line a recorded results file used, for an exact re-run.

    The file keeps its system lines under `prompts`, one per key. Without `key`, the one
    its answers (`details`) were given to is taken. Such files do not record how a
    question was laid out, so that is the baseline's; a YAML file can bring its own.
    """
    try:
        body = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise IgakuError(
            f"{path} cannot be read as a results file: check the path."
        ) from broken
    lines = body.get("prompts") if isinstance(body, dict) else None
    if not isinstance(lines, dict) or not lines:
        raise IgakuError(
            f"{path} keeps no `prompts`: take a results file that does, or write a "
            "prompt as YAML."
        )
    used = list(body["details"] if isinstance(body.get("details"), dict) else lines)
    if key is None and len(used) == 1:
        key = used[0]
    if key is None or key not in lines:
        raise IgakuError(
            f"{path} has no prompt {key!r}: give one of {', '.join(lines)} as key "
            f"(in a run, prompt: {path}#{next(iter(lines))})."
        )
    baseline = load_prompt("baseline", language)
    return replace(baseline, name=f"recorded:{key}", system=str(lines[key]))


def messages(
    prompt: Prompt, question: Question, examples: Sequence[Question] = ()
) -> list[Message]:
    """Chat messages that ask one question after the worked examples."""
    return [*shared_prefix(prompt, examples), _user(prompt, question)]


def shared_prefix(prompt: Prompt, examples: Sequence[Question] = ()) -> list[Message]:
    """The messages that all questions of a run begin with."""
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for example in examples:
        turns.append(_user(prompt, example))
        turns.append({"role": "assistant", "content": ",".join(example.answer)})
    return turns


def prompt_sha256(chat: Sequence[Message]) -> str:
    """The hash that says two questions were put in exactly the same words."""
    text = json.dumps(list(chat), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def prompt_frame(settings: Settings, question: Question) -> pd.DataFrame:
    """The messages that ask a question, as they are sent: `role` and `content`."""
    import pandas as pd

    exam, folder, language = settings.exam, settings.data_dir, settings.language
    examples = load_examples(exam, settings.shots, folder, language)
    asked = shown(question, order_of(question, settings.choice_order))
    chat = messages(load_prompt(settings.prompt, language), asked, examples)
    return pd.DataFrame(chat, columns=["role", "content"])


def _user(prompt: Prompt, question: Question) -> Message:
    choices = "\n".join(
        prompt.choice.format(label=label, choice=choice)
        for label, choice in zip(question.labels, question.choices, strict=True)
    )
    layout = prompt.question if choices else prompt.numeric_question
    instruction = prompt.number
    if question.kind != "numeric":
        n = max(1, len(question.answer))  # a struck question may have no gold
        line = prompt.choose_one if n == 1 else prompt.choose_many
        instruction = line.format(last=question.labels[-1], n=n)
    content = layout.format(
        text=question.prompt_text, choices=choices, instruction=instruction
    )
    return {"role": "user", "content": content}


def _read(path: Path) -> Prompt:
    wanted = [field.name for field in fields(Prompt)]
    words = read_yaml(path, wanted)
    if lacking := [name for name in wanted if not isinstance(words.get(name), str)]:
        raise IgakuError(f"{path} must have a text under {', '.join(lacking)}.")
    prompt = Prompt(**words)
    _try_out(prompt, path)
    return prompt


def _try_out(prompt: Prompt, path: Path) -> None:
    """Ask made-up questions, so that a template's slip shows before the run."""
    text, choices = "\ue000text", ["\ue001first", "\ue002second"]
    for offered, answer in ((choices, ["a", "b"]), (choices, ["a"]), ([], ["1"])):
        row = {"problem_id": "0A1", "problem_text": text, "choices": offered}
        try:
            asked = _user(prompt, Question.from_record(row | {"answer": answer}))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as slip:
            raise IgakuError(
                f"{path} has a placeholder that igaku does not fill ({slip}): correct "
                "it, and write literal braces as {{ and }}."
            ) from slip
        lost = [part for part in (text, *offered) if part not in asked["content"]]
        if lost:
            place = "{text}" if text in lost else "{choices} or, in `choice`, {choice}"
            raise IgakuError(f"{path} never shows {place}: add it to the template.")
