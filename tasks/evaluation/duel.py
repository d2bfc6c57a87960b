"""`longwriter eval duel … …`: the judge compares two evaluations' answers to the same prompts, pair by pair, in both orders.

Shows which of two good answers a reader prefers, which scores cannot. Every reply is in the journal, so a rerun costs nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.endpoints.roles import open_role
from tasks.judging.duels import DuelPair, check_read, duel_all, pairs
from tasks.judging.pairwise import Tally, tally
from tasks.longbench.compare import model_of, place
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Params
from tasks.schema.records import Duel, Prediction


class Duels(NamedTuple):
    """The result of `longwriter eval duel`."""

    tally: Tally
    only_one: int  # answers without a partner on the other side


def duel(a: str, b: str, *, params: Params, out: Path | None = None) -> Duels:
    """Compares `FOLDER[:MODEL]` of one evaluation with another, by the judge of params. Writes the comparisons to `out` if given.

    Raises BadInput if a side cannot be read, or if they have no prompt in common. Raises ReplyError if no comparison could be read.
    """
    from tasks.stage import run_async

    if params.models.judge is None:
        raise BadInput("params.yaml", "null: nobody compares the answers", field="models.judge", fix="name a judge")

    ours, theirs = read_answers(a), read_answers(b)
    _check_prompts(a, b, ours, theirs)
    both = [*(one.model_copy(update={"model": a}) for one in ours), *(one.model_copy(update={"model": b}) for one in theirs)]
    found = [DuelPair(*pair) for pair in pairs((answer, answer) for answer in both)]
    if not found:
        raise BadInput(b, f"no prompt in common with {a}", fix="give two evaluations of the same benchmark")
    duels = run_async(_asked(found, params, params.models.judge))
    if out:
        store.write(out, duels)
    check_read(duels)
    (summed,) = tally(duels)
    return Duels(summed, len(ours) + len(theirs) - 2 * len(found))


def _check_prompts(a: str, b: str, ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> None:
    """Raises BadInput if one id has two different prompts."""
    prompts = {answer.item.id: answer.item.prompt for answer in ours}
    other = next((one.item.id for one in theirs if prompts.get(one.item.id, one.item.prompt) != one.item.prompt), None)
    if other is not None:
        problem = f"another prompt than in {a} under the id {other}"
        raise BadInput(b, problem, field="item.prompt", fix="give two evaluations of the same benchmark")


def read_answers(source: str) -> list[Prediction]:
    """Reads the predictions of `FOLDER`, `FOLDER:MODEL` or a file. Raises BadInput if several models answered and none is named."""
    path, wanted = place(source, "predictions.jsonl")
    answers = store.read_list(path, Prediction)
    model = model_of(path, [answer.model for answer in answers], wanted)
    return [answer for answer in answers if answer.model == model]


async def _asked(found: Sequence[DuelPair], params: Params, judge: Model) -> list[Duel]:
    async with open_role("judge", judge) as chat:
        said = store.Spool()
        await duel_all(chat, found, said, count=len(found), tries=params.judge.tries, judge=str(judge), label="judge, in pairs")
        return list(said.records(Duel))
