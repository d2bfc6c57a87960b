"""Any number of raw rows through the cheap filters: parts of files on all cores or a cluster, what is left on disk, copies by hashes."""
