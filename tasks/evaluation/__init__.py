"""The evaluator as an application: evaluate a model, score recorded outputs, compare two evaluations, duels, CI."""
