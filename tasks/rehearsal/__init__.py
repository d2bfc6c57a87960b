"""The offline stand-in for real models and data: a rule-based endpoint, its prose, and raw files to run the pipeline on."""
