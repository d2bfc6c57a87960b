"""Publishing beside `aws s3 cp --recursive`: the same folder, the same real S3 server, turn by turn; and the memory it takes."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.tasks.storage import servers

SIZE, FILES, ROUNDS = 128 * 2**20, 2, 3  # bytes of a file
IMPORTS = "import sys; from pathlib import Path; from tasks.storage.place import place; "
PUBLISH = IMPORTS + "from tasks.storage.publish import publish; publish(Path(sys.argv[1]), sys.argv[2], to=place(), label=None)"
FETCH = IMPORTS + "from tasks.storage.fetch import fetch; fetch(sys.argv[2], Path(sys.argv[1]), source=place(), label=None)"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "server").mkdir()
        made = root / "made"
        made.mkdir()
        for number in range(FILES):
            with (made / f"{number}.safetensors").open("wb") as file:
                for _ in range(SIZE // 2**20):
                    file.write(os.urandom(2**20))
        with servers.rclone(root / "server") as url:
            _environment(url)
            _run([sys.executable, "-m", "tasks.storage", "bucket", "--plain"])
            up, aws_up, down, aws_down = [], [], [], []
            for turn in range(ROUNDS):
                there, got, aws_got = f"turn-{turn}", root / f"got-{turn}", root / f"aws-{turn}"
                up.append(_timed([sys.executable, "-c", PUBLISH, str(made), there]))
                aws_up.append(_timed(_aws(url, str(made), f"s3://bucket/aws/{there}")))
                down.append(_timed([sys.executable, "-c", FETCH, str(got), there]))
                aws_down.append(_timed(_aws(url, f"s3://bucket/aws/{there}", str(aws_got))))
                for folder in (got, aws_got):
                    shutil.rmtree(folder)
    mib = SIZE * FILES / 2**20
    _say("publish", mib, up, aws_up)
    _say("fetch", mib, down, aws_down)
    print(f"peak memory of any of these processes {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


def _say(what: str, mib: float, ours: list[float], theirs: list[float]) -> None:
    ratio: Callable[[list[float], list[float]], float] = lambda a, b: statistics.median(b) / statistics.median(a)  # noqa: E731
    print(
        f"{what}, verified: {mib / statistics.median(ours):.0f} MiB/s; aws s3 cp {mib / statistics.median(theirs):.0f} MiB/s; "
        f"ratio {ratio(ours, theirs):.2f} (medians of {ROUNDS} of {mib:.0f} MiB, processes started and all)",
        flush=True,
    )


def _aws(url: str, source: str, target: str) -> list[str]:
    return [str(servers.BIN / "aws"), "--endpoint-url", url, "s3", "cp", "--recursive", "--only-show-errors", source, target]


def _environment(url: str) -> None:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": servers.KEY,
        "AWS_SECRET_ACCESS_KEY": servers.SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "LONGWRITER_S3_ENDPOINT": url,
        "LONGWRITER_STORE": "s3://bucket/team",
    }


def _timed(command: list[str]) -> float:
    start = time.monotonic()
    _run(command)
    return time.monotonic() - start


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
