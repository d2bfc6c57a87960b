"""The records that pass between stages. They are frozen and closed: an unknown field is an error.

Data: instruction -> plan -> draft -> sample. Evaluation: benchmark item -> prediction -> verdict -> scored item. A record that is set
aside becomes a `Reject` with its reason.
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
    """Base of all records: frozen, without unknown fields, without type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ByName(RootModel[Mapping[str, V]], Generic[V]):
    """A JSON document: an object that maps names to records or numbers."""

    model_config = ConfigDict(frozen=True, strict=True)


class External(BaseModel):
    """The fields used here of a JSON document that another program wrote. Other fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Reason(StrEnum):
    """Why a record was set aside. One vocabulary for all stages, so that reports can count by it."""

    MALFORMED = "malformed"  # not readable in the source's format
    TOXIC = "toxic"  # flagged by the source
    REDACTED = "redacted"  # the source removed personal data from it
    LANGUAGE = "language"  # neither English nor Chinese, or not the requested language
    NOT_SELF_CONTAINED = "not_self_contained"  # needs an attachment or an earlier turn
    SCRAPING = "scraping"  # a request to harvest data
    INJECTION = "injection"  # tries to steer the pipeline's own prompts
    SHORT_ASK = "short_ask"  # the prompt needs no long answer
    TOO_LONG_ASK = "too_long_ask"  # the prompt requests more words than params allow
    DUPLICATE = "duplicate"  # the same text as an earlier row
    NEAR_DUPLICATE = "near_duplicate"  # nearly the same text as an earlier row
    CONTAMINATED = "contaminated"  # equal or nearly equal to a benchmark prompt
    NOT_DRAWN = "not_drawn"  # valid, but more than collect.count
    BAD_REPLY = "bad_reply"  # the model's replies could not be read in all tries
    BAD_PLAN = "bad_plan"  # the plan breaks the bounds in params
    REFUSAL = "refusal"  # the model refused
    EMPTY = "empty"  # the model's answer is empty
    NON_PROSE = "non_prose"  # the answer is not prose: an error page, a payload, noise
    UNANSWERED = "unanswered"  # the endpoint answered other requests, but not this one in all tries
    TRUNCATED = "truncated"  # the model hit its token limit
    REPEATED = "repeated"  # a paragraph occurs twice
    LEAKED_PROMPT = "leaked_prompt"  # the text quotes the writing prompt
    TOO_SHORT = "too_short"  # written words under the bound in params
    TOO_LONG = "too_long"  # written words or tokens over the bound
    UNRENDERABLE = "unrenderable"  # the base model's chat template refuses the conversation, or omits its system turn
    UNSCORED = "unscored"  # fewer than two of the answers could be scored
    TIED = "tied"  # no answer is better than another
    NO_EXPLICIT_LENGTH = "no_explicit_length"  # the recipe requires a prompt with an explicit length
    OFF_LENGTH = "off_length"  # the recipe requires a length closer to the requested one
    UNREADABLE_TRACE = "unreadable_trace"  # removing the thoughts of its trace would not give back its text


class Reject(Record):
    """A record that was set aside, with the reason."""

    id: str | None  # the record's id; None if it has none yet
    stage: str
    reason: Reason
    detail: str  # short evidence
    source: str  # file:row of the raw row


class RecordedText(Record):
    """A recorded answer to an instruction, which the stage write takes instead of a teacher's."""

    text: str
    licence: str  # SPDX identifier of its source


class Instruction(Record):
    """A prompt to write an answer for."""

    id: str  # digest of the normalised text: stable when rows are reordered or files split
    text: str
    language: Language
    words: Words  # the requested length
    length_kind: LengthKind = "none"  # kind of length request; none: the text has none, and `words` is the selector's estimate
    source: str  # file:row
    recorded: RecordedText | None = Field(None, exclude_if=lambda recorded: recorded is None)  # None: a teacher writes it


class Step(Record):
    """One step of a plan (paper, section 3.1): the paragraph's main point and its word count."""

    point: str
    words: Words
    chapter: int = Field(0, ge=0, description="which chapter it belongs to, from 1; 0: the plan has one level")


class Plan(Record):
    """A plan: paragraphs with word counts. A text too long for one list of paragraphs is planned on two levels: chapters, then
    paragraphs.
    """

    instruction: Instruction
    steps: tuple[Step, ...]
    chapters: tuple[Step, ...] = ()  # chapters with points and word counts; empty: the plan has one level


# The five classes of ConStory-Bench (arXiv 2603.05890), as its authors' files name them.
ContradictionKind = Literal["timeline_plot", "characterization", "world_building", "factual_detail", "narrative_style"]


class Quote(Record):
    """Characters of a text, from `start` up to before `end`."""

    text: str
    start: int
    end: int


class Contradiction(Record):
    """Two places of one text that contradict each other, as a judge found them."""

    kind: ContradictionKind
    earlier: Quote
    later: Quote
    distance: int  # words between the two
    why: str


class Patch(Record):
    """A contradiction of a draft, and what became of its later place."""

    kind: ContradictionKind
    paragraph: int  # of the later place, from 1
    earlier: str  # the words that it contradicts
    before: str  # its words as they were written
    after: str | None  # the words in their place; None: they were kept
    problem: str | None  # why they were kept


class Consistency(Record):
    """The consistency pass over a draft: write.consistency."""

    parts: int  # parts that were checked, with each window of the text before them
    unread: int  # parts of which no reply could be read
    calls: int  # checks and patches, second tries included
    patches: tuple[Patch, ...]  # one per contradiction that was found, in the order of the text


Way = Literal["direct", "repaired", "serial"]


class Provenance(Record):
    """Where a draft comes from that no teacher wrote."""

    kind: Literal["recorded"]
    licence: str  # SPDX identifier of the source
    source: str  # file:row of the recorded answer


class Draft(Record):
    """A written text with its instruction and plan."""

    instruction: Instruction
    steps: tuple[Step, ...]
    paragraphs: tuple[str, ...]  # one per step, in order
    # How write.mode direct made it: by direct calls alone, with repairs, or serially after them. Not written for the other modes.
    way: Way | None = Field(None, exclude_if=lambda way: way is None)
    provenance: Provenance | None = Field(None, exclude_if=lambda made: made is None)  # None: the teacher wrote it
    # With write.memory state: updates of the record that failed, so that the older record was kept. Not written if there is none.
    records_kept: int = Field(0, exclude_if=lambda count: not count)
    consistency: Consistency | None = Field(None, exclude_if=lambda done: done is None)  # not written without write.consistency
    # With write.reflect teacher: the teacher's reflection on each paragraph; "" where no reply could be used. Not written without it.
    reflections: tuple[str, ...] = Field((), exclude_if=lambda notes: not notes)


class Message(Record):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sample(Record):
    """One row of the training dataset, in chat format: a long text, or a chat of the general data that is mixed in."""

    id: str
    messages: tuple[Message, ...]
    language: Language
    asked_words: Words | None  # None: general data, without a length request
    written_words: Words
    length_kind: LengthKind = "none"  # kind of length request in the prompt
    paragraphs: int
    source: str
    # The answer with thoughts before, between and after its passages, in <think> tags: what a thinking writer is trained on.
    # Not written for recipes of the form plain.
    trace: str | None = Field(None, exclude_if=lambda trace: trace is None)


class BenchmarkItem(Record):
    """A prompt with its requested length (LongBench-Write's fields: prompt, type, length)."""

    id: str
    prompt: str
    type: str
    length: Words
    language: LanguageCode


class ThinkingBudget(Record):
    """A limit of a model's thoughts."""

    budget: int = Field(ge=1, description="tokens of thoughts of one reply; part of max_tokens")

    def __str__(self) -> str:
        return f"{self.budget} tokens"


Reasoning = Literal["none", "low", "medium", "high"] | ThinkingBudget  # how much a model thinks before it answers


class Decoding(Record):
    """All that decides how an answer is sampled: another temperature counts as another model."""

    name: str  # the candidate model's name in params or on the command line
    revision: str
    temperature: float
    max_tokens: int
    seed: int | None  # of sample 0; sample n uses seed + n
    checkpoint: str | None  # SHA-256 over the served checkpoint folder; None: behind a URL
    reasoning: Reasoning | None = Field(None, exclude_if=lambda value: value is None)  # None: nothing is sent, as before this field existed


class Prediction(Record):
    """One answer of a candidate model to a benchmark item."""

    item: BenchmarkItem
    model: str  # the candidate model that wrote it, such as student or control
    sample: int = 0  # sample index, from 0
    response: str
    finish_reason: str
    tokens: int  # completion tokens
    seconds: float
    decoding: Decoding | None = None  # None: recorded by another tool
    plan: tuple[Step, ...] = ()  # the plan it was written by, if known
    reasoning: str = ""  # the model's thoughts, separate from the response; in no count and no score
    inline: bool = False  # the thoughts were part of the text; the paper's script would count them


class Evaluation(Record):
    """What is evaluated, and how: evaluation.json of an evaluation's folder. Only the same evaluation can resume in that folder."""

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


# As the paper's judge prompt spells the dimensions.
PAPERS_NAMES = {name: name.replace("_", " ").title().replace(" And ", " and ") for name in Rubric.model_fields}


class Verdict(Record):
    """One verdict of a judge on one prediction. `rubric` is None if no reply could be read: unscored, not zero."""

    id: str  # of the benchmark item
    model: str
    sample: int = 0
    repeat: int = 0  # index of this judge's verdict on the same answer, from 0
    second: bool = False  # by the second judge: used for reliability only, never for a score
    rubric: Rubric | None
    replies: tuple[str, ...]  # without thoughts; the last one was read
    problem: str | None  # why it is unscored
    judge: str  # the judge with its decoding and prompt digest: a score is valid only for these
    reasoning: tuple[str, ...] = ()  # the judge's thoughts before each reply; empty: none


class JudgedPart(Record):
    """The judge's reading of one part of a text, with the text before it as evidence. Places are characters of the whole text."""

    id: str  # of the benchmark item
    model: str
    sample: int = 0
    before: int  # the evidence begins here; it ends where the part begins, or before that if the judge's context is too small for all
    before_end: int
    start: int
    end: int
    found: tuple[Contradiction, ...] | None  # None: no reply could be read
    replies: tuple[str, ...]  # without thoughts; the last one was read
    problem: str | None  # why there is no reading
    judge: str


Preference = Literal["a", "b", "tie"]


class Duel(Record):
    """Two answers to one prompt, compared by the judge in both orders. A judge with position bias contradicts itself."""

    id: str  # of the benchmark item
    topic: str = ""  # equal for prompts that differ only in requested length; empty: unknown
    sample: int = 0
    a: str  # models
    b: str
    judge: str
    a_first: Preference | None  # the winner when A's answer was first; None: no readable reply
    b_first: Preference | None
    replies: tuple[str, ...]  # of both orders, without thoughts
    problem: str | None
    reasoning: tuple[str, ...] = ()  # the judge's thoughts before each reply; empty: none


class Answer(Record):
    """One answer of a preference pair."""

    text: str
    ended: bool  # the model ended it; False: it was cut off, and is trained on without an end-of-turn token
    words: int
    s_l: float | None  # in paper mode; None: no requested length
    s_q: float | None  # None: not judged here


class Pair(Record):
    """A preference pair: two answers to one conversation; the chosen one is better."""

    id: str
    prompt: tuple[Message, ...]  # ends with the user's turn
    asked: int | None  # words; None: a general pair, without a requested length
    chosen: Answer
    rejected: Answer
    source: str = ""  # file:row of a general pair; empty: the student's own answers


Ending = Literal["ended", "cut_by_limit", "broken_off", "offers_to_continue", "declined"]


class Degeneration(Record):
    """How an answer degenerates, overall and by tenths of the text. Definitions: text/degeneration.py."""

    repetition: float  # share of its 4-grams of words that occurred before
    looped: float  # share of its words that only repeat the block before them, three or more times in a row
    unfinished: bool  # the answer is incomplete: any ending but "ended"
    ending: Ending | None = None  # how it ends; None: scored by a version without endings
    switches: int  # changes of script between its sentences
    distinct: float | None = None  # distinct ÷ all n-grams of two words; None: scored before it was measured
    repetition_by_part: tuple[float, ...] = ()  # ten values, first to last; empty for fewer than ten words
    looped_by_part: tuple[float, ...] = ()
    other_script_by_part: tuple[float, ...] = ()  # share of its letters that are not in its main script


class FixedLength(Record):
    """The length score in fixed mode: words as a person counts them, against the range of lengths that the prompt accepts."""

    written: int
    least: int
    most: int
    s_l: float
    without_loops: int | None = None  # words outside loops and repeated passages; None: scored before they were told apart
    s_l_without_loops: float | None = None  # S_l of these


class Adherence(Record):
    """How well an answer follows its plan. Definitions: text/adherence.py."""

    steps: int
    covered: float  # share of the plan's steps that have a passage in the text
    ordered: float  # share of neighbouring covered steps that are in the plan's order
    s_l: float  # mean S_l of the covered steps' passages against the planned word counts, 0 to 100


class ScoredItem(Record):
    """One scored answer. Lengths are in words; scores are 0 to 100."""

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
    s_q_verdicts: int | None = None  # number of these; None: not known
    s_q_error: float | None = None  # standard error of s_q by the judge's repeats; None: fewer than two verdicts, or not known
    finish_reason: str = ""  # of the answer; empty: unknown
    reasoned: bool = False  # the model wrote thoughts; no figure includes them
    with_thoughts: int | None = None  # words including inline thoughts, as the paper's script counts; None: no inline thoughts
    fixed: FixedLength | None = None  # None: scored without text
    degeneration: Degeneration | None = None  # None: scored without text
    adherence: Adherence | None = None  # None: no known plan


class Served(Record):
    """One long request to the promoted version, and its result."""

    version: str
    alias: str  # that it has after it: champion or challenger
    asked: int  # words
    written: int  # words as a person counts them
    s_l: float  # length score, 0 to 100
    tokens: int  # stopped answers included
    seconds: float
    stopped: int = 0  # answers that were stopped while they came, with serve.stop_early
    finish_reason: str
    problem: str | None  # why the answer does not pass; None: it passes
    template: str  # SHA-256 of the served chat template, which is the trained one
    decoding: Decoding


Metrics = ByName[int | float | None]  # metrics.json of a stage
# general.json of the stage evaluate_general: scores by candidate model and task; None: no score.
Abilities = ByName[Mapping[str, Share | None]]


class Headline(External):
    """A model's overall scores, 0 to 100, in metrics/scores.json, which is committed to git. None: not scored, or unknown at that time."""

    items: int | None = None
    answers: int | None = None
    unscored: int
    s_l: float
    s_l_fixed: float | None = None
    s_l_without_loops: float | None = None
    s_q: float | None = None
    s_bar: float | None = None
    s_bar_fixed: float | None = None


class ModelConfig(External):
    """config.json of a checkpoint in Hugging Face's format."""

    max_position_embeddings: int | None = None  # tokens of the longest sequence
    dtype: str | None = None  # such as float32, as transformers 5 writes it
    torch_dtype: str | None = None  # the same, as transformers 4 wrote it


class TokenizerConfig(External):
    """tokenizer_config.json of a checkpoint in Hugging Face's format."""

    chat_template: JsonValue = None  # a string; older checkpoints have a list of named templates


class AddedToken(External):
    id: int


class Vocabulary(External):
    vocab: dict[str, int] | tuple[tuple[str, float], ...]  # ids by token; for a unigram model, tokens with scores in order of ids

    @property
    def ids(self) -> range | frozenset[int]:
        return frozenset(self.vocab.values()) if isinstance(self.vocab, dict) else range(len(self.vocab))


class SavedTokenizer(External):
    """tokenizer.json, as saved by the library tokenizers."""

    model: Vocabulary
    added_tokens: tuple[AddedToken, ...]

    @property
    def size(self) -> int:
        """Number of ids in the tokenizer, special tokens included."""
        return len({*self.model.ids, *(token.id for token in self.added_tokens)})


class Usage(NamedTuple):
    """Tokens of one completion, as charged. `cached` are part of `prompt`."""

    prompt: int
    completion: int
    cached: int = 0
