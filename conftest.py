"""Kernels that the tests start refuse every connection that leaves this machine (see tests/offline)."""

import os
from pathlib import Path

os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent / "tests" / "offline"), os.environ.get("PYTHONPATH")])
)
