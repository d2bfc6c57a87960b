"""Run CPU-bound work on parts of a data set: in this process, in several processes, or on a Ray cluster, with the same result.

Model calls are not distributed: one event loop reaches the endpoint's own limit (docs/scale.md).
"""
