"""The command line: `w2v2-teach check`, `w2v2-teach download`."""

from __future__ import annotations

from enum import Enum

import typer

from w2v2_teach import corpus
from w2v2_teach.downloads import DownloadError
from w2v2_teach.environment import check_environment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Download(str, Enum):
    """A corpus that its publisher gives away."""

    fsdd = "fsdd"
    librosa = "librosa"


@app.command()
def check() -> None:
    """Say what this machine has, what is missing, and how to get it."""
    typer.echo(check_environment())


@app.command()
def download(name: Download) -> None:
    """Fetch a corpus from its publisher: verified, cached, and resumed where an earlier try was interrupted."""
    fetch = {Download.fsdd: corpus.fsdd, Download.librosa: corpus.librosa_excerpts}[name]
    try:
        typer.echo(fetch(download=True))
    except DownloadError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
