"""The data contract: what a dataset must be before anything is trained on it, measured, judged and shown."""
