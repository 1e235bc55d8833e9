"""`w2v2-teach …` in this process: what it prints, and its exit status."""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from w2v2_teach.cli import main


class Result(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


def invoke(*words: object, encoding: str = "utf-8") -> Result:
    """Run a command; `encoding` is the terminal's."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:  # a mistake in the command line, or --help
            status = error.code
    return Result(status, *(text(stream, encoding) for stream in (output, errors)))


def text(stream: io.TextIOWrapper, encoding: str) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)
