"""Benchmarks of long-form writing as plug-ins: items, scoring by rule and by the judge, aggregation, cards, pinned sources."""
