"""LongBench-Write and LongWrite-Ruler: what is counted and how it is scored (paper, section 4.1)."""
