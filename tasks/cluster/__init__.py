"""Where the parts of a stage's work are done: in its own process, in several of this machine, or on a Ray cluster; the result is the same.

`spread` is for plain functions of rows, `share` for work that talks to models. Money, limits and the journal of paid replies stay with
the process that runs the stage: a worker asks it before it pays, and hands it the reply before it uses it.
"""
