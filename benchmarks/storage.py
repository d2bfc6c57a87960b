"""Compare publishing and fetching with `aws s3 cp --recursive`, in alternating turns, on the same folders and the same real S3 server.

The folders are a checkpoint of few large files and a dataset of many small files. Times include the start of the processes. The server
limits the rate: the bound is a bare HTTP client that uploads the same bytes without hashing or checks. On this server publishing reads
every byte twice: for the manifest's SHA-256, and for the MD5 that is compared with the server's ETag, because this server returns no
other digest. The server checks no digest that it receives, so nothing verifies `aws s3 cp` here. A second peer sends SHA-256, as
publishing does.
"""

import hashlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.schema.settings import settings
from tasks.storage.client import connect
from tests.tasks.storage import servers

ROUNDS = 6
TRIES = 5  # attempts of a bare request
IMPORTS = "import sys; from pathlib import Path; from tasks.storage.place import place; "
# Peak memory in KiB, like benchmarks.processes.most_memory, but without its imports, which would be timed too.
MEMORY = "; print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
PUBLISH = IMPORTS + "from tasks.storage.publish import publish; publish(Path(sys.argv[1]), sys.argv[2], to=place(), label=None)" + MEMORY
FETCH = IMPORTS + "from tasks.storage.fetch import fetch; fetch(sys.argv[2], Path(sys.argv[1]), source=place(), label=None)" + MEMORY


class Timing(NamedTuple):
    name: str
    files: int
    size: int  # bytes of a file


class Done(NamedTuple):
    seconds: float
    memory: int  # KiB, of publish and fetch


SAMPLES = (Timing("checkpoint", 2, 128 * 2**20), Timing("dataset", 400, 2**16))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "server").mkdir()
        with servers.rclone(root / "server", looks="5m") as url:
            _environment(url)
            _run([sys.executable, "-m", "tasks.storage", "bucket", "--plain"])
            for sample in SAMPLES:
                _compare(sample, root, url)


def _compare(sample: Timing, root: Path, url: str) -> None:
    made = _made(sample, root / sample.name)
    turns = [_turn(made, root / "got", f"{sample.name}-{number}", url, peer_first=number % 2 == 1) for number in range(ROUNDS)]
    publish, aws_up, bare, aws_alike, fetch, aws_down = zip(*turns, strict=True)
    mib = sample.files * sample.size / 2**20
    print(f"{sample.name}: {sample.files} files, {mib:.0f} MiB; medians of {ROUNDS} turns [least, most]")
    _say("publish", mib, publish, aws_up)
    _say("publish", mib, publish, aws_alike, peer="with --checksum-algorithm SHA256")
    rate, md5 = _rate(mib, [one.seconds for one in bare]), _md5(made)
    print(f"  bound of publishing: a bare HTTP client {rate}; MD5 of the bytes on one core {md5:.2f} s")
    _say("fetch", mib, fetch, aws_down)
    print(f"  peak memory of publish and fetch {max(one.memory for one in publish + fetch) / 2**10:.0f} MiB", flush=True)


def _turn(made: Path, got: Path, there: str, url: str, *, peer_first: bool) -> tuple[Done, ...]:
    """One turn of all contenders. Ours and the peer alternate in going first, because the server's disk load differs."""
    up = (
        lambda: _run([sys.executable, "-c", PUBLISH, str(made), there]),
        lambda: _aws(url, str(made), f"s3://bucket/aws/{there}"),
    )
    down = (
        lambda: _run([sys.executable, "-c", FETCH, str(got / "ours"), there]),
        lambda: _aws(url, f"s3://bucket/aws/{there}", str(got / "aws")),
    )
    alike = lambda: _aws(url, str(made), f"s3://bucket/aws-alike/{there}", "--checksum-algorithm", "SHA256")  # noqa: E731
    done = (*_both(*up, peer_first), _timed(lambda: _bare(made, f"bare/{there}")), _timed(alike), *_both(*down, peer_first))
    shutil.rmtree(got)
    return done


def _both(ours: Callable[[], str], peer: Callable[[], str], peer_first: bool) -> tuple[Done, Done]:
    if peer_first:
        after = _timed(peer)
        return _timed(ours), after
    return _timed(ours), _timed(peer)


def _timed(step: Callable[[], str]) -> Done:
    start = time.monotonic()
    said = step()
    return Done(time.monotonic() - start, int(said or 0))


def _say(what: str, mib: float, ours: Sequence[Done], theirs: Sequence[Done], *, peer: str = "") -> None:
    ratios = sorted(other.seconds / own.seconds for own, other in zip(ours, theirs, strict=True))
    print(
        f"  {what}, verified: {_rate(mib, [one.seconds for one in ours])}; "
        f"{' '.join(('aws s3 cp', peer)).strip()} {_rate(mib, [one.seconds for one in theirs])}; "
        f"ratio of each turn {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
    )


def _rate(mib: float, seconds: list[float]) -> str:
    return f"{mib / statistics.median(seconds):.0f} MiB/s [{mib / max(seconds):.0f}, {mib / min(seconds):.0f}]"


def _made(sample: Timing, folder: Path) -> Path:
    folder.mkdir()
    for number in range(sample.files):
        (folder / f"{number}.safetensors").write_bytes(os.urandom(sample.size))
    return folder


def _bare(folder: Path, prefix: str) -> str:
    """Upload every file with one request from the page cache, with as many at once as publishing has."""
    client = connect()

    def put(path: Path) -> None:
        url = client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": f"{prefix}/{path.name}"})
        statuses = [_put(url, path)]
        while statuses[-1] != 200:  # retry, as every S3 client does
            assert len(statuses) < TRIES, statuses
            statuses.append(_put(url, path))

    with ThreadPoolExecutor(settings().transfers) as pool:
        list(pool.map(put, folder.iterdir()))
    return ""


def _put(url: str, path: Path) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", str(path.stat().st_size))
    connection.endheaders()
    with path.open("rb") as file:
        connection.sock.sendfile(file)
    status = connection.getresponse().status
    connection.close()
    return status


def _md5(folder: Path) -> float:
    start = time.thread_time()
    for path in folder.iterdir():
        with path.open("rb") as file:
            hashlib.file_digest(file, "md5")
    return time.thread_time() - start


def _aws(url: str, source: str, target: str, *options: str) -> str:
    command = [str(servers.BIN / "aws"), "--endpoint-url", url, "s3", "cp", "--recursive", "--only-show-errors"]
    return _run([*command, *options, source, target])


def _environment(url: str) -> None:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": servers.KEY,
        "AWS_SECRET_ACCESS_KEY": servers.SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "LONGWRITER_S3_ENDPOINT": url,
        "LONGWRITER_STORE": "s3://bucket/team",
    }


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
