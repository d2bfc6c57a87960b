"""When and where: the only code that imports Prefect. Whether a stage runs is DVC's decision, what it does is in tasks/."""
