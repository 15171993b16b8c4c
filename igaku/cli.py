"""The `igaku` command: what is easier in a terminal than in a notebook."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from igaku import listing
from igaku.errors import IgakuError, ServerUnreachable
from igaku.listing import Address, Folder, Model, Run
from igaku.redaction import discreet
from igaku.writing import FULL, refused

Language = Literal["ja", "en"]
PageLanguage = Annotated[Language, typer.Option(help="Language of the pages.")]
Outputs = Annotated[
    Path | None, typer.Option(help="Folder of the runs; else outputs/.")
]

STOPPED = "Stopped: what was written is kept, and the same command goes on."


class Commands(TyperGroup):
    """The commands, all of which Ctrl-C ends in a sentence; typer's would have none."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command that was chosen."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            beside = "\n" if sys.stderr.isatty() else ""  # the terminal's ^C
            print(f"{beside}igaku: {str(stopped) or STOPPED}", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=Commands,
    help="Ask local language models the Japanese medical licensing exam.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; a problem the user can solve is one sentence, not a trace."""
    # What ends a job on a cluster, or closes a terminal, is to leave it as Ctrl-C does.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, signal.default_int_handler)
    # As a sentence, without the line of code that has it to say.
    warnings.formatwarning = lambda message, *_, **__: f"igaku: {message}\n"
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except IgakuError as problem:
        sys.exit(f"igaku: {problem}")
    except OSError as problem:
        sys.exit(f"igaku: {_told(problem)}")


def _told(problem: OSError) -> str:
    """The sentence for what the system refused, the output itself included."""
    if problem.filename is None and problem.errno in (*FULL, errno.EPIPE):
        # Python would try again at its end, and tell of it at length.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if problem.errno in FULL:
        return str(refused(Path(problem.filename or "the output"), problem))
    where = f": {problem.filename}" if problem.filename else ""
    return discreet(f"{problem.strerror or problem}{where}")


def version(is_asked: bool) -> None:
    """Print the version and end."""
    if is_asked:
        from importlib import metadata

        typer.echo(f"igaku {metadata.version('igaku')}")
        raise typer.Exit


@app.callback()
def igaku(
    version: Annotated[
        bool,
        typer.Option("--version", callback=version, is_eager=True, help="Say it, end."),
    ] = False,
) -> None:
    """Ask local language models the Japanese medical licensing exam."""


for command in (listing.models, listing.card, listing.runs, listing.exams):
    app.command()(command)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")],
) -> None:
    """Make a workbook folder: the notebooks, params/ and outputs/."""
    from igaku import commands

    made, kept = commands.new(folder)
    if kept:
        typer.echo(f"Left as they are: {', '.join(map(str, kept))}", err=True)
    typer.echo(f"{len(made)} files made in {folder}. Work inside it, as in a checkout:")
    typer.echo(f"  cd {folder}\n  igaku check MODEL")


@app.command()
def run(
    model: Model,
    limit: Annotated[int | None, typer.Option(help="Questions; else all.")] = None,
    exam: Annotated[str | None, typer.Option(help="Year, or calibration.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Of a reply.")] = None,
    reasoning_effort: Annotated[
        str | None, typer.Option(help="Such as low, medium or high.")
    ] = None,
    base_url: Address = None,
    load: Annotated[
        bool | None, typer.Option("--load", help="Have LM Studio load the model.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="In flight at once.")] = None,
    name: Annotated[
        str | None, typer.Option("--run", help="Folder of the run; else the slug.")
    ] = None,
    outputs: Outputs = None,
    more: Annotated[
        list[str] | None,
        typer.Option("-p", help="Another parameter of run.ipynb, as NAME=VALUE."),
    ] = None,
    lang: PageLanguage = "en",
) -> None:
    """Ask a model its exam, show how it goes, and write the page; go on where it is."""
    from igaku import commands

    named = {
        "limit": limit, "exam": exam, "max_tokens": max_tokens,
        "reasoning_effort": reasoning_effort, "base_url": base_url, "load": load,
        "concurrency": concurrency, "run": name,
        "outputs_dir": str(outputs.absolute()) if outputs else None,
    }  # fmt: skip
    typer.echo(commands.run(model, named, more or (), lang).absolute().as_uri())


@app.command()
def analyse(outputs: Folder = None, lang: PageLanguage = "en") -> None:
    """Compare all runs by analysis.ipynb, and render every page."""
    from igaku import commands

    typer.echo(commands.analyse(outputs, lang).absolute().as_uri())


@app.command()
def report(outputs: Folder = None, lang: PageLanguage = "en") -> None:
    """Write the report of all runs, without the notebook around it."""
    from igaku import commands

    typer.echo(commands.report(outputs, lang).absolute().as_uri())


@app.command("open")
def open_page(
    what: Annotated[
        str | None,
        typer.Argument(help="A run, report, analysis, replies, mechanism or index."),
    ] = None,
    outputs: Outputs = None,
) -> None:
    """Open a page in the browser; the report, or what there is, unless told."""
    from igaku import commands

    commands.show(commands.page_of(what, outputs))


@app.command()
def check(
    model: Model,
    base_url: Address = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for the reply; else 120.")
    ] = None,
) -> None:
    """See whether a model can be asked, by one question: server, model, context."""
    from igaku.ask.run import questions_of, server_of
    from igaku.params.fields import LAB
    from igaku.params.settings import settings_from, slug_meant
    from igaku.server.client import reach
    from igaku.words import formatted, word

    settings = settings_from(model=model, base_url=base_url, timeout=timeout)
    if settings.base_url != LAB:  # a missing server is told before an exam is fetched
        try:
            reach(settings.base_url)
        except ServerUnreachable as down:
            told = str(down).rstrip(".")
            raise ServerUnreachable(f"{told}{slug_meant(model)}.") from down

    def tell(what: str, found: object) -> None:
        typer.echo(f"{word('what', what, 'en'):32}{formatted(found)}")

    with server_of(settings) as server:
        server.check(questions_of(settings), tell)


@app.command()
def serve(
    slug: Annotated[str, typer.Argument(help="An embedded model, as in params/lab.")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="A free one unless told.")
    ] = None,
) -> None:
    """Serve an embedded model over HTTP until Ctrl-C."""
    from igaku.lab.serve import serve_forever

    serve_forever(slug, port)


@app.command()
def quantize(
    recipe: Annotated[str, typer.Argument(help="One of the lab's recipes.")],
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of any unquantized or released gpt-oss.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; else one in the cache.")
    ] = None,
) -> None:
    """Quantize a gpt-oss checkpoint by a recipe, as the embedded models were."""
    from igaku.lab.variants import quantize as write_variant

    typer.echo(write_variant(recipe, checkpoint, out))


@app.command()
def demo(lang: PageLanguage = "en") -> None:
    """Ask the embedded models their exam, compare them and render the pages."""
    from igaku.demo import demo as run_demo

    run_demo(lang)


@app.command()
def sweep(
    name: Annotated[
        str, typer.Argument(help="A file of params/sweeps, by name or by its path.")
    ],
    outputs: Outputs = None,
    lang: PageLanguage = "en",
    only: Annotated[
        str | None, typer.Option(help="Make this run alone, in one attempt.")
    ] = None,
    attempt: Annotated[
        int, typer.Option(min=1, help="Which attempt that is: some failures last.")
    ] = 1,
    status: Annotated[bool, typer.Option("--status", help="Say where it is.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Analyse what there is, and report.")
    ] = False,
    analyse: Annotated[
        bool, typer.Option(help="Compare all runs in the end, and render.")
    ] = True,
) -> None:
    """Go through many runs unattended, one after the other on each server."""
    from igaku.sweep import lanes
    from igaku.sweep.file import read_sweep
    from igaku.sweep.status import status_text

    plan = read_sweep(name, outputs)
    if status:
        typer.echo(status_text(plan))
    elif only:
        lanes.attempt_one(plan, only, attempt, lang)
    elif report:
        typer.echo(lanes.finish(plan, lang, analyse))
    else:
        typer.echo(lanes.sweep(plan, lang, analyse))


@app.command()
def declare(
    question: Annotated[str, typer.Option(help="What the study asks.")],
    outputs: Folder = None,
    reference: Annotated[
        str | None, typer.Option(help="Run or model that the others are held against.")
    ] = None,
    family: Annotated[
        list[str] | None, typer.Option(help="Run or model compared; may be repeated.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Of “not worse”, a fraction; else 0.025.")
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Of a difference, two-sided; else 0.05.")
    ] = None,
    exam: Annotated[
        list[str] | None, typer.Option(help="Year of an exam; may be repeated.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="How often each model is asked; else once.")
    ] = None,
    stopping: Annotated[
        str | None, typer.Option(help="When a run ends early: when-broken, or never.")
    ] = None,
) -> None:
    """Declare the analysis before the first run: study.yaml, dated and hashed."""
    from igaku.study.declared import declare as write

    names, exams = (",".join(each or []) or None for each in (family, exam))
    path = write(
        outputs, question=question, reference=reference, family=names, margin=margin,
        level=level, exams=exams, repeats=repeats, stopping=stopping,
    )  # fmt: skip
    typer.echo(f"{path}\n{path.read_text(encoding='utf-8')}")


@app.command("import")
def recorded(
    paths: Annotated[
        list[Path], typer.Argument(help="Files of results, or folders of them.")
    ],
    slug: Annotated[
        str | None, typer.Option(help="Name of one run; else by the files' names.")
    ] = None,
    year: Annotated[
        int, typer.Option(help="Year of the exam, where no file's name tells it.")
    ] = 2022,
    prompt: Annotated[
        str | None, typer.Option(help="One prompt; else each found is a run.")
    ] = None,
    outputs: Outputs = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of IgakuQA's files; else the cache.")
    ] = None,
) -> None:
    """Take in results recorded elsewhere, each model's files as one run."""
    from igaku.study.recorded import import_folder

    imported = import_folder(paths, outputs, slug, year, data, prompt)
    for run in imported:
        typer.echo(run, err=run.folder is None)
    if failed := [run.run for run in imported if run.folder is None]:
        raise IgakuError(f"Not imported, for what is said above: {', '.join(failed)}.")


@app.command()
def rescue(
    run: Run,
    max_tokens: Annotated[
        int | None, typer.Option(help="Token budget; else four times the run's.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of the server; else the run's.")
    ] = None,
    outputs: Outputs = None,
    lang: PageLanguage = "en",
) -> None:
    """Ask again what a run lost to its budget: with more tokens, then with as many."""
    from igaku.rescue import rescue as ask_again

    for folder in ask_again(run, max_tokens, base_url, outputs, lang):
        typer.echo(folder)


@app.command()
def repair(
    run: Run,
    write: Annotated[
        bool, typer.Option("--write", help="Do it; else it is only shown.")
    ] = False,
    outputs: Outputs = None,
) -> None:
    """Heal a damaged folder: set bad lines aside, rebuild a lost manifest."""
    from igaku.ask.repair import repair as heal
    from igaku.paths import outputs_folder

    typer.echo("\n".join(heal(run, outputs_folder(outputs), write)))


@app.command()
def render(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Executed notebooks, or folders of them; else outputs/."),
    ] = None,
) -> None:
    """Write the page of each executed notebook beside it, as one HTML file."""
    from igaku.pages.notebooks import render as render_folder
    from igaku.pages.notebooks import render_notebook
    from igaku.paths import OUTPUTS

    for path in paths or [OUTPUTS]:
        if path.suffix == ".ipynb":
            typer.echo(render_notebook(path))
        else:
            typer.echo("\n".join(map(str, render_folder(path))))


if __name__ == "__main__":
    main()
