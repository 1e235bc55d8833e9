"""Create .venv and install the course into it; called by the Makefile with whatever Python there is.

It says in one sentence what is wrong where it cannot go on, so it must run (and fail well) on old Pythons, too.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

OLDEST, NEWEST = (3, 10), (3, 13)
FREE_GIB = 4  # the environment takes 2.2 GiB with PyTorch's CPU build, and pip needs room to unpack
VENV = ".venv"


def stop(sentence):
    sys.exit("Cannot set up the course: " + sentence)


def check_python():
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        sentence = "this is Python {}.{}, and it needs 3.10 to 3.13; name one with `make PYTHON=python3.12 …`."
        stop(sentence.format(*version))
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        stop("this Python has no venv module; on Debian and Ubuntu, `apt install python3-venv` brings it.")


def check_disk():
    free = shutil.disk_usage(".").free / 2**30
    if free < FREE_GIB and not os.path.exists(os.path.join(VENV, "installed")):
        stop("only {:.1f} GiB are free here, and it needs {} GiB.".format(free, FREE_GIB))


def run(what, *command):
    if subprocess.call(command) != 0:
        stop(what + " failed, see above (no network? no disk?); nothing else was changed, run it again when mended.")


def main():
    check_python()
    check_disk()
    run("making " + VENV, sys.executable, "-m", "venv", VENV)  # mends one that was interrupted, keeps a good one
    print("Installing the course into {} (about 2 GiB, a few minutes the first time) …".format(VENV), flush=True)
    pip = [os.path.join(VENV, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run("installing", *pip, "--constraint", "constraints.txt", "--editable", ".[dev]")


if __name__ == "__main__":
    main()
