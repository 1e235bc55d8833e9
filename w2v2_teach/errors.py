"""The base class of every error that a reader's files, options or machine can cause."""


class CourseError(Exception):
    """Something outside the code has to change; the message says what is wrong, where, and what to do.

    The command line prints the message and exits with status 1. Any other exception is a fault of the course itself.
    """
