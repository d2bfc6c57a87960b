"""The offline substitute for real models and data: a rule-based endpoint, its prose, and raw files for a run of the pipeline."""
