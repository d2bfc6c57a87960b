"""Runs lm-evaluation-harness in a child process against the candidate model's endpoint."""
