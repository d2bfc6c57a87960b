"""A model that thinks between its paragraphs: every stage and command that counts, judges, pairs or shows sees the text alone."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tasks import build_pairs, sample, score, store
from tasks.corpus.dataset import write_dataset
from tasks.endpoints.watcher import Watcher
from tasks.evaluation.recorded import score_recorded
from tasks.reader.shapes import shape_of
from tasks.rehearsal.prose import paragraph
from tasks.reporting.sources import _excerpt as excerpt
from tasks.schema.params import BuildPairs, Model, Pack, SampleSection, load
from tasks.schema.records import Message, Pair, Prediction, Sample, ScoredItem
from tasks.schema.settings import settings
from tasks.text.live_checks import Watch
from tasks.text.live_thoughts import LiveThoughts
from tasks.text.traces import TraceBlock, interleave
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import Body, asked, endpoint, judged

WORDS = 200
WRITER = Model(name="writer", revision="1", temperature=0.5, max_tokens=2000)
JUDGE = Model(name="some-judge", revision="1", temperature=0.5, max_tokens=500)
VARIANTS = (0, 1, 2)  # times that each thought is written; 0: no thoughts


def parts(number: int) -> list[str]:
    """Four paragraphs; every answer is another text and has another length."""
    return [paragraph(topic="ovens", language="en", words=30 + 5 * number, part=part, parts=4, seed=number) for part in range(1, 5)]


def reply(number: int, *, times: int) -> str:
    """An answer as a thinking writer gives it."""
    thoughts = [
        " ".join([f"Part {part} is written. {300 - 50 * part} words are left for the rest of the plan."] * times) for part in range(5)
    ]
    if not times:
        return "\n\n".join(parts(number))
    return interleave([*map(TraceBlock, thoughts, parts(number)), TraceBlock(thoughts[-1])])


def judge(body: Body) -> str:
    """Grades that depend on every character of the prompt."""
    grade = 1 + sum(asked(body).encode()) % 5
    names = ("relevance", "accuracy", "coherence", "clarity", "breadth_and_depth", "reading_experience")
    return "{" + ", ".join(f'"{name}": {grade}' for name in names) + "}"


def answers(folder: Path, times: int) -> list[Prediction]:
    """The stage sample, over HTTP, with a writer that thinks `times` times."""
    folder.mkdir()
    said = (Message(role="user", content=f"Write {WORDS} words about ovens."), Message(role="assistant", content="Ovens are old."))
    row = Sample(id="a", messages=said, language="en", asked_words=WORDS, written_words=3, paragraphs=1, source="pool.jsonl:1")
    write_dataset(folder / "dataset", [row])
    (folder / "checkpoints/student").mkdir(parents=True)
    (folder / "out").mkdir()
    counter = iter(range(9))
    with endpoint(lambda _: reply(next(counter), times=times), role="candidate"):
        wanted = SampleSection(version=1, prompts=1, answers=4)
        sample.run(folder / "dataset", folder / "checkpoints", folder / "out", seed=1, sample=wanted, candidate_model=WRITER)
    return store.read_list(folder / "out/answers.jsonl", Prediction)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[Path, list[Prediction]]]:
    """By variant: a folder, and the same texts by a writer that does not think, one that thinks, and one that thinks twice as much."""
    found = {}
    for times in VARIANTS:
        monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / f"home-{times}"))
        monkeypatch.setenv("LONGWRITER_CONCURRENCY", "1")
        settings.cache_clear()
        found[times] = tmp_path / str(times), sorted(answers(tmp_path / str(times), times), key=lambda one: one.response)
    return found


def same(values: list[object]) -> None:
    assert values[0] == values[1] == values[2]


def bare(one: ScoredItem) -> dict[str, object]:
    """A scored item without what only says that there were thoughts."""
    return one.model_dump(exclude={"reasoned", "with_thoughts"})


def test_thoughts_change_no_text_no_score_no_verdict_no_pair_and_nothing_that_is_shown(
    written: dict[int, tuple[Path, list[Prediction]]],
) -> None:
    texts = sorted("\n\n".join(parts(number)) for number in range(4))
    scored, verdicts, pairs, recorded, shown = list[object](), list[object](), list[object](), list[object](), list[object]()
    for times, (folder, predictions) in written.items():
        assert [one.response for one in predictions] == texts, "byte for byte"
        assert [bool(one.reasoning) for one in predictions] == [times > 0] * 4
        predictions = [one.model_copy(update={"sample": number, "seconds": 0.0}) for number, one in enumerate(predictions)]
        store.write(folder / "predictions.jsonl", predictions)
        with endpoint(judge):
            ran = judged(folder / "predictions.jsonl", folder / "judged")
            (folder / "pairs").mkdir()
            _pairs(folder, predictions)
        verdicts.append([verdict.rubric for verdict in ran.verdicts])
        pairs.append(store.read_list(folder / "pairs/pairs.jsonl", Pair))
        (folder / "exams").mkdir()
        (folder / "scored").mkdir()
        score.run(
            folder / "predictions.jsonl",
            folder / "judged",
            folder / "exams",
            folder / "scored",
            pack=Pack(context=512, vocabulary=512, control_cap=0.25, held_out=0, max_rejects=0),
        )
        scored.append([bare(one) for one in store.read(folder / "scored/items.jsonl", ScoredItem)])
        recorded.append([bare(one) for one in score_recorded(folder / "predictions.jsonl")])
        shapes = [shape_of(one.model_dump(mode="json")) for one in predictions]
        shown.append([[shape.parts[0].text, shape.whole_text] for shape in shapes] + [excerpt(one, {}).head for one in predictions])
    for values in (scored, verdicts, pairs, recorded, shown):
        same(values)


def _pairs(folder: Path, predictions: list[Prediction]) -> None:
    params = BuildPairs(version=1, prompt="tasks/prompts/judge.txt", tries=2, margin=0.0, max_rejects=1.0)
    store.write(folder / "answers.jsonl", predictions)
    (folder / "benchmark.jsonl").write_text('{"prompt": "Explain a canal lock in 500 words.", "length": 500}\n')
    inputs = (folder / "answers.jsonl", ROOT / params.prompt, folder, folder / "benchmark.jsonl")
    collect = load(ROOT / "profiles/rehearsal.yaml").collect
    build_pairs.run(*inputs, folder / "pairs", seed=1, collect=collect, build_pairs=params, judge_model=JUDGE)


def test_rows_of_other_tools_are_read_and_scored_without_thoughts(tmp_path: Path) -> None:
    found = list[object]()
    for times in VARIANTS:
        path = tmp_path / str(times) / "answers.jsonl"
        path.parent.mkdir()
        said = [{"prompt": f"Write {WORDS} words.", "length": WORDS, "response": reply(number, times=times)} for number in range(3)]
        path.write_text("".join(json.dumps(row) + "\n" for row in said))
        found.append([bare(one) for one in score_recorded(path)])
    same(found)


@pytest.mark.parametrize("size", [1, 7, 400, 100_000])
def test_a_streamed_answer_shows_and_checks_the_text_alone(size: int) -> None:
    """As `longwriter chat` shows it, and as predict.stop_early checks it: reflections that are alike are no loop."""
    whole = reply(0, times=2)
    live, watcher = LiveThoughts(), Watcher(Watch("en", WORDS))
    pieces = [whole[start:end] for start, end in pairwise([*range(0, len(whole), size), len(whole)])]
    for piece in pieces:
        watcher.piece(piece, thought=False)
    shown = [part for piece in pieces for part in live.add(piece)] + live.end()
    assert "".join(part.text for part in shown if not part.thought).strip() == "\n\n".join(parts(0))
    assert watcher.found is None
