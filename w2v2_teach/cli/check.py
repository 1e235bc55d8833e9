"""`w2v2-teach check`"""

from argparse import ArgumentParser, Namespace

from w2v2_teach.course.environment import check_environment


def add_options(parser: ArgumentParser) -> None:
    """There are none."""
    parser.set_defaults(run=check)


def check(_options: Namespace) -> None:
    """Print one line for each thing that the course needs or can use."""
    print(check_environment())
