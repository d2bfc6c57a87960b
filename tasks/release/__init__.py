"""Releases of the dataset: a folder with a card, a version with a tag, and the difference between two versions."""
