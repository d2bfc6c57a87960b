"""The records that flow between stages. Frozen and closed: an unknown field is an error, not a surprise later on.

instruction -> plan -> draft -> sample, and for the evaluation: benchmark item -> prediction -> verdict -> scored item.
A `Reject` is where every record that does not make it ends, with the reason.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

Language = Literal["en", "zh"]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", description="ISO 639; what is trained on is in one of `Language`")]
Words = Annotated[int, Field(gt=0, description="a length in words (English) or characters (Chinese)")]
LengthKind = Literal["exact", "least", "most", "range", "none"]
Score = Annotated[int, Field(ge=1, le=5)]
Share = Annotated[float, Field(ge=0, le=1)]
V = TypeVar("V")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ByName(RootModel[Mapping[str, V]], Generic[V]):
    """A JSON document that is an object of records, or of numbers, by name."""

    model_config = ConfigDict(frozen=True, strict=True)


class External(BaseModel):
    """The part that is used here of a JSON document that other programs write."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Reason(StrEnum):
    """Why a record was set aside. One vocabulary for all stages, so that reports can count by it."""

    MALFORMED = "malformed"  # not readable as a row of the source's shape
    TOXIC = "toxic"  # flagged by the source
    REDACTED = "redacted"  # the source removed personal data from it
    LANGUAGE = "language"  # neither English nor Chinese, or not the language that was asked for
    NOT_SELF_CONTAINED = "not_self_contained"  # needs an attachment or an earlier turn
    SCRAPING = "scraping"  # a request to harvest data
    INJECTION = "injection"  # tries to steer the pipeline's own prompts
    SHORT_ASK = "short_ask"  # does not need a long answer
    TOO_LONG_ASK = "too_long_ask"  # asks for more than params allow
    DUPLICATE = "duplicate"  # the same text as an earlier row
    NEAR_DUPLICATE = "near_duplicate"  # nearly the same text as an earlier row
    CONTAMINATED = "contaminated"  # a copy, or nearly, of a benchmark prompt
    NOT_DRAWN = "not_drawn"  # fine, but over collect.count
    BAD_REPLY = "bad_reply"  # the model's reply could not be read, asked again and all
    BAD_PLAN = "bad_plan"  # the plan breaks the bounds in params
    REFUSAL = "refusal"  # the model refused
    EMPTY = "empty"  # the model answered nothing
    GARBAGE = "garbage"  # the answer is no prose: an error page, a payload, noise
    UNANSWERED = "unanswered"  # the endpoint answered others, and this request not once in all tries
    TRUNCATED = "truncated"  # the model hit its token limit
    REPEATED = "repeated"  # a paragraph occurs twice
    LEAKED_PROMPT = "leaked_prompt"  # the text quotes the writing prompt
    TOO_SHORT = "too_short"  # written words under the bound in params
    TOO_LONG = "too_long"  # written words or tokens over the bound
    UNRENDERABLE = "unrenderable"  # the base's chat template refuses the conversation, or leaves out its system turn
    UNSCORED = "unscored"  # fewer than two of the answers could be scored
    TIED = "tied"  # no answer is better than another
    NO_EXPLICIT_LENGTH = "no_explicit_length"  # the recipe wants requests that name a length
    OFF_LENGTH = "off_length"  # the recipe wants a closer length


class Reject(Record):
    id: str | None  # the record's id, where it got as far as having one
    stage: str
    reason: Reason
    detail: str  # the evidence: what was seen, short
    source: str  # file:row of the raw row that it came from


class Instruction(Record):
    id: str  # of the normalised text: stable when rows are reordered or files split
    text: str
    language: Language
    words: Words  # the asked length
    length_kind: LengthKind = "none"  # how the text asks for it; none: it names no length, and `words` is the selector's
    source: str  # file:row


class Step(Record):
    """One line of a plan (paper, section 3.1): the paragraph's main point and its word count."""

    point: str
    words: Words
    chapter: int = Field(0, ge=0, description="which chapter it belongs to, from 1; 0: the plan has one level")


class Plan(Record):
    """Paragraphs with their word counts. A text too long for one list of them is planned on two levels: chapters, then paragraphs."""

    instruction: Instruction
    steps: tuple[Step, ...]
    chapters: tuple[Step, ...] = ()  # points and word counts of the chapters; empty: the plan has one level


class Draft(Record):
    instruction: Instruction
    steps: tuple[Step, ...]
    paragraphs: tuple[str, ...]  # one per step, in order


class Message(Record):
    role: Literal["system", "user", "assistant"]
    content: str


class Sample(Record):
    """One row of the training dataset, in chat format: a long text, or a chat of the general data that is mixed in."""

    id: str
    messages: tuple[Message, ...]
    language: Language
    asked_words: Words | None  # None: general data, where nobody looks at lengths
    written_words: Words
    length_kind: LengthKind = "none"  # how the request names its length
    paragraphs: int
    source: str


class BenchmarkItem(Record):
    """A prompt with the length it asks for (LongBench-Write's fields: prompt, type, length)."""

    id: str
    prompt: str
    type: str
    length: Words
    language: LanguageCode


class Decoding(Record):
    """How an answer was drawn, all of it: another temperature is another model."""

    name: str  # as params or the command line call the candidate
    revision: str
    temperature: float
    max_tokens: int
    seed: int | None  # of sample 0; each further sample has the next one
    checkpoint: str | None  # SHA-256 over the folder that the pipeline served; None: a URL answered


class Prediction(Record):
    item: BenchmarkItem
    model: str  # which candidate wrote it: student, control
    sample: int = 0  # which of its answers to the same prompt, from 0
    response: str
    finish_reason: str
    tokens: int  # completion tokens
    seconds: float
    decoding: Decoding | None = None  # None: recorded elsewhere
    plan: tuple[Step, ...] = ()  # that it was written by, where one is known
    reasoning: str = ""  # the model's thoughts, kept apart from the response: in no count and in no score
    inline: bool = False  # the thoughts stood in the text, where the paper's script would count them


class Evaluation(Record):
    """What an evaluation's folder holds: its evaluation.json. A folder is gone on with only by the same evaluation."""

    candidate: str
    benchmark: str
    benchmark_sha256: str
    format: str | None
    samples: int
    method: Literal["one call", "agentwrite"]
    decoding: Decoding
    judge: str | None
    second_judge: str | None
    repeats: int
    judge_prompt_sha256: str | None


class Rubric(Record):
    """The paper's six quality dimensions (section 4.1), each from 1 to 5."""

    relevance: Score
    accuracy: Score
    coherence: Score
    clarity: Score
    breadth_and_depth: Score
    reading_experience: Score


class Verdict(Record):
    """What a judge said of one prediction, once. `rubric` is None when no reply could be read: unscored, not zero."""

    id: str  # of the benchmark item
    model: str
    sample: int = 0
    repeat: int = 0  # which of this judge's verdicts on the same answer, from 0
    second: bool = False  # by the second judge: tells of the first one's reliability, and never enters a score
    rubric: Rubric | None
    replies: tuple[str, ...]  # without thoughts, the last one is the one that counted
    problem: str | None  # why it is unscored
    judge: str  # who said it, and how it decodes: a score means nothing without
    reasoning: tuple[str, ...] = ()  # the judge's thoughts before each reply; empty: there were none


Preference = Literal["a", "b", "tie"]


class Duel(Record):
    """Two answers to one prompt, compared by the judge in both orders: one that prefers a place, not a text, contradicts itself."""

    id: str  # of the benchmark item
    topic: str = ""  # the same for all prompts that differ by their asked length alone; empty: not known
    sample: int = 0
    a: str  # models
    b: str
    judge: str
    a_first: Preference | None  # who won when A's answer stood first; None: no reply could be read
    b_first: Preference | None
    replies: tuple[str, ...]  # without thoughts, of both orders
    problem: str | None
    reasoning: tuple[str, ...] = ()  # the judge's thoughts before each reply; empty: there were none


class Answer(Record):
    """One side of a preference."""

    text: str
    ended: bool  # the model ended it by itself; False: it was cut off, and is trained on without an end of turn
    words: int
    s_l: float | None  # in paper mode; None: no length was asked for
    s_q: float | None  # None: not judged here


class Pair(Record):
    """A preference: two answers to one conversation, of which the chosen one is better."""

    id: str
    prompt: tuple[Message, ...]  # ends with the user's turn
    asked: int | None  # words; None: a general pair, which asks for no length
    chosen: Answer
    rejected: Answer
    source: str = ""  # of a general pair, file:row; empty: the student's own answers


Ending = Literal["ended", "cut_by_limit", "broken_off", "offers_to_continue", "declined"]


class Degeneration(Record):
    """How an answer goes wrong at length, whole and by tenths of it; how each is counted: tasks/text/degeneration.py."""

    repetition: float  # share of its n-grams of four words that came before
    looped: float  # share of its words that only repeat the block before them, three times or more in a row
    unfinished: bool  # it is not the whole that was asked for: any ending but "ended"
    ending: Ending | None = None  # why it ends; None: scored before endings were told apart
    switches: int  # changes of script between its sentences
    repetition_by_part: tuple[float, ...] = ()  # ten, first to last; none where it has fewer than ten words
    looped_by_part: tuple[float, ...] = ()
    other_script_by_part: tuple[float, ...] = ()  # share of its letters that are not in its main script


class FixedLength(Record):
    """The length score in fixed mode: words as a person counts them, against the lengths that the ask is content with."""

    written: int
    least: int
    most: int
    s_l: float


class Adherence(Record):
    """How an answer follows the plan that it was written by; how each is counted: tasks/text/adherence.py."""

    steps: int
    covered: float  # share of the plan's steps that a passage of the text is about
    ordered: float  # share of neighbouring covered steps that stand in the plan's order
    s_l: float  # mean S_l of the covered steps' passages against their word counts, 0 to 100


class ScoredItem(Record):
    id: str
    prompt: str = Field("", description="first 16 hexadecimal digits of the prompt's SHA-256; empty: not known")
    topic: str = Field("", description="the same for all prompts that differ by their asked length alone; empty: not known")
    model: str
    sample: int = 0
    type: str
    language: LanguageCode
    asked: int
    written: int
    s_l: float  # in paper mode, like `asked` and `written`
    s_q: float | None  # mean over the judge's readable verdicts; None: unscored
    finish_reason: str = ""  # of the answer; empty: not known
    reasoned: bool = False  # the model wrote thoughts, which are in none of these figures
    with_thoughts: int | None = None  # words as the paper's script counts them, where thoughts stood in the text; None: `written`
    fixed: FixedLength | None = None  # None: the text was not at hand
    degeneration: Degeneration | None = None  # None: the text was not at hand
    adherence: Adherence | None = None  # None: no plan is known


class Served(Record):
    """One long request to the promoted alias, and how it went."""

    version: str
    alias: str
    asked: int  # words
    written: int  # words as a person counts them
    s_l: float  # the length score of these, 0 to 100
    tokens: int
    seconds: float
    finish_reason: str
    problem: str | None  # why it is no answer to be proud of; None: it ended by itself
    template: str  # SHA-256 of the chat template that was served: the trained one
    decoding: Decoding


Metrics = ByName[int | float | None]  # of a stage: its metrics.json
Abilities = ByName[
    Mapping[str, Share | None]
]  # general.json of the stage evaluate_general: scores by candidate and task; None: a task gave no score


class Headline(External):
    """A model's overall figures, 0 to 100, in metrics/scores.json, which git keeps. None: not scored, or not known then."""

    items: int | None = None
    answers: int | None = None
    unscored: int
    s_l: float
    s_l_fixed: float | None = None
    s_q: float | None = None
    s_bar: float | None = None
    s_bar_fixed: float | None = None


class ModelConfig(External):
    """config.json of a checkpoint in Hugging Face's format."""

    max_position_embeddings: int | None = None  # tokens of the longest sequence


class TokenizerConfig(External):
    """tokenizer_config.json of a checkpoint in Hugging Face's format."""

    chat_template: JsonValue = None  # a text; older checkpoints have a list of named ones


class AddedToken(External):
    id: int


class Vocabulary(External):
    vocab: dict[str, int] | tuple[tuple[str, float], ...]  # ids by token; of a unigram model, tokens with their scores in order of ids

    @property
    def ids(self) -> range | frozenset[int]:
        return frozenset(self.vocab.values()) if isinstance(self.vocab, dict) else range(len(self.vocab))


class SavedTokenizer(External):
    """tokenizer.json, as the library tokenizers saves it."""

    model: Vocabulary
    added_tokens: tuple[AddedToken, ...]

    @property
    def size(self) -> int:
        """Entries of the tokenizer's table, special tokens included."""
        return len({*self.model.ids, *(token.id for token in self.added_tokens)})


class Usage(NamedTuple):
    """Tokens of one completion, as the endpoint counted them."""

    prompt: int
    completion: int
    cached: int = 0
