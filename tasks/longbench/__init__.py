"""LongBench-Write and LongWrite-Ruler: benchmark items, word counts and scores (paper, section 4.1)."""
