"""lm-evaluation-harness, in a process of its own, against the candidate's endpoint."""
