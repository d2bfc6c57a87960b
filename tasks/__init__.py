"""What the pipeline does, stage by stage. Nothing in here imports Prefect.

Stages are verbs (one file, one `run`); library packages are nouns. Importing `tasks` switches every tool's telemetry
off: it has to happen before those tools are imported, child processes inherit it, and it is the only import-time
effect in the project. A value that the user has set wins. (A stage, and a process that works for one, also ends with its parent from
its first moment on: what is imported after this takes a second, in which its parent may die.)
"""

import os
import sys

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # MLflow executes pickles by default; this project loads safetensors and JSON only.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}

for _name, _value in TELEMETRY_OFF.items():
    os.environ.setdefault(_name, _value)

_FOR_OTHERS = "DVC_STAGE" in os.environ or "LONGWRITER_OWNER" in os.environ
if _FOR_OTHERS and sys.argv[:1] == ["-m"] and "tasks.tracking.recorder" not in sys.orig_argv:  # which writes down how its stage ended
    from tasks.processes import die_with_parent

    die_with_parent()
