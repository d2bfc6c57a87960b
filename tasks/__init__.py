"""The pipeline's stages and libraries. Nothing in this package imports Prefect.

Stages are verbs (one file, one `run`); library packages are nouns. Importing `tasks` turns off the telemetry of all tools. This must
happen before those tools are imported, and child processes inherit it. A variable that the user has set is not changed. A stage, or a
process that works for one, also asks the kernel here to end it with its parent, because the parent may die during the later imports.
The project has no other import-time effects.
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
if _FOR_OTHERS and sys.argv[:1] == ["-m"] and "tasks.tracking.recorder" not in sys.orig_argv:  # it records how its stage ended
    from tasks.processes import die_with_parent

    die_with_parent()
