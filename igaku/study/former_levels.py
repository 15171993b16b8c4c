"""Strata: where a model is right and where it is not, each share with its n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from igaku.shown import is_missing, say
from igaku.study.former_lines import COMPULSORY
from igaku.study.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from igaku.study.families import Study

BANDS = (0, 60, 80, 90, 100.0001)  # percent of examinees who were right
BAND_NAMES = ("0–59 %", "60–79 %", "80–89 %", "90–100 %")
FACTS = (
    "problem_id", "section", "kind", "gold", "text_only", "stem", "category", "kinki",
    "human_accuracy",
)  # fmt: skip

Label = Callable[[Mapping[Any, Any], Run], str | None]


def stratum_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, stratum and level: n, right, accuracy and its Wilson interval.

    The strata are `STRATA`; a level is a short key such as "image" or "90–100 %", and a
    question without a level (no human accuracy, say) is in none.
    """
    import pandas as pd

    rows = [row for run in runs for row in _rows(run)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def strata_frame(study: Study) -> pd.DataFrame:
    """One row per run, stratum and level; see `igaku.study.strata`."""
    from igaku.study.families import role

    return stratum_table([r for r in study.runs if r.asked and role(r) != "follow-up"])


COLUMNS = (
    "run", "stratum", "level", "n", "right", "accuracy", "low", "high",
)  # fmt: skip


def by_human_accuracy(run: Run) -> pd.DataFrame:
    """A run's accuracy in bands of the examinees' accuracy, with the bands' means.

    The columns are those of `stratum_table`, and `human`: the mean percentage of
    examinees who were right in the band.
    """
    import pandas as pd

    known = run.rows[run.rows["human_accuracy"].notna()]
    bands = known.assign(level=[_band(v) for v in known["human_accuracy"]])
    rows = []
    for level in BAND_NAMES:
        group = bands[bands["level"] == level]
        if len(group):
            counted = _counted(run, "human_accuracy", level, group)
            rows.append({**counted, "human": float(group["human_accuracy"].mean())})
    return pd.DataFrame(rows, columns=[*COLUMNS, "human"])


def _rows(run: Run) -> list[dict[str, Any]]:
    import numpy as np

    found = []
    facts = run.rows[list(FACTS)].to_dict("records")
    for stratum, label in STRATA.items():
        levels = np.array([label(row, run) for row in facts], dtype=object)
        met = [level for level in dict.fromkeys(levels) if level is not None]
        rows = [_counted(run, stratum, lv, run.rows[levels == lv]) for lv in met]
        found += sorted(rows, key=lambda row: _order(stratum, row["level"]))
    return found


def _counted(run: Run, stratum: str, level: str, rows: pd.DataFrame) -> dict[str, Any]:
    from igaku.study.former_scoring import correct, interval

    n, right = len(rows), correct(rows)
    low, high = interval(right, n)
    values = (run.name, stratum, level, n, right, right / n, low, high)
    return dict(zip(COLUMNS, values, strict=True))


def _order(stratum: str, level: str) -> tuple[int, str]:
    known = LEVELS.get(stratum, ())
    return (known.index(level) if level in known else len(known), level)


# --- the level of a question ----------------------------------------------------------


def _section(row: Mapping[Any, Any], run: Run) -> str | None:
    return str(row["section"])


def _part(row: Mapping[Any, Any], run: Run) -> str | None:
    if run.is_lab:  # the calibration exam has no compulsory part
        return None
    return "compulsory" if row["section"] in COMPULSORY else "general"


def _answers(row: Mapping[Any, Any], run: Run) -> str | None:
    if row["kind"] == "numeric":
        return "numeric"
    return None if is_missing(row["gold"]) else str(len(row["gold"]))


def _image(row: Mapping[Any, Any], run: Run) -> str | None:
    if is_missing(row["text_only"]):
        return None
    return "text" if row["text_only"] else "image"


def _vignette(row: Mapping[Any, Any], run: Run) -> str | None:
    """Whether a question belongs to a case, and whether it came with it."""
    if is_missing(row["stem"]):
        return "none"
    if row["stem"] == row["problem_id"]:
        return "head"
    joined = run.settings.get("serial_context") == "joined"
    return "joined" if joined else "missing"


def _speciality(row: Mapping[Any, Any], run: Run) -> str | None:
    if run.is_lab or is_missing(row["category"]):  # the calibration exam has none
        return None
    return str(row["category"])


def _difficulty(row: Mapping[Any, Any], run: Run) -> str | None:
    return None if is_missing(row["human_accuracy"]) else _band(row["human_accuracy"])


def _kinki(row: Mapping[Any, Any], run: Run) -> str | None:
    return None if is_missing(row["kinki"]) else "kinki"


def _band(percent: float) -> str:
    place = sum(percent >= edge for edge in BANDS) - 1
    return BAND_NAMES[min(max(place, 0), len(BAND_NAMES) - 1)]


STRATA: dict[str, Label] = {
    "section": _section,
    "part": _part,
    "answers": _answers,
    "image": _image,
    "vignette": _vignette,
    "human_accuracy": _difficulty,
    "kinki": _kinki,
    "speciality": _speciality,
}
LEVELS = {
    "part": ("compulsory", "general"),
    "answers": ("1", "2", "3", "numeric"),
    "image": ("text", "image"),
    "vignette": ("none", "head", "joined", "missing"),
    "human_accuracy": BAND_NAMES,
}


# --- names --------------------------------------------------------------------------

STRATUM_NAMES = {
    "section": ("区分", "section"),
    "part": ("必修と一般・臨床", "part of the exam"),
    "answers": ("正答の数", "number of right options"),
    "image": ("画像", "image"),
    "vignette": ("連問", "case (serial questions)"),
    "human_accuracy": ("受験者の正答率", "examinees' accuracy"),
    "kinki": ("禁忌肢", "禁忌 (prohibited) option"),
    "speciality": ("診療科", "speciality"),
}
LEVEL_NAMES = {
    ("part", "compulsory"): ("必修", "compulsory (必修)"),
    ("part", "general"): ("一般・臨床", "general, clinical (一般・臨床)"),
    ("answers", "1"): ("1つ選ぶ", "one"),
    ("answers", "2"): ("2つ選ぶ", "two"),
    ("answers", "3"): ("3つ選ぶ", "three"),
    ("answers", "numeric"): ("数値", "a number"),
    ("image", "text"): ("文章のみ", "text only"),
    ("image", "image"): ("画像問題（画像なしで出題）", "image, asked without it"),
    ("vignette", "none"): ("単独の問題", "no case"),
    ("vignette", "head"): ("連問の最初", "first of a case"),
    ("vignette", "joined"): ("連問の続き（症例文つき）", "follow-up, with the case"),
    ("vignette", "missing"): ("連問の続き（症例文なし）", "follow-up, case missing"),
    ("kinki", "kinki"): ("禁忌肢あり", "has a 禁忌 option"),
    ("speciality", "公衆衛生"): ("公衆衛生", "public health"),
    ("speciality", "循環器"): ("循環器", "cardiology"),
    ("speciality", "小児科"): ("小児科", "paediatrics"),
    ("speciality", "呼吸器"): ("呼吸器", "respiratory"),
    ("speciality", "神経"): ("神経", "neurology"),
    ("speciality", "消化器"): ("消化器", "gastroenterology"),
    ("speciality", "産科"): ("産科", "obstetrics"),
    ("speciality", "総論"): ("総論", "general medicine"),
    ("speciality", "代謝・内分泌"): ("代謝・内分泌", "endocrinology"),
    ("speciality", "救急"): ("救急", "emergency"),
    ("speciality", "精神科"): ("精神科", "psychiatry"),
    ("speciality", "肝・胆・膵"): ("肝・胆・膵", "liver, bile, pancreas"),
    ("speciality", "腎臓"): ("腎臓", "nephrology"),
    ("speciality", "免疫"): ("免疫", "immunology"),
    ("speciality", "血液"): ("血液", "haematology"),
    ("speciality", "感染症"): ("感染症", "infections"),
    ("speciality", "耳鼻科"): ("耳鼻科", "ear, nose, throat"),
    ("speciality", "整形外科"): ("整形外科", "orthopaedics"),
    ("speciality", "泌尿器"): ("泌尿器", "urology"),
    ("speciality", "眼科"): ("眼科", "ophthalmology"),
    ("speciality", "婦人科"): ("婦人科", "gynaecology"),
    ("speciality", "皮膚科"): ("皮膚科", "dermatology"),
    ("speciality", "老年医学"): ("老年医学", "geriatrics"),
    ("speciality", "中毒"): ("中毒", "poisoning"),
    ("speciality", "乳腺外科"): ("乳腺外科", "breast surgery"),
    ("speciality", "麻酔"): ("麻酔", "anaesthesia"),
    ("speciality", "放射線"): ("放射線", "radiology"),
    ("speciality", "リハビリ"): ("リハビリ", "rehabilitation"),
}


def level_name(stratum: str, level: str, lang: str) -> str:
    """The readable name of a level of a stratum; the level itself where it has none.

    >>> level_name("part", "compulsory", "en"), level_name("section", "A", "ja")
    ('compulsory (必修)', 'A')
    """
    return say(lang, *LEVEL_NAMES.get((stratum, level), (level, level)))


def stratum_name(stratum: str, lang: str) -> str:
    """The readable name of a stratum of `igaku.study.former_levels`.

    >>> stratum_name("speciality", "ja")
    '診療科'
    """
    return say(lang, *STRATUM_NAMES.get(stratum, (stratum, stratum)))
