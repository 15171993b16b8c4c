"""`igaku models`, `card`, `runs` and `exams`: what there is, as tables in a terminal.

What several commands take is here too, with what a shell completes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from igaku.words import aligned


def slugs_of() -> list[str]:
    """The models that a shell may complete."""
    from igaku.params.settings import slugs

    return slugs()


def runs_of() -> list[str]:
    """The runs under outputs/ that a shell may complete."""
    from igaku.paths import OUTPUTS

    return sorted(file.parent.name for file in OUTPUTS.glob("*/manifest.json"))


Folder = Annotated[
    Path | None, typer.Argument(help="Folder of the runs; else outputs/.")
]

Address = Annotated[
    str | None, typer.Option("--base-url", help="Of the server, ending in /v1.")
]
Model = Annotated[
    str,
    typer.Argument(
        help="Slug of params/, or a name that the server knows.",
        autocompletion=slugs_of,
    ),
]

Run = Annotated[
    str,
    typer.Argument(help="A run under outputs/, by its name.", autocompletion=runs_of),
]


def models(base_url: Address = None) -> None:
    """List the models of params/ and of the server, and which card fits which."""
    from igaku.server.models import models as listed

    found, address = listed(base_url)
    typer.echo(aligned(found.drop(columns="format").dropna(axis=1, how="all")))
    if found["server"].isna().all():
        other = "start the server there, or give another's address by --base-url"
        typer.echo(f"\n{address} lists no model: {other}.", err=True)
    elif (found["slug"].isna()).any():
        at = f" --base-url {base_url}" if base_url else ""
        command = f"igaku card NAME{at} --write"
        typer.echo(f"\nA model without a slug gets a file by: {command}")


def card(
    model: Model,
    base_url: Address = None,
    write: Annotated[
        bool, typer.Option("--write", help="Into params/, if no file is there.")
    ] = False,
) -> None:
    """Say what the server knows of a model, as a file of params/."""
    from igaku.server.models import card_from, save_card

    if write:
        path = save_card(model, base_url)
        typer.echo(path)
        typer.echo(f"Now it can be asked by: igaku run {path.stem}", err=True)
    else:
        typer.echo(card_from(model, base_url).text)


def runs(outputs: Folder = None) -> None:
    """List the runs: status, score, what was lost, whose weights, which run now."""
    from igaku.study.overview import listing

    typer.echo(aligned(listing(outputs)))


def exams() -> None:
    """List the exams by year and number, and where their files are."""
    from igaku.exam.igakuqa import exams as listed

    typer.echo(aligned(listed()))
