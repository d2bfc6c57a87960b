"""The card of a judge's exam: what misled the judge, how repeatable its grades are, and what share of its replies can be read.

`longwriter eval judge-exam` writes a card per judge, FOLDER/NAME-DIGEST.json. A scorecard of answers that the judge graded names the card
by its digest. The judge is identified as verdicts name it: model, decoding, and the digest of its prompt.
"""

import hashlib
import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks import store
from tasks.longbench.scorecard import JudgeExam
from tasks.schema.errors import BadInput
from tasks.schema.records import Record
from tasks.statistics import Interval

EXAMS = Path("data/raw/judge_exams")  # default folder of the command; the pipeline's is in dvc.yaml
Outcome = Literal["misled", "not misled", "cannot tell"]


class PlantResult(Record):
    """How the judge's grades change with one plant, in points of S_q. A pair is an answer without and with the plant."""

    plant: str
    must: Literal["not raise", "lower"]  # what a sound judge does
    pairs: int  # of which both texts have a readable verdict
    unread: int  # pairs without one
    base: float | None  # mean S_q of the answers, over the pairs; None: no pair
    planted: float | None  # mean S_q with the plant
    bias: float | None  # mean difference, planted minus base
    interval: Interval | None  # of the bias, at 95%, over topics; None: too few topics, or no difference in any pair
    p: float | None  # two-sided sign-flip test
    outcome: Outcome
    over_second: float | None = Field(
        None, description="the bias minus the second judge's on the same texts; it decides the outcome where it is known"
    )
    over_second_interval: Interval | None = None


class OrderResult(Record):
    """Comparisons of an answer with itself and with its padded form, each in both orders."""

    comparisons: int
    unread: int
    first_place: float | None  # share of the comparisons with a winner that the first text won; 0.5: no bias
    interval: Interval | None
    contradictions: int  # pairs of different texts in which the winner changes with the order
    padded_wins: int  # pairs in which both orders name the padded text
    base_wins: int
    outcome: Outcome  # of the order
    length_outcome: Outcome  # of the padding


class Repeatability(Record):
    """How well the judge repeats its own grades of an answer."""

    answers: int  # with two or more readable verdicts
    deviation: float | None  # standard deviation of an answer's S_q between repeats, in points
    identical: float | None  # share of answers with equal grades in all repeats
    icc: float | None  # share of the variance between answers


class GradeAgreement(Record):
    """Agreement of the judge with people, over the answers that both graded."""

    answers: int
    spearman: float | None
    spearman_interval: Interval | None  # 95%, bootstrap over the answers
    kappa: float | None  # Cohen's, quadratic weights; None: the people's grades are not whole numbers from 1 to 5
    kappa_interval: Interval | None


class HumanAgreement(Record):
    """Agreement of the judge with the grades of people in a CSV file."""

    file: str
    rows: int
    unread: int  # answers without a readable verdict
    by_dimension: dict[str, GradeAgreement]  # "overall": rows without a dimension, against S_q
    by_length: dict[str, GradeAgreement]  # short, middle and long: the tertiles of the answers' words, all dimensions against S_q


class ExamCard(Record):
    """The result of `longwriter eval judge-exam`."""

    format: Literal[1] = 1
    judge: str  # as verdicts name it
    second_judge: str | None
    source: str  # file of the answers
    texts: int
    texts_sha256: str  # of prompts and answers
    by_language: dict[str, int]
    plants: tuple[PlantResult, ...]
    order: OrderResult | None  # None: no comparisons were asked for
    repeats: Repeatability
    replies: int  # verdicts and comparisons asked for
    read: float  # share of these that could be read
    read_interval: Interval | None
    calls: int  # requests behind the card, second tries included, paid now or before
    human: HumanAgreement | None = None

    @property
    def misled_by(self) -> list[str]:
        """What misled the judge: plants, "order", and "padded_in_comparisons"."""
        order = {"order": self.order.outcome, "padded_in_comparisons": self.order.length_outcome} if self.order else {}
        outcomes = {found.plant: found.outcome for found in self.plants} | order
        return [name for name, outcome in outcomes.items() if outcome == "misled"]

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the card's content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def summary(self) -> JudgeExam:
        """The figures that a scorecard names and the gate bounds."""
        rises = [(_high(found), found.plant) for found in self.plants]
        drops = [
            (-high if high is not None else None, found.plant) for found in self.plants if found.must == "lower" for high in [_high(found)]
        ]
        worst = max(((value, name) for value, name in rises if value is not None), default=(None, ""))
        least = min(((value, name) for value, name in drops if value is not None), default=(None, ""))
        return JudgeExam(
            digest=self.digest,
            misled_by=tuple(self.misled_by),
            bias=worst[0],
            biased_by=worst[1],
            drop=least[0],
            unnoticed=least[1],
            order=_order(self.order),
            deviation=self.repeats.deviation,
            read=self.read,
        )


def file_name(judge: str) -> str:
    """Returns the name of a judge's card: the model's name, and the first digits of the whole identity's digest."""
    name = re.sub(r"[^\w.-]+", "-", judge.partition(",")[0]).strip("-.")[:60]
    return f"{name}-{hashlib.sha256(judge.encode()).hexdigest()[:8]}.json"


def write_card(folder: Path, card: ExamCard) -> Path:
    """Writes the card, in place of an earlier card of the same judge. Returns its path."""
    path = folder / file_name(card.judge)
    store.write_json(path, card)
    return path


def read_exams(folder: Path) -> dict[str, JudgeExam]:
    """The summaries of all cards in a folder, by judge; empty without a folder. Raises BadInput for a damaged card, or two of one judge."""
    found: dict[str, JudgeExam] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        card = store.read_document(path, ExamCard, fix="examine the judge again (`longwriter eval judge-exam`), or remove the file")
        if card.judge in found:
            raise BadInput(path, f"a second card of the judge {card.judge}", field="judge", fix="remove one of the two")
        found[card.judge] = card.summary()
    return found


def _high(found: PlantResult) -> float | None:
    """The largest bias that the interval allows; the bias itself where there is no difference in any pair."""
    interval = found.over_second_interval or found.interval
    if interval:
        return interval.high
    return found.bias if found.p is not None and not found.bias else None


def _order(found: OrderResult | None) -> float | None:
    if found is None or found.unread == found.comparisons:
        return None
    return 0.0 if found.first_place is None else abs(found.first_place - 0.5)  # None: ties only
