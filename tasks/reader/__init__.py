"""The reader: a local page over the texts of a dataset, drafts, predictions or an evaluation. It reads and never writes data."""
