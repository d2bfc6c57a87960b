"""LLM judges: prompts, strict reading of their replies, pairwise comparisons, and how reliable the judges are."""
