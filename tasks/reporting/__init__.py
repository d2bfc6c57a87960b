"""The report: one HTML page per run, with its data, plots and template."""
