"""`python -m w2v2_teach.cli` is `w2v2-teach`; `torchrun` starts it so."""

import sys

from w2v2_teach.cli import main

if __name__ == "__main__":  # not in a loader's worker, which imports this module anew
    sys.exit(main())
