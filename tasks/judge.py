"""judge: the judge gives each answer six scores, or leaves it unscored (paper, section 4.1).

One call per answer, a few more where a reply cannot be read: the answers' lengths and the judge's price drive the cost. An
answer whose verdict stays unreadable is unscored, with the reason; it is never given a default.
"""

import hashlib
from collections import Counter
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.chat import Chat, each, user
from tasks.endpoints.roles import open_role
from tasks.longbench.rubric import SCHEMA, parse_rubric
from tasks.prompts import fill
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.params import Judge, Model
from tasks.schema.records import Prediction, Rubric, Verdict


def run(predictions: Path, out: Path, *, judge: Judge, judge_model: Model) -> stage.Metrics:
    verdicts = stage.run_async(_verdicts(store.read_list(predictions, Prediction), judge, judge_model))
    store.write(out / "verdicts.jsonl", verdicts)
    unscored = Counter(verdict.model for verdict in verdicts if verdict.rubric is None)
    by_model = {f"{model}_unscored": unscored[model] for model in sorted({verdict.model for verdict in verdicts})}
    replies = sum(len(verdict.replies) for verdict in verdicts)
    return {"verdicts": len(verdicts), "unscored": unscored.total(), "replies": replies, **by_model}


async def _verdicts(predictions: list[Prediction], judge: Judge, model: Model) -> list[Verdict]:
    async with open_role("judge", model) as chat:
        return await each(
            predictions, lambda prediction: _verdict(chat, prediction, tries=judge.tries, judge=str(model)), unit="verdict", label="judge"
        )


async def _verdict(chat: Chat, prediction: Prediction, *, tries: int, judge: str) -> Verdict:
    """The first readable reply; after `tries` unreadable ones the answer is unscored, with what was wrong with the last."""
    prompt, replies = _prompt(prediction), list[str]()
    rubric: Rubric | None = None
    problem: str | None = None
    try:
        while rubric is None and len(replies) < tries:
            replies.append((await chat(user(prompt, sample=len(replies), schema=SCHEMA))).text)
            rubric, problem = _read(replies[-1])
    except Unanswered as error:
        problem = str(error)
    said = {"id": prediction.item.id, "model": prediction.model, "judge": judge}
    return Verdict(**said, rubric=rubric, replies=tuple(replies), problem=problem)


def _prompt(prediction: Prediction) -> str:
    """The judge's prompt. The answer stands between delimiters that it cannot know: their mark is a digest of it."""
    prompt, answer = prediction.item.prompt, prediction.response
    mark = hashlib.sha256(f"{prompt}\0{answer}".encode()).hexdigest()[:16]
    return fill("judge", prompt=prompt, answer=answer, mark=mark)


def _read(reply: str) -> tuple[Rubric | None, str | None]:
    try:
        return parse_rubric(reply), None
    except ReplyError as error:
        return None, str(error)


if __name__ == "__main__":
    stage.main(run)
