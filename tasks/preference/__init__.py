"""Preference pairs for DPO: which requests are answered again, which of their answers are preferred, and how lengths bias the choice."""
