"""A course that builds wav2vec 2.0 from nothing; the notebooks import every component from here."""

__version__ = "0.1.0"  # the one place that says so
