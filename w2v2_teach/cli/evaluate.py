"""`w2v2-teach evaluate MODEL`"""

import json
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from w2v2_teach.cli.options import MODEL_HELP
from w2v2_teach.course.environment import device, versions
from w2v2_teach.errors import CourseError
from w2v2_teach.files import replacing
from w2v2_teach.tasks.evaluate_checkpoint import evaluate_checkpoint


def add_options(parser: ArgumentParser) -> None:
    """The model, and a file for the results."""
    parser.description = "Measure a model on speakers it was not trained on. Its head decides what is measured."
    parser.add_argument("checkpoint", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help="a JSON file for the results")
    parser.set_defaults(run=evaluate)


def evaluate(options: Namespace) -> None:
    """Measure, print a table, and write everything to the file."""
    if options.out is not None:
        require_writable(options.out)
    results = evaluate_checkpoint(options.checkpoint, device())
    try:
        if options.out is not None:
            save_results(options.out, options.checkpoint, results)
    finally:  # the numbers are printed even if the disk is full by now
        print_results(results)


def require_writable(file: Path) -> None:
    """Raise CourseError, before minutes of work, if nothing can be written to `file`."""
    if file.exists() and not file.is_file():
        raise CourseError(f"{file} is not a file that can be replaced; name another for the results.")
    try:
        tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as error:
        raise CourseError(f"{file} cannot be written: {error.strerror}; choose another folder or create it.") from error


def save_results(file: Path, checkpoint: str, results: dict[str, Any]) -> None:
    """Write the results, with the checkpoint's name and the machine, as JSON."""
    content = {"checkpoint": checkpoint, "machine": versions(), **results}
    with replacing(file) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def print_results(results: dict[str, Any]) -> None:
    """One line for each number; beside it the untrained network's, and the yardsticks' where they have it, too."""
    trained = results.get("trained", results)
    by_layer = "layers" in trained
    others = {"untrained": results.get("untrained", {}), **({} if by_layer else results.get("yardsticks", {}))}
    for name, value in trained.items():
        if not isinstance(value, dict):
            beside = (f"   {other} {numbers[name]:10.3f}" for other, numbers in others.items() if name in numbers)
            print(f"{name:<24} {value:10.3f}{''.join(beside)}")
    if by_layer:
        print(layer_table(results))
    for corpus, table in results.get("reliability", {}).items():
        print(reliability_table(corpus, table))


def reliability_table(corpus: str, table: dict[str, Any]) -> str:
    """What a recognizer's word confidences are worth on a corpus: a line for each bin, and the mean distance."""
    lines = [f"\n{corpus + ': confidence from':<36}{'mean confidence':>18}{'share right':>14}{'words':>9}"]
    for b in table["bins"]:
        lines.append(f"{b['lower']:<36.1f}{b['mean_confidence']:>18.3f}{b['share_right']:>14.3f}{b['count']:>9}")
    return "\n".join([*lines, f"expected calibration error {table['expected_calibration_error']:.3f}"])


def layer_table(results: dict[str, Any]) -> str:
    """What each layer, trained and untrained, and each yardstick says of human phones and of digits, a line each."""
    measures = "cluster_pnmi", "cluster_pnmi_shuffled", "phone_accuracy", "digit_accuracy"
    rows = {f"{side} {name}": row for side in ("trained", "untrained") for name, row in results[side]["layers"].items()}
    lines = [f"{'':<36}" + "".join(f"{measure:>23}" for measure in measures)]
    for name, row in (rows | results["yardsticks"]).items():
        lines.append(f"{name:<36}" + "".join(f"{row[m]:>23.3f}" if m in row else " " * 23 for m in measures))
    return "\n".join(lines)
