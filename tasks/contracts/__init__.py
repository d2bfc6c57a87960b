"""The data contracts: measure a dataset, check it against expectations before planning, assembly and training, and show the result."""
