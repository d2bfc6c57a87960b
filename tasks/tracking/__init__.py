"""MLflow: runs, model versions, aliases. The only package that imports mlflow, and only inside functions."""
