"""CPU-bound work on parts of a data set: in this process, in several processes, or on a Ray cluster. The result is the same.

Calls to models are not spread: one event loop reaches the endpoint's own limit (docs/scale.md).
"""
