"""Measure assemble and the contract for external data on 6,000 drafts of about 5,000 words; `make bench`.

The peer only reads, joins and writes the same drafts as Parquet, so the difference to it is the cost of cleaning and measuring. Each
stage runs in its own process, for separate memory. Rates and ratios are in CPU time, which other load on the machine hardly changes.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tasks import store
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Draft, Instruction, Step

DRAFTS, PARAGRAPHS, WORDS, SEED = int(os.environ.get("DRAFTS", "6000")), 10, 500, 7
LOG = 4_000  # characters of a failed process's output that are shown
CODE = {
    "peer": "import orjson, pyarrow as pa, pyarrow.parquet as pq\n"
    "rows = []\nschema = pa.schema({{'id': pa.string(), 'answer': pa.string()}})\n"
    "with open({drafts!r}, 'rb') as file, pq.ParquetWriter({out!r} + '/peer.parquet', schema, compression='zstd') as writer:\n"
    "    for line in file:\n        row = orjson.loads(line)\n"
    "        rows.append({{'id': row['instruction']['id'], 'answer': '\\n\\n'.join(row['paragraphs'])}})\n"
    "        if len(rows) == 500:\n            writer.write_table(pa.Table.from_pylist(rows, schema=schema)); rows.clear()\n"
    "    writer.write_table(pa.Table.from_pylist(rows, schema=schema))\n",
    "assemble": "from pathlib import Path\nfrom tasks import assemble\nfrom tasks.schema.params import load\nparams = load()\n"
    "recipe = params.assemble.chosen.model_copy(update={{'words': params.assemble.chosen.words.model_copy(update={{'max': 40000}})}})\n"
    "general = params.assemble.general.model_copy(update={{'ratio': 0.0}})\n"
    "own = params.assemble.model_copy(update={{'recipes': {{params.assemble.recipe: recipe}}, 'general': general}})\n"
    "out = Path({out!r}) / 'assemble'\nout.mkdir()\n"
    "assemble.run(Path({drafts!r}), Path(), Path(params.collect.folder), Path(params.benchmark), out, seed=1, collect=params.collect,"
    " assemble=own)\n",
    "contract": "from pathlib import Path\nfrom tasks.corpus.dataset import read_dataset\nfrom tasks.corpus.likeness import scored_on\n"
    "from tasks.contracts import contract\nfrom tasks.contracts.checkpoint import check\n"
    "from tasks.contracts.measures import frame, row_of\nfrom tasks.schema.params import load\nparams = load()\n"
    "scored = scored_on(Path(params.benchmark), Path(params.collect.folder), params.collect)\n"
    "rows = (row_of(n, one) for n, one in enumerate(read_dataset(Path({out!r}) / 'assemble/dataset'), 1))\n"
    "measured = frame(rows, scored, None)\n"
    "check(measured, contract.outside(params.validate_dataset, context=None), docs=Path({out!r}) / 'docs')\n",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        drafts = Path(folder) / "drafts.jsonl"
        words = store.write(drafts, (draft(number) for number in range(DRAFTS))) * PARAGRAPHS * WORDS
        print(f"{DRAFTS:,} drafts, {words:,} words, {drafts.stat().st_size / 1e6:,.0f} MB")
        print(f"{'':12}{'wall s':>9}{'CPU s':>9}{'x peer':>9}{'drafts/s':>10}{'MB/s':>8}{'peak MiB':>10}")
        peer = 0.0
        for name, code in CODE.items():
            wall, cpu, memory = measured(code.format(drafts=str(drafts), out=folder))
            peer = peer or cpu
            size = drafts.stat().st_size / 1e6 / cpu
            print(f"{name:12}{wall:9.1f}{cpu:9.1f}{cpu / peer:9.1f}{DRAFTS / cpu:10,.0f}{size:8.1f}{memory:10,.0f}", flush=True)


def measured(code: str) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak memory in MiB) of a process that runs `code`. If it fails, its output is shown and the benchmark
    ends with exit code 1.
    """
    ending = "\nfrom benchmarks.processes import cpu_seconds, most_memory; print(cpu_seconds(), most_memory() / 2**20)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr[-LOG:]}\nthe measured process ended with {done.returncode}")
    cpu, memory = map(float, done.stdout.split()[-2:])
    return time.monotonic() - start, cpu, memory


def draft(number: int) -> Draft:
    luck = random.Random(SEED + number)
    language, topic = ("zh", "桥梁") if number % 2 else ("en", "bridges")
    texts = tuple(
        paragraph(topic=f"{topic}{number}", language=language, words=WORDS, part=part, parts=PARAGRAPHS, seed=luck.randrange(10**6))  # type: ignore[arg-type]
        for part in range(1, PARAGRAPHS + 1)
    )
    text = f"请写一篇关于第{number}座桥的五千字文章" if number % 2 else f"Write 5,000 words about bridge number {number}."
    given = {"id": f"{number:016x}", "text": text, "language": language, "words": PARAGRAPHS * WORDS, "length_kind": "exact"}
    asked = Instruction.model_validate({**given, "source": f"bench:{number}"})
    return Draft(instruction=asked, steps=tuple(Step(point=f"point {n}", words=WORDS) for n in range(PARAGRAPHS)), paragraphs=texts)


if __name__ == "__main__":
    main()
