"""What some tests need and not every machine has. In CI its absence is a failure; elsewhere the test is skipped."""

import os
from pathlib import Path

import pytest


def require(condition: object, reason: str) -> None:
    """Go on where `condition` holds; else fail in CI (`$CI` is set), and skip with the reason elsewhere."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


def require_data() -> Path:
    """The folder of human recordings that `$W2V2_TEACH_DATA` names.

    A machine that names none does without, in CI, too: the test is skipped. A folder that is named must be there.
    """
    folder = os.environ.get("W2V2_TEACH_DATA")
    if not folder:
        pytest.skip("human recordings: $W2V2_TEACH_DATA is not set")
    require(Path(folder).is_dir(), f"human recordings: $W2V2_TEACH_DATA names {folder}, which is no folder")
    return Path(folder)
