"""Faults and kills for some seconds; the torture would see a damaged run."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def torture(checkout, monkeypatch):
    """The script as a module, with its neighbours."""
    monkeypatch.syspath_prepend(checkout / "bench")
    return __import__("torture")


def test_faults_and_kills_leave_the_table_as_it_is(checkout, tmp_path):
    told = ["--seconds", "4", "--questions", "80", "--rate", "0.4", "--seed", "4"]
    script = [sys.executable, str(checkout / "bench" / "torture.py"), *told]
    done = subprocess.run(
        [*script, "--folder", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    table = done.stdout
    counts = {
        line.strip().partition("  ")[2]: int(line.split()[0])
        for line in table.splitlines()
        if line.strip()[:1].isdigit() and "  " in line.strip()
    }
    met = table.partition(" kinds")[0].split()
    assert int(met[-1]) >= 40, "too few kinds of fault were met to say anything"
    assert counts["runs finished"] >= 1
    assert sum(n for what, n in counts.items() if what.startswith("ended: SIG")) >= 1


def damaged(folder, change):
    """A finished run of two questions, changed; the table it should have."""
    same = {"section": "A", "outcome": "answered", "answer": ["a"], "correct": True}
    rows = [same | {"problem_id": f"900A{i}", "content": f"of {i}"} for i in (1, 2)]
    (folder / "run").mkdir()
    lines = change([json.dumps(row) for row in rows])
    (folder / "run" / "answers.jsonl").write_text("".join(f"{x}\n" for x in lines))
    return rows


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (None, lambda lines: lines),
        ("lost", lambda lines: lines[:1]),
        ("doubled", lambda lines: [*lines, lines[0]]),
        ("torn, or no strict JSON", lambda lines: [*lines, '{"correct": NaN}']),
        ("credited to another", lambda ls: [ls[0], ls[1].replace("of 2", "of 1")]),
        ("differs", lambda lines: [lines[0], lines[1].replace("of 2", "of 3")]),
    ],
)
def test_a_damaged_run_is_seen(torture, tmp_path, what, change):
    rows = damaged(tmp_path, change)
    findings = torture.Findings()
    trial = torture.Trial(None, tmp_path, "run", 2, 1, findings)
    want = {r["problem_id"]: tuple(str(r.get(n)) for n in torture.SAME) for r in rows}
    torture.compare(trial, want)
    assert [w for w in findings.wrong if what is None or not w.startswith(what)] == []
    assert bool(findings.wrong) is (what is not None)


def test_a_key_on_disk_is_seen_in_whatever_file(torture, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".manifest.json.draft").write_text(f"x{torture.KEY}1y")
    findings = torture.Findings()
    torture.search_for_key(tmp_path, findings)
    assert findings.wrong.total() == 1


def test_a_fault_depends_on_seed_question_and_attempt_alone(torture):
    faults = sys.modules["faults"]
    dealt = [
        [faults.Dealer(seed, 0.5).fault(f"q{i}", 1) for i in range(50)]
        for seed in ("1", "1", "2")
    ]
    assert dealt[0] == dealt[1] != dealt[2]
    assert len(faults.KINDS) >= 40
