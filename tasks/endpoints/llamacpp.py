"""llama.cpp's server on this machine's processors: `python -m tasks.endpoints.llamacpp MODEL.gguf --port PORT …`, by the package xllamacpp.

Sampling is what the request says and nothing else: llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) are switched off, so that
a model is the same whatever serves it.
"""

import os
import signal
import sys
import threading
from importlib.util import find_spec
from typing import Annotated

import typer

KEY = "LLAMACPP_API_KEY"  # in the environment: a command line can be read by all
HOST = "127.0.0.1"


def is_installed() -> bool:
    """Is the extra `llamacpp` there?"""
    return find_spec("xllamacpp") is not None


def main(
    model: str,
    port: Annotated[int, typer.Option()],
    context: Annotated[int, typer.Option(help="tokens of each slot")],
    slots: Annotated[int, typer.Option(help="requests at once")],
    threads: Annotated[int, typer.Option()],
) -> None:
    """Serve a GGUF file until SIGTERM."""
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = model
    params.hostnames, params.port = [HOST], port
    params.api_keys = [os.environ[KEY]]
    params.n_parallel, params.n_ctx = slots, slots * context
    params.kv_unified = False  # each slot has its context: no request fails because others are long
    for own in (params.cpuparams, params.cpuparams_batch):
        own.n_threads = threads
        own.poll = 0  # threads that wait asleep: spinning ones are ruinous where other processes share the cores
    params.use_jinja = params.endpoint_metrics = True
    params.sampling.top_k, params.sampling.top_p, params.sampling.min_p = 0, 1.0, 0.0
    server = Server(params)
    print(f"serving {model} at {server.listening_address}", flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    sys.stdout.flush()
    os._exit(0)  # the requests under way are not waited for


if __name__ == "__main__":
    typer.run(main)
