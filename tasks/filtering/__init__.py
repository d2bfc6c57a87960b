"""Filter any number of raw rows without a model: parallel over parts of files, with candidates on disk and duplicates found by hashes."""
