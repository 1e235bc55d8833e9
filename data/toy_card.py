"""The figures in the card of the toy speech corpus, computed from its tables."""

import csv
from collections import Counter
from pathlib import Path

from espeak_ng import ARPABET, PAUSE

START, END = "<!-- figures: written by build_toy_speech.py -->", "<!-- end of figures -->"
SAMPLE_RATE = 16_000
SPLITS = ("train", "dev", "test")

Rows = list[dict[str, str]]


def write_card(template: Path, folder: Path) -> None:
    """Write `folder`/README.md: the text of `template`, with the figures of the tables in `folder`.

    Raises:
        RuntimeError: the template is missing or has no place for the figures.
    """
    card = template.read_text(encoding="utf8") if template.is_file() else ""
    if START not in card or END not in card:
        raise RuntimeError(f"{template} must hold the lines {START!r} and {END!r}: restore it from the repository")
    before, after = card[: card.index(START)], card[card.index(END) :]
    (folder / "README.md").write_text(f"{before}{START}\n\n{figures(folder)}\n\n{after}", encoding="utf8")


def figures(folder: Path) -> str:
    """Return the card's figures in Markdown."""
    tables = {path.stem: _read(path) for path in folder.glob("*.tsv")}
    speaker_of = {row["id"]: row["speaker"] for row in tables["utterances"]}
    split_of = {row["speaker"]: row["split"] for row in tables["speakers"]}
    for name in ("phones", "words"):
        for row in tables[name]:
            row["speaker"] = speaker_of[row["id"]]
            row["split"] = split_of[row["speaker"]]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in {".opus", ".tsv"}) / 1e6
    seconds = [_seconds([row]) for row in tables["utterances"]]
    vocabulary = {row["word"] for row in tables["words"]}
    summary = (
        f"Audio and tables take {size:.1f} MB. An utterance lasts {min(seconds):.1f} to {max(seconds):.1f} s, "
        f"{sum(seconds) / len(seconds):.1f} s on average. There are {len(vocabulary)} different words."
    )
    return "\n\n".join([summary, _split_table(tables), _speaker_table(tables), _phone_table(tables)])


def _split_table(tables: dict[str, Rows]) -> str:
    rows = []
    for name in (*SPLITS, "all"):
        own = {key: [r for r in table if name in (r["split"], "all")] for key, table in tables.items()}
        phones = [row for row in own["phones"] if row["phone"] != "sil"]
        spoken = sum(float(row["end"]) - float(row["start"]) for row in phones)
        seconds = _seconds(own["utterances"])
        counts = len(own["speakers"]), len(own["utterances"]), f"{seconds / 60:.1f}", len(own["words"])
        rows.append((name, *counts, len({r["word"] for r in own["words"]}), len(phones), f"{1 - spoken / seconds:.0%}"))
    return _table("split|speakers|utterances|minutes|words|different words|phones|silence", rows)


def _speaker_table(tables: dict[str, Rows]) -> str:
    rows = []
    for speaker in tables["speakers"]:
        own = {key: [r for r in table if r["speaker"] == speaker["speaker"]] for key, table in tables.items()}
        minutes = _seconds(own["utterances"]) / 60
        voice = f"{speaker['language']}+{speaker['variant']}"
        told = speaker["speaker"], speaker["split"], voice, speaker["description"]
        rows.append((*told, f"{minutes:.1f}", f"{len(own['words']) / minutes:.0f}"))
    return _table("speaker|split|voice|description|minutes|words a minute", rows)


def _phone_table(tables: dict[str, Rows]) -> str:
    count = Counter((row["split"], row["phone"]) for row in tables["phones"])
    folds = [*ARPABET.items(), ("sil", [PAUSE])]
    rows = [(phone, " ".join(symbols), *(count[split, phone] for split in SPLITS)) for phone, symbols in folds]
    return _table("phone|espeak-ng's symbols|train|dev|test", rows)


def _read(path: Path) -> Rows:
    with path.open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _seconds(utterances: Rows) -> float:
    return sum(int(row["num_samples"]) for row in utterances) / SAMPLE_RATE


def _table(header: str, rows: list[tuple]) -> str:
    """A Markdown table; `header` holds the column names, separated by bars."""
    names = header.split("|")
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [names, ["---"] * len(names), *rows])
