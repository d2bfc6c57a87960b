"""The evaluator as an application: evaluate a model, score recorded outputs, compare two evaluations, run duels, run in CI.

`score` and `compare` are its Python interface; the command is `longwriter eval`.
"""

from tasks.evaluation.api import Scores, compare, score

__all__ = ["Scores", "compare", "score"]
