"""Where the course keeps its data, and files that appear whole or not at all, whatever interrupts the writing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent
IN_WHEEL, IN_CLONE = PACKAGE / "data", PACKAGE.parent / "data"
DATA = IN_WHEEL if IN_WHEEL.is_dir() else IN_CLONE  # the corpora and checkpoints that come with the course


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the path this yields; when the block ends well, it takes the place of `path` in one step.

    An error inside the block leaves `path` as it was, and nothing beside it. Several processes may do so at once.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
