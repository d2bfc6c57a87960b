"""Prefect flows: when and where stages run. Only this package imports Prefect. DVC decides whether a stage runs; tasks/ does the work."""
