# A sweep by Snakemake 9 (igaku[sweep]): `snakemake --cores 4 --config sweep=seed`.
# The same runs by the same command as `make sweep`, on this machine or by an executor:
# any that shares this folder with the machine Snakemake is started on.
import shlex
import sys

from igaku.sweep.file import read_sweep

SWEEP = str(config.get("sweep", "lab"))
OUTPUTS = str(config.get("outputs", "outputs"))
LANG = str(config.get("lang", "en"))
PLAN = read_sweep(SWEEP, OUTPUTS)
IGAKU = shlex.join(
    [sys.executable, "-m", "igaku.cli", "sweep", SWEEP]
    + ["--outputs", OUTPUTS, "--lang", LANG]
)
REPORT = IGAKU + " --report" + ("" if config.get("analyse", True) else " --no-analyse")
LANES = {f"lane{number}": number for number in range(len(PLAN.lanes))}

# One run at a time on each server, however many cores or jobs Snakemake is given.
for lane in LANES:
    workflow.register_resource(lane, 1)


wildcard_constraints:
    run="[^/]+",


rule all:
    default_target: True
    input:
        [f"{OUTPUTS}/{job.run}/.done" for job in PLAN.jobs],


# A failed job loses its declared outputs: answers.jsonl must never be one of them.
rule run:
    output:
        touch(OUTPUTS + "/{run}/.done"),
    params:
        asked=lambda wildcards: dict(PLAN.job(wildcards.run).parameters),
    resources:
        attempt=lambda wildcards, attempt: attempt,
        **{
            lane: lambda wildcards, number=number: int(
                PLAN.job(wildcards.run).lane == number
            )
            for lane, number in LANES.items()
        },
    retries: 2
    shell:
        IGAKU + " --only {wildcards.run} --attempt {resources.attempt}"


onsuccess:
    shell(REPORT)


onerror:
    shell(REPORT)
