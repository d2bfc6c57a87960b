"""Records of the length-limit study's result: the stage fit writes them, the report reads them."""

from tasks.schema.records import Record

CEILING = 0.95  # quantile of the answers; the maximum would grow with the number of answers and with loops of small models


class Arm(Record):
    """One model of the study. Lengths in words."""

    cap: int  # on its training outputs
    trained: int  # longest training output, at most the cap
    samples: int  # training samples
    answers: int  # on the ruler
    longest: float  # the longest answer of a pass through the ruler (the paper's figure), mean over passes
    longest_error: float  # standard error of `longest`; 0 for a single pass
    ceiling: float  # the CEILING quantile of all answers
    ceiling_low: float | None  # 95% interval, by the binomial of the order statistics; None: too few answers
    ceiling_high: float | None
    mean: float  # over all answers
    mean_error: float  # standard error of `mean`
    at_most: float  # mean of the answers to the longest requested length


class FittedLine(Record):
    """words = intercept + slope · cap, least squares over the arms. Errors are standard errors; the interval is Student's t at 95%."""

    slope: float
    slope_error: float | None  # None: a line through two points has no error
    slope_interval: tuple[float, float] | None
    intercept: float
    intercept_error: float | None
    r_squared: float


class Limit(Record):
    """The result of a study."""

    temperature: float | None  # sampling temperature of the answers; None: not known
    arms: tuple[Arm, ...]  # sorted by cap
    longest: FittedLine | None  # None: fewer than two arms
    ceiling: FittedLine | None
    mean: FittedLine | None
    rising: bool  # whether the ceiling rises with every cap
