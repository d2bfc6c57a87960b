"""A Ray cluster of two machines with one CPU each, as processes of this one: `python -m tests.tasks.cluster.machines`.

Says its address, and ends when its standard input does.
"""

import os
import sys

TRIES = 3  # a busy machine may miss Ray's own time-out of 30 seconds


def main() -> None:
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray.cluster_utils import Cluster

    ensure_token_if_auth_enabled()
    for left in reversed(range(TRIES)):
        cluster = Cluster(initialize_head=False)
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1, include_dashboard=False)
            break
        except Exception:
            cluster.shutdown()
            if not left:
                raise
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
