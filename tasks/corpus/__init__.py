"""Instructions and datasets: filters, selection, duplicates, contamination, personal data, and samples made from drafts."""
