"""`w2v2-teach transcribe FILE …`"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from w2v2_teach.cli.options import MODEL_HELP, number
from w2v2_teach.course.environment import device
from w2v2_teach.decoding.transcription import WINDOW, Recognizer, Transcript, json_line, subtitles
from w2v2_teach.decoding.word_models import word_model
from w2v2_teach.errors import CourseError

FORMATS = "text", "json", "srt"


def add_options(parser: ArgumentParser) -> None:
    """The files, the model, and the format."""
    parser.description = (
        "Transcribe audio files. If a file cannot be read, the others are transcribed, and the exit status is 1."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WAV, FLAC, OGG or MP3, of any length")
    parser.add_argument(
        "--model",
        default="tiny-asr",
        help=f"{MODEL_HELP} (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text, the default: a line for each file; json: an object for each, with word times (s); srt: subtitles",
    )
    parser.add_argument(
        "--window",
        type=number(least=2),
        default=WINDOW,
        metavar="X",
        help="seconds that the model processes at once; 15 is better for a published model (default: %(default)s)",
    )
    parser.add_argument(
        "--beam",
        metavar="WORDS",
        help="beam search with a word trigram model: toy, of the bundled corpus' sentences; librispeech, of Mini "
        "LibriSpeech's; or of a text file, a sentence a line",
    )
    parser.set_defaults(run=transcribe, error=parser.error)


def transcribe(options: Namespace) -> int:
    """Print the transcript of each file as soon as it is there; returns 1 if a file could not be read."""
    if options.format == "srt" and len(options.files) > 1:
        options.error("subtitles belong to one recording; give one FILE at a time with --format srt")
    recognizer = Recognizer.from_pretrained(options.model, word_model(options.beam) if options.beam else None)
    recognizer.model.to(device())
    status = 0
    for file in options.files:
        try:
            transcript = recognizer.transcribe(file, options.window)
        except CourseError as error:
            print(error, file=sys.stderr)
            status = 1
        else:
            print(formatted(file, transcript, options.format), end="", flush=True)
    return status


def formatted(file: Path, transcript: Transcript, layout: str) -> str:
    """A transcript as the command prints it."""
    if layout == "srt":
        return subtitles(transcript.words)
    return f"{transcript.text}\n" if layout == "text" else json_line(str(file), transcript)
