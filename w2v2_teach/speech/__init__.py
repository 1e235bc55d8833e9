"""Audio files, corpora, and the batches that are made of them."""
