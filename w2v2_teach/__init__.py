"""A course that builds wav2vec 2.0 from nothing; the notebooks import every component from here."""
