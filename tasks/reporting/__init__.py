"""One page of a run: what is read for it, its plots, and its template."""
