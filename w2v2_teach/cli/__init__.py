"""The command line: `w2v2-teach check | download | convert | pretrain | finetune | evaluate | transcribe`.

Each command is a module with `add_options(parser)`, which also names the function to run. Only the command that is
asked for is imported, so that `--help` does not wait for torch.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from w2v2_teach import __version__
from w2v2_teach.errors import CourseError

COMMANDS = {
    "check": "show what this machine has, what is missing, and how to get it",
    "download": "fetch a corpus or a published checkpoint from its publisher",
    "convert": "write a checkpoint of fairseq or torchaudio in Hugging Face's format",
    "pretrain": "pre-train a model on speech without labels",
    "finetune": "fine-tune a pre-trained model on labels",
    "evaluate": "measure a model on speakers it was not trained on",
    "transcribe": "transcribe audio files",
}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that explains a mistake in one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit with status 2."""
        self.exit(2, f"{message}; see `{self.prog} --help`.\n")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        words: the command and its options; those of this process if None.

    Returns:
        The exit status: 0 if the command succeeded, 1 if it could not do what was asked. (A mistake in the command line
        itself exits with 2 at once.)
    """
    words = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack ✓, or the letters of a transcript
    try:
        try:
            options = command_parser(words).parse_args(words, argparse.Namespace(words=words))
            return options.run(options) or 0
        finally:
            flush_output()
    except BrokenPipeError:  # whoever reads our output has seen enough, as `| head` has
        return 1
    except KeyboardInterrupt:
        return failed("interrupted")
    except OSError as error:
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error)
    except (CourseError, ImportError) as error:
        return failed(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return failed(f"out of memory: use less at once, such as a smaller --batch-size or --window ({error})")


def command_parser(words: list[str]) -> Parser:
    """The parser of all commands, with the options of the one that `words` begin with."""
    if words[:1] == ["--"]:  # `torchrun … -m w2v2_teach.cli -- pretrain …`
        del words[0]
    if not words:
        words.append("--help")
    parser = Parser(prog="w2v2-teach", description="Train and use the speech models of the course.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.", allow_abbrev=False)
        if words[0] == name:
            import_module(f"w2v2_teach.cli.{name}").add_options(command)
    return parser


def failed(message: object) -> int:
    """Print one line on the standard error; returns the exit status."""
    print(*str(message).splitlines(), file=sys.stderr)
    return 1


def flush_output() -> None:
    """Write what is still buffered, here, where a failure can be reported, not when the interpreter ends.

    Raises:
        OSError: the disk is full, or nobody reads the pipe; what could not be written is dropped.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Whether the processor's or the GPU's memory is full; torch has no class of its own for the first."""
    gpu = type(error).__name__ == "OutOfMemoryError"  # torch's
    return gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error)
