"""Read rows of external data: an entry of params.yaml is resolved to files, parts of files, rows, and the prompt of each row."""
