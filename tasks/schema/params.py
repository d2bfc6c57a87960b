"""params.yaml: everything that decides what a result means. One section per stage, `models`, `base`, `benchmark` and `seed`.

It has nothing about where a run happens. Every field has a meaning, a range and no default: only the profile files have values. A stage
gets only the sections that dvc.yaml declares for it.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.schema.errors import BadParams
from tasks.schema.records import Language, Reasoning, Share, ThinkingBudget
from tasks.schema.urls import Url

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Version = Annotated[int, Field(ge=1, description="raised by hand when the stage's meaning changes: its code is no dependency")]
Percent = Annotated[float, Field(ge=0, le=100)]


NAME = r"^[a-z0-9][a-z0-9._-]*$"  # name of a source or a recipe, which becomes part of a path
PROFILES = Path(__file__).parent / "profiles"  # complete params files; in a checkout a link to profiles/
PAPERS = PROFILES / "small.yaml"  # the evaluator's default without a params.yaml: has the paper's judge
LARGEST = 10**9  # limit for every number in params.yaml except the seed
SHAPE = "write it as in the files of profiles/"
RECORDED = "recorded"  # models.teacher.name of recorded answers, which stand in for a teacher's texts
DEEPEST = 20  # levels of nesting
Keys = tuple[int | str, ...]  # of a value, from the top


class Section(BaseModel):
    """A part of params.yaml: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Model(Section):
    """A model in a role, with its decoding. All fields are part of the identity of its replies."""

    name: str = Field(min_length=1, description="as the endpoint calls it; rehearsal-* is answered by the rehearsal endpoint")
    revision: str = Field(description="a snapshot date or commit, for names that move; part of the identity only")
    temperature: float = Field(ge=0, le=2)
    max_tokens: int = Field(ge=1, description="completion tokens per call, thoughts included")
    reasoning: Reasoning | None = Field(
        None,  # the default keeps the meaning of params files that were written before this key existed
        description="how much the model thinks before it answers: none, low, medium, high, or {budget: N} tokens; null: nothing is sent,"
        " the endpoint decides",
    )

    @model_validator(mode="after")
    def room_for_text(self) -> "Model":
        if isinstance(self.reasoning, ThinkingBudget) and self.reasoning.budget >= self.max_tokens:
            raise ValueError(f"reasoning.budget {self.reasoning.budget} leaves nothing of max_tokens {self.max_tokens} for the text")
        return self

    def __str__(self) -> str:
        """All fields in one line, for records that name the model."""
        thoughts = f", reasoning {self.reasoning}" if self.reasoning is not None else ""
        return f"{self.name}@{self.revision}, temperature {self.temperature:g}, at most {self.max_tokens} tokens{thoughts}"


class Models(Section):
    """The model of each role."""

    teacher: Model
    selector: Model
    judge: Model | None = Field(description="gives S_q; null: nobody does, S_q is unscored and S̄ does not exist")
    second_judge: Model | None = Field(description="scores everything too, for the agreement of the two; null: nobody does")
    reward_judge: Model | None = Field(
        description="compares answers for the stage reinforce; neither `judge` nor `second_judge`, which must not have trained what they"
        " score; null: nobody does"
    )
    candidate: Model

    @model_validator(mode="after")
    def first_before_second(self) -> "Models":
        if self.second_judge and not self.judge:
            raise ValueError("second_judge without a judge; set it to null too")
        return self


class Bounds(Section):
    """An inclusive range of whole numbers."""

    min: int = Field(ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def ordered(self) -> "Bounds":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is over max {self.max}")
        return self

    def __contains__(self, value: int) -> bool:
        return self.min <= value <= self.max


class Source(Section):
    """Rows made by others: location, format, revision and licence."""

    name: str = Field(pattern=NAME, description="begins the `source` of every row that is read from it")
    files: list[str] = Field(
        min_length=1,
        description="files, folders or globs: below the section's folder, in a bucket (s3://bucket/key) or of a dataset of the hub"
        " (hf://datasets/organisation/name/file); all of one place",
    )
    format: Literal["auto", "jsonl", "parquet"] = Field(description="auto: by the file's name")
    adapter: Literal["auto", "wildchat", "lmsys", "sharegpt", "alpaca", "messages", "prompt", "preference"] = Field(
        description="auto: by the row's fields; preference: a chosen and a rejected answer, in build_pairs.general alone"
    )
    revision: str = Field(
        description="of the hub the commit, of a bucket the digest that `longwriter data pin` prints; empty for local files, which DVC pins"
    )
    licence: str = Field(min_length=1, description="SPDX identifier, as the dataset's card is to name it")

    @property
    def place(self) -> Literal["local", "s3", "hub"]:
        """Where the files are."""
        return _place(self.files[0])

    @model_validator(mode="after")
    def pinned(self) -> "Source":
        if len({_place(file) for file in self.files}) > 1:
            raise ValueError(f"source {self.name}: files of several places; give each place a source of its own")
        if any(Url(file).user_info.get_secret_value() for file in self.files if "://" in file):
            problem = "credentials do not belong into params.yaml; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or HF_TOKEN"
            raise ValueError(f"source {self.name}: {problem}")
        if self.place == "local" and any(Path(file).is_absolute() or ".." in Path(file).parts for file in self.files):
            raise ValueError(
                f"source {self.name}: local files stand below the section's folder, which DVC watches; write them relative to it"
            )
        if self.place == "s3" and not re.fullmatch("[0-9a-f]{64}", self.revision):
            raise ValueError(f"source {self.name} is not pinned: its revision is the listing's digest; `longwriter data pin` prints it")
        if self.place == "hub" and not re.fullmatch("[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"source {self.name} is not pinned: revision is a commit of the hub, 40 hexadecimal digits; `longwriter data pin` prints it"
            )
        return self


def _place(file: str) -> Literal["local", "s3", "hub"]:
    return "s3" if file.startswith("s3://") else "hub" if file.startswith("hf://") else "local"


def _check_no_pairs(sources: Iterable[Source]) -> None:
    if pairs := next((source.name for source in sources if source.adapter == "preference"), None):
        raise ValueError(f"source {pairs}: the adapter preference reads pairs of answers, for build_pairs.general alone; set it to auto")


class Collect(Section):
    """Which instructions are collected, from which sources and by which filters."""

    version: Version
    folder: str = Field(min_length=1, description="local files of sources and decontaminate stand below it: the stage's dependency")
    sources: list[Source] = Field(min_length=1)
    decontaminate: list[Source] = Field(description="what else the run is scored on, beside `benchmark`: none of it gets into the data")
    count: int = Field(ge=1, description="instructions to draw, at the most")
    languages: list[Language] = Field(
        min_length=1,
        description="en, zh: what the prompts, filters and length readers of the pipeline know; prompts of any language are evaluated",
    )
    words: Bounds = Field(description="asked lengths worth training on; asks without a length are judged by the selector alone")
    near_duplicate: Share = Field(description="Jaccard similarity from which a row counts as a copy")
    toxicity: Literal["words", "off"] = Field(description="words: a word list too; off: the flags of the source alone")
    personal_data: Literal["mask", "keep"] = Field(description="mask: addresses, numbers and keys become placeholders such as [EMAIL]")
    max_malformed: Share = Field(description="share of unreadable rows that may be set aside; 0 stops at the first")
    recorded: bool = Field(
        False,  # the default keeps the meaning of params files that were written before this key existed
        description="the rows' own answers become the texts, cut at the end of a sentence to lengths within `words`; their prompts get a"
        " length request that is true. No selector is asked; needs models.teacher.name: recorded",
    )

    @field_validator("languages", mode="before")
    @classmethod
    def known(cls, languages: object) -> object:
        others = [code for code in languages if code not in get_args(Language)] if isinstance(languages, list) else []
        if others:
            raise ValueError(
                f"instructions are collected and written in en and zh, not in {others[0]}; prompts of any language can be evaluated"
            )
        return languages

    @model_validator(mode="after")
    def without_pairs(self) -> "Collect":
        _check_no_pairs((*self.sources, *self.decontaminate))
        return self

    @model_validator(mode="after")
    def told_apart(self) -> "Collect":
        names = [source.name for source in (*self.sources, *self.decontaminate)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are called {twice[0]}; names tell rows apart")
        return self


class PlanSection(Section):
    """How the teacher plans a text."""

    version: Version
    format: Literal["json", "bounded", "text"] = Field(
        description="json: asked for by JSON schema, as text where the endpoint takes none; bounded: the schema also limits the number of"
        " paragraphs and their words, for small models behind servers that decode by it, such as llama.cpp; text: as text"
    )
    paragraph_words: Bounds
    max_paragraphs: int = Field(ge=1, description="of a plan on one level; a longer text is planned as chapters first")
    deviation: Share = Field(description="how far the plan's total may lie from the asked length before its budgets are rescaled")
    tries: int = Field(ge=1, description="times that a plan is asked for before it is a Reject")
    max_rejects: Share


WriteMode = Literal["serial", "parallel", "direct"]
Chooser = Literal["rules", "duels"]
ParallelParts = Literal["none", "chapters"]
WriteMemory = Literal["summary", "state"]
Reflect = Literal["rule", "teacher"]
Form = Literal["plain", "interleaved"]
WriteLayout = Literal["text", "turns"]


class Write(Section):
    """How the teacher writes a text by its plan."""

    version: Version
    mode: WriteMode = Field(
        description="serial: each paragraph sees the text so far; parallel: none does (ablation); direct: the whole text in one call, or"
        " each chapter where models.teacher.max_tokens is too small for the whole; it is repaired, or written serially, where it fails a"
        " check or misses its length"
    )
    feedback: bool = Field(description="what was written so far moves the word counts of what is left; false: the plan's stand (ablation)")
    context: int = Field(
        ge=1024, description="tokens of a prompt; of a longer text so far the newest paragraphs, and write.memory for the others"
    )
    tries: int = Field(ge=1, description="times that a bad paragraph is asked for before its sample is a Reject")
    retakes: int = Field(ge=0, description="times that the last paragraph is asked for again while the whole text misses its length by 10%")
    max_rejects: Share
    prompt: str = Field(
        "tasks/prompts/write.txt",
        min_length=1,
        description="file: the request for one paragraph; tasks/prompts/write_short.txt is for models that cannot follow the longer one",
    )
    layout: WriteLayout = Field(
        "text",  # the default keeps the meaning of params files that were written before this key existed
        description="how a request shows the text so far; text: in one message, in the prompt; turns: as a conversation, in which each"
        " paragraph is the reply to its own request, so that the prefix cache of a server has its tokens since they were written",
    )
    next_prompt: str = Field(
        "tasks/prompts/write_next.txt",
        min_length=1,
        description="file: with layout turns, the request for a paragraph that is not the first; tasks/prompts/write_next_short.txt is for"
        " models that need write_short.txt",
    )
    stop_early: bool = Field(
        False,  # as for layout
        description="replies are checked while they come; one that loops, refuses, changes its language or is far too long is stopped and"
        " asked for again",
    )
    takes: int = Field(
        1,  # as stop_early
        ge=1,
        le=16,
        description="replies to each paragraph's request, asked for at once; the best is kept; the cost of the texts grows as many times",
    )
    chooser: Chooser = Field(
        "rules",
        description="which of the takes is kept: rules: the closest to its words, that repeats least; duels: the teacher compares them two"
        " by two, in both orders, which costs up to two more calls for each further take",
    )
    parallel: ParallelParts = Field(
        "none",
        description="chapters: the chapters of a plan are written at the same time, each with the plan and its own text, and a paragraph"
        " that repeats an earlier chapter is asked for again; texts without chapters are written serially",
    )
    memory: WriteMemory = Field(
        "summary",  # as for stop_early
        description="what replaces the beginning of a text longer than write.context; summary: a running summary; state: a typed record"
        " of people, things, events, promises, terms, figures and claims, and earlier passages that are near to the step, quoted",
    )
    consistency: bool = Field(
        False,  # as for stop_early
        description="the teacher looks for contradictions in the finished draft and replaces the words that contradict earlier ones; a new"
        " wording is kept if the check no longer finds the contradiction and the paragraph still passes all checks",
    )
    reflect: Reflect = Field(
        "rule",  # as for stop_early
        description="who reflects on each paragraph in the traces of the form interleaved; rule: assemble, from the plan and the counted"
        " words, without a call; teacher: also the teacher, with one more call for each paragraph",
    )

    @property
    def text_only(self) -> "Write":
        """For texts that are read, not trained on: without reflections."""
        return self.model_copy(update={"reflect": "rule"})

    @model_validator(mode="after")
    def fitting(self) -> "Write":
        if self.mode == "direct" and self.takes > 1:
            raise ValueError(f"takes {self.takes} with mode direct, which asks for many paragraphs at once; set takes: 1, or mode: serial")
        if self.mode != "serial" and self.parallel == "chapters":
            raise ValueError(f"parallel: chapters with mode {self.mode}; set mode: serial, or parallel: none")
        if self.layout == "turns" and self.mode != "serial":
            raise ValueError(f"layout: turns with mode {self.mode}; set mode: serial, or layout: text")
        if self.layout == "turns" and self.memory == "state":
            raise ValueError(
                "layout: turns with memory: state, which quotes other passages each time; set memory: summary, or layout: text"
            )
        return self


class Recipe(Section):
    """Which of the valid drafts become the dataset."""

    words: Bounds = Field(description="written lengths that are kept")
    explicit_only: bool = Field(description="only requests that name a length in their own words")
    min_s_l: Percent = Field(description="a sample's own S_l, asked against written; 80 keeps 0.714 to 1.6 times what was asked; 0: all")
    form: Form = Field(
        "plain",  # the default keeps the meaning of params files that were written before this key existed
        description="plain: the model is trained on the text; interleaved: on the text with thoughts: the plan, then for each part its"
        " step, the part, and a reflection on what is done, what changes in the plan, and the words that are left",
    )


class General(Section):
    """Chats of ordinary length that are mixed in, so that the model keeps its other abilities while it learns to write long."""

    ratio: float = Field(ge=0, le=1_000, description="general chats for each long text; the paper has 30; 0: none")
    sources: list[Source] = Field(description="whole conversations; local files stand below collect.folder")

    @model_validator(mode="after")
    def served(self) -> "General":
        if self.ratio and not self.sources:
            raise ValueError(f"ratio {self.ratio:g} without a source to draw from")
        _check_no_pairs(self.sources)
        return self


class GeneralPairs(Section):
    """General preference pairs that are mixed in, so that alignment for length does not cost other abilities (paper, section 4.3)."""

    ratio: float = Field(ge=0, le=1_000, description="general pairs for each pair of the student's own; the paper has 12.5; 0: none")
    sources: list[Source] = Field(description="rows with a chosen and a rejected answer; local files stand below collect.folder")

    @model_validator(mode="after")
    def served(self) -> "GeneralPairs":
        if self.ratio and not self.sources:
            raise ValueError(f"ratio {self.ratio:g} without a source to draw from")
        if other := next((source for source in self.sources if source.adapter not in ("auto", "preference")), None):
            raise ValueError(f"source {other.name}: the adapter {other.adapter} reads no pairs of answers; set it to preference")
        return self


class Assemble(Section):
    """How the dataset is made from valid drafts."""

    recipe: str = Field(description="the one of `recipes` that is made")
    recipes: dict[Annotated[str, Field(pattern=NAME)], Recipe] = Field(
        description="longwriter-6k is the paper's, longwriter-filtered that of arXiv 2410.10210, longwriter-strict has texts with an S_l of"
        " 90 or more, longwriter-interleaved traces (both as in arXiv 2606.09709)"
    )
    general: General
    max_rejects: Share = Field(description="of drafts with a fault; what a recipe leaves out is none")

    @model_validator(mode="after")
    def known(self) -> "Assemble":
        if self.recipe not in self.recipes:
            raise ValueError(f"recipe {self.recipe} is none of {', '.join(self.recipes)}")
        return self

    @property
    def chosen(self) -> Recipe:
        """The recipe in use."""
        return self.recipes[self.recipe]


class Spread(Section):
    """Ranges for three quantiles of the lengths: 10%, 50% and 90% of the rows are shorter."""

    p10: Bounds
    p50: Bounds
    p90: Bounds


class ValidateInstructions(Section):
    """Data contract of the instructions."""

    min_rows: int = Field(ge=1)
    min_language_share: Share = Field(description="of the rarer language, where two are present")
    min_explicit: int = Field(ge=0, description="instructions that name a length in their own words")
    lengths: Spread = Field(description="of the asked lengths")


class ValidateDrafts(Section):
    """Data contract of the drafts."""

    min_rows: int = Field(ge=1)
    min_s_l: Percent = Field(description="a draft's own S_l, its plan's length against what was written")
    within_s_l: Share = Field(description="share of drafts that must reach min_s_l")
    clean: Share = Field(description="share of drafts that must be free of each fault; assemble sets the others aside")


class ValidateDataset(Section):
    """Data contract of the training set."""

    min_rows: int = Field(ge=1, description="long texts")
    lengths: Spread = Field(description="of the long texts' written lengths")
    min_language_share: Share = Field(description="of the rarer language, where two are present")
    min_s_l: Percent = Field(description="a row's own S_l, asked against written")
    within_s_l: Share = Field(description="share of rows that must reach min_s_l")
    max_repetition: Share = Field(description="share of a row's sentences that occur before in it")


class Pack(Section):
    """How samples become packs of tokens."""

    context: int = Field(ge=64, description="tokens per pack; a longer sample is a Reject, never cut")
    vocabulary: int = Field(ge=512, description="of the tokenizer that is trained when base.model is `tiny`")
    control_cap: Share = Field(description="the control's outputs are at most this share of the longest one; 0: no control")
    held_out: int = Field(ge=0, description="long texts that no model trains on: train reports the loss on them, the base's and its own")
    max_rejects: Share


class Base(Section):
    """The model that is fine-tuned."""

    model: str = Field(
        min_length=1, description="`tiny`, made on the spot; smollm2, from its package; or a checkpoint folder, a GGUF file, or a hub id"
    )
    revision: str = Field(description="the hub commit of model; empty for `tiny` and folders")
    remote_code: bool = Field(description="run Python code from the model's repository; then revision has to be its full commit")
    chat_template: str | None = Field(
        None,  # the default keeps the meaning of params files that were written before this key existed
        min_length=1,
        description="a .jinja file with {% generation %} marks to train with; null: the model's own, or a known form that renders the same",
    )

    @model_validator(mode="after")
    def pinned(self) -> "Base":
        if self.remote_code and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError("remote_code needs a revision that is a full commit, 40 hex digits")
        return self


class Tiny(Section):
    """The student that is created when base.model is `tiny`."""

    layers: int = Field(ge=1)
    width: int = Field(ge=16)
    heads: int = Field(ge=1)


class Adapter(Section):
    """LoRA on all linear layers (arXiv 2106.09685). With bits: 4 the frozen weights are NF4 (QLoRA, arXiv 2305.14314)."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1, description="the update is scaled by alpha / rank")
    dropout: Share
    bits: Literal[4, 16] = Field(description="of the frozen weights")


class Optimization(Section):
    """Optimizer settings that SFT and DPO share, independent of the loss."""

    epochs: float = Field(gt=0, le=10_000)
    global_batch: int = Field(ge=1, description="rows (packs, pairs) per optimizer step, over all processes and accumulation")
    learning_rate: float = Field(gt=0, le=10)
    schedule: Literal["cosine", "linear", "constant_with_warmup"]
    warmup: Share = Field(description="share of all steps")
    weight_decay: float = Field(ge=0, le=10)
    betas: tuple[Share, Share]
    max_grad_norm: float = Field(gt=0, le=1e9)
    max_loss_jump: float = Field(gt=0, le=1e9, description="nats over the median of the last 32 steps at which a training stops")
    precision: Literal["fp32", "bf16"]
    adapter: Adapter | None = Field(description="null: all weights are trained")


class Train(Optimization):
    """SFT of the student."""

    version: Version
    tiny: Tiny
    weighting: Literal["token", "sequence"] = Field(
        description="token: the mean over all target tokens of the global batch (the paper); sequence: over its sequences (LongAlign)"
    )


class SampleSection(Section):
    """The SFT student answers training requests again, as input for DPO."""

    version: Version
    prompts: int = Field(ge=0, description="training requests, drawn by their ids; 0: no alignment, the SFT student is the last candidate")
    answers: int = Field(ge=2, description="to each request")


class BuildPairs(Section):
    """Preference pairs for DPO, from sampled answers and the judge's verdicts."""

    version: Version
    prompt: str = Field(min_length=1, description="file: the judge's prompt, as judge.prompt")
    tries: int = Field(ge=1, description="times that a verdict is asked for before the answer is unscored")
    margin: Percent = Field(description="points of S̄ that a rejected answer must lie below the chosen one; 0: any")
    max_rejects: Share = Field(description="share of the requests that may end without a pair: ties, mostly")
    general: GeneralPairs = Field(
        default_factory=lambda: GeneralPairs(ratio=0.0, sources=[]),  # as in params files that were written before this key existed
        description="preference pairs of other datasets",
    )


class Align(Optimization):
    """DPO of the student, with the SFT student as the reference."""

    version: Version
    loss: Literal["sigmoid", "sigmoid_norm"] = Field(
        "sigmoid",  # the default keeps the meaning of params files that were written before this key existed
        description="sigmoid: DPO, which sums log-probabilities over an answer, so that long answers weigh more; sigmoid_norm: their mean"
        " over the answer's tokens, so that length alone changes nothing; it needs a larger beta (about 5)",
    )
    beta: float = Field(gt=0, le=1_000, description="how dear it is to leave the reference (arXiv 2305.18290, equation 7)")
    sft_weight: float = Field(ge=0, le=10_000, description="of the chosen answers' own loss beside DPO's; 0: none")
    context: int = Field(ge=64, description="tokens of a request with one of its answers; a pair with a longer one is a Reject, never cut")
    max_rejects: Share


class Reinforce(Optimization):
    """Reinforcement learning of the (aligned) student on rewards, by GRPO (arXiv 2402.03300). `global_batch` counts answers."""

    version: Version
    prompts: int = Field(ge=0, description="collected prompts that ask for a length, drawn by their ids; 0: no reinforcement")
    max_words: int | None = Field(ge=1, description="prompts that ask for more words are not drawn; null: all are")
    group: int = Field(ge=1, description="answers to a prompt at a step, that are compared with each other; 2 or more")
    temperature: float = Field(gt=0, le=2, description="of the answers; 0 would make a group of equal answers")
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1, description="of an answer; must be enough for the longest requested length")
    overlong: Literal["keep", "mask", "soft"] = Field(
        description="answers that max_tokens cuts off: keep them; mask their loss; soft: a reward falls from 0 to -1 over the last fifth of"
        " max_tokens (DAPO, arXiv 2503.14476)"
    )
    rewards: dict[str, Annotated[float, Field(gt=0, le=1_000)]] = Field(
        min_length=1, description="weight by plug-in (tasks/rewards): length, repetition, ended, substance, ranking, or one of your own"
    )
    combine: Literal["average", "weights", "sum"] = Field(
        description="average, weights: normalise each reward in its group, then take the (weighted) mean (LongWriter-Zero); sum: normalise"
        " the weighted sum (POLARIS)"
    )
    opponents: int = Field(ge=1, description="answers of the group that the ranking compares each answer with, at most, on either side")
    tries: int = Field(ge=1, description="times that a comparison is asked for before it is unscored")
    max_unscored: Share = Field(description="share of the answers that a reward may leave unscored, over the last steps")
    max_flat: int = Field(ge=1, description="steps in a row without any difference within a group, after which the training stops")
    beta: float = Field(ge=0, le=1_000, description="weight of the KL divergence from the student; 0: no reference model in memory")
    clip: tuple[Share, float] = Field(description="the ratio of probabilities is clipped to [1 - first, 1 + second]")
    held_out: int = Field(ge=0, description="prompts that are only watched, never trained on; 0: nothing is watched")
    watch_every: int = Field(ge=1, description="steps between two looks at the held-out prompts")
    max_fall: Percent = Field(
        description="points of held-out S_l without loops that may be lost while the trained reward rises; more at two looks in a row stops"
    )

    @model_validator(mode="after")
    def trainable(self) -> "Reinforce":
        if self.group < 2:
            raise ValueError("group is 1: an answer alone has no advantage over its group, so nothing is learned; set it to 2 or more")
        if self.global_batch % self.group:
            raise ValueError(f"global_batch {self.global_batch} is no multiple of group {self.group}; it counts answers, in whole groups")
        if self.combine == "average" and set(self.rewards.values()) != {1.0}:
            raise ValueError("combine `average` weighs all rewards equally; set all weights to 1.0, or combine to `weights`")
        return self

    @property
    def prompts_per_step(self) -> int:
        return self.global_batch // self.group


class Predict(Section):
    """Answers of the candidate models to the benchmark."""

    version: Version
    samples: int = Field(ge=1, description="answers to each prompt; scores are means over them, intervals are over prompts")
    base: bool = Field(description="the base model itself is a candidate too: what the training changed is student minus base")
    stop_early: bool = Field(
        False,  # as write.stop_early
        description="answers are checked while they come, as by write.stop_early; a stopped answer is asked for again, twice, and the last"
        " answer is read to its end: part of the result, because looping answers are fewer",
    )


class Judge(Section):
    """How the judge scores answers."""

    version: Version
    prompt: str = Field(min_length=1, description="file: the project's own, or the paper's as `longwriter eval official` fetches it")
    tries: int = Field(ge=1, description="times that a verdict is asked for before the item is unscored")
    repeats: int = Field(ge=1, description="verdicts on each answer; S_q is their mean, their spread is the judge's noise")
    pairwise: bool = Field(description="also compare the models' answers two by two, in both orders")


class EvaluateGeneral(Section):
    """General ability, measured by lm-evaluation-harness."""

    version: Version
    tasks: list[str] = Field(description="of lm-evaluation-harness, by name or as YAML files; none: nothing is measured")
    limit: int | None = Field(ge=1, description="questions per task; null: all")
    fewshot: int | None = Field(ge=0, description="examples before each question; null: as the task says")


class JudgeExamBounds(Section):
    """What the judge's exam (`longwriter eval judge-exam`) must have shown. null: no condition. A judge without an exam fails."""

    max_bias: Percent | None = Field(description="points of S_q that a plant may raise a grade by, at the upper end of its 95% interval")
    min_drop: Percent | None = Field(description="points of S_q that each planted fault must lower it by, at the lower end of its interval")
    max_order_bias: Share | None = Field(description="distance of the first text's share of won comparisons from one half")
    max_deviation: Percent | None = Field(description="standard deviation of an answer's S_q between repeats, in points")
    min_read: Share | None = Field(description="share of the judge's verdicts and comparisons that could be read")


class Promote(Section):
    """The promotion gate. The alias `champion` moves only if all conditions pass."""

    mode: Literal["paper", "fixed"] = Field(description="the word count and the reading of lengths that the gate looks at")
    min_s_bar: Percent | None = Field(description="null: S̄ is no axis, and the champion is compared in S_l; needed without a judge")
    min_s_l: Percent
    min_gain_over_champion: float = Field(ge=-100, le=100, description="points of S̄ that the whole 95% interval of the gain must lie above")
    max_group_loss: Percent = Field(description="points of S̄ that no bin and no language may lose against the champion")
    max_unscored: Share
    max_repetition: Share = Field(description="mean share of an answer's 4-grams that came before in it")
    max_length_variation: Share | None = Field(
        description="largest LVC: standard deviation of the lengths of several answers to one prompt ÷ their mean; null: no condition; a"
        " number needs predict.samples ≥ 2"
    )
    judge_exam: JudgeExamBounds | None = Field(description="bounds on the exam of the judge of S_q; null: no condition")
    min_general: dict[str, Share] = Field(description="floor per task of evaluate_general.tasks; a task that was not measured fails")


class Serve(Section):
    """The promoted model is served once. It must end an answer by itself, near the requested length."""

    version: Version
    words: int = Field(ge=1, description="asked for")
    min_s_l: float = Field(ge=0, le=100, description="length score that the answer must reach")
    stop_early: bool = Field(
        False,  # as write.stop_early
        description="the answer is checked while it comes, as by predict.stop_early; a stopped answer is asked for again, twice, and the"
        " last one is read to its end: part of the result",
    )


class Study(Section):
    """The length-limit study, which only `longwriter study` runs."""

    texts: str = Field(min_length=1, description="the dataset's folder, or recorded answers: a JSONL file or a folder of them")
    ruler: str = Field(min_length=1, description="a JSONL file of prompts with the length that each asks for")
    caps: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="words that the training outputs may have, an arm each")
    over: Literal["drop", "cut"] = Field(
        description="texts over a cap are left out (the paper), or cut behind the last sentence within it: as many texts in every arm"
    )
    passes: int = Field(ge=1, description="times that each model goes through the ruler; longest answers are means over them")


class Params(Section):
    """The whole params.yaml."""

    seed: int = Field(ge=0, lt=2**32)
    benchmark: str = Field(min_length=1, description="a JSONL file in LongBench-Write's format: prompt, type, length")
    models: Models
    base: Base
    collect: Collect
    validate_instructions: ValidateInstructions
    plan: PlanSection
    write: Write
    validate_drafts: ValidateDrafts
    assemble: Assemble
    validate_dataset: ValidateDataset
    pack: Pack
    train: Train
    sample: SampleSection
    build_pairs: BuildPairs
    align: Align
    reinforce: Reinforce
    predict: Predict
    judge: Judge
    evaluate_general: EvaluateGeneral
    promote: Promote
    serve: Serve
    study: Study

    @model_validator(mode="after")
    def recorded_answers_for_a_recorded_teacher(self) -> "Params":
        if self.collect.recorded != (self.models.teacher.name == RECORDED):
            raise ValueError("collect.recorded: true and models.teacher.name: recorded need each other; set both, or neither")
        if self.write.reflect == "teacher" and self.models.teacher.name == RECORDED:
            raise ValueError("write.reflect: teacher asks the teacher, and models.teacher.name is recorded; set write.reflect: rule")
        return self

    @model_validator(mode="after")
    def answerable(self) -> "Params":
        if self.models.judge is None and self.promote.min_s_bar is not None:
            raise ValueError("models.judge is null, and promote.min_s_bar asks for S̄, which needs a judge; set promote.min_s_bar to null")
        if self.models.judge is None and self.promote.judge_exam is not None:
            raise ValueError("models.judge is null, and promote.judge_exam bounds the exam of a judge; set promote.judge_exam to null")
        if self.promote.max_length_variation is not None and self.predict.samples < 2:
            raise ValueError(
                f"promote.max_length_variation is {self.promote.max_length_variation:g}, and predict.samples is {self.predict.samples}:"
                " one answer to a prompt has no variation; set predict.samples to 2 or more, or promote.max_length_variation to null"
            )
        if self.assemble.chosen.form == "interleaved":
            _check_traces(self.assemble.recipe, self.sample, self.pack, self.models.candidate)
        if self.reinforce.prompts:
            _check_reward_judge(self.models, self.reinforce)
        if self.predict.base and self.base.model == "tiny":
            raise ValueError("predict.base is true, and base.model `tiny` has no weights before it is trained; set predict.base to false")
        if self.predict.stop_early and self.models.candidate.temperature == 0:
            problem = (
                "models.candidate.temperature 0 gives the stopped answer again; set predict.stop_early to false or raise the temperature"
            )
            raise ValueError(f"predict.stop_early is true, and {problem}")
        return self


def _check_traces(recipe: str, sample: SampleSection, pack: Pack, candidate: Model) -> None:
    """Raises ValueError if alignment would undo the thinking, or if an answer as long as the longest trace would be cut."""
    if sample.prompts:
        raise ValueError(
            f"assemble.recipe {recipe} has the form interleaved, and sample.prompts is {sample.prompts}: alignment trains on answers"
            " without thoughts, and would undo the thinking; set sample.prompts to 0"
        )
    if candidate.max_tokens < pack.context:
        raise ValueError(
            f"assemble.recipe {recipe} has the form interleaved, pack.context is {pack.context}, and models.candidate.max_tokens is"
            f" {candidate.max_tokens}: answers with their thoughts could be cut; set max_tokens to {pack.context} or more"
        )


RANKING = "ranking"  # the reward that asks models.reward_judge


def _check_reward_judge(models: Models, reinforce: Reinforce) -> None:
    """Raises ValueError if the judge that trains also scores, or if the ranking has no judge."""
    trains = models.reward_judge
    if trains is None:
        if RANKING in reinforce.rewards:
            raise ValueError("reinforce.rewards has `ranking`, and models.reward_judge is null; name a judge, or remove `ranking`")
        return
    for role in ("judge", "second_judge"):
        scores: Model | None = getattr(models, role)
        if scores and _bare(scores.name) == _bare(trains.name):
            raise ValueError(
                f"models.reward_judge is {trains.name}, which is also models.{role}: a model that was trained to please a judge cannot be"
                " scored by it; name another model in one of the two"
            )


def _bare(name: str) -> str:
    """A model's name without the provider's prefix: openai/gpt-4o and gpt-4o are one model."""
    return name.rstrip("/").rpartition("/")[2].casefold()


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks a params file. Raises BadParams with the line and the dotted key of the first problem."""
    from ruamel.yaml import YAML, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        tree: object = YAML(typ="rt").load(text)
    except FileNotFoundError:
        raise BadParams(path, "no such file", fix="`longwriter use rehearsal` writes one") from None
    except UnicodeDecodeError as error:
        raise BadParams(path, f"not UTF-8 at byte {error.start}", fix="save it as UTF-8") from None
    except RecursionError:
        raise BadParams(path, f"nested more than {DEEPEST} levels deep", fix=SHAPE) from None
    except ValueError as error:  # a number with more digits than Python accepts
        raise BadParams(path, f"not readable: {str(error)[:80]}", fix="correct the value") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadParams(
            path, f"not YAML: {getattr(error, 'problem', error)}", line=mark.line + 1 if mark else None, fix="correct the syntax"
        ) from None
    if not isinstance(tree, dict):
        raise BadParams(path, "not a mapping of sections", fix="`longwriter use rehearsal` writes one")
    _check_values(path, tree)
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = first["loc"]
        raise BadParams(path, _problem(first), line=_line(tree, keys), field=".".join(map(str, keys)), fix=_fix_for(first, keys)) from None


def _check_values(path: Path, tree: object) -> None:
    """Raises BadParams for too deep nesting and for numbers over LARGEST, before they are used."""
    waiting: list[tuple[object, Keys]] = [(tree, ())]
    while waiting:
        value, keys = waiting.pop()
        if len(keys) > DEEPEST:
            raise BadParams(path, f"nested more than {DEEPEST} levels deep", line=_line(tree, keys), field=str(keys[0]), fix=SHAPE)
        if isinstance(value, dict | list):
            waiting += [(child, (*keys, key)) for key, child in (value.items() if isinstance(value, dict) else enumerate(value))]
        elif isinstance(value, int | float) and not isinstance(value, bool) and keys != ("seed",) and abs(value) > LARGEST:
            problem = f"{str(value)[:24]} is out of range; the largest number is {LARGEST:,}"
            raise BadParams(path, problem, line=_line(tree, keys), field=".".join(map(str, keys)), fix="correct the value")


def _problem(error: "ErrorDetails") -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing key"
    shown = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return str(error["msg"]).removeprefix("Value error, ") + shown


def _fix_for(error: "ErrorDetails", keys: Keys) -> str:
    if error["type"] == "missing":
        return "add it; the profiles show its place"
    if error["type"] != "extra_forbidden":
        return "correct the value"
    near = get_close_matches(str(keys[-1]), _fields(keys[:-1]), n=1)
    return f"did you mean {near[0]}?" if near else "remove it; where a run happens is set by LONGWRITER_* variables, not here"


def _fields(keys: Keys) -> list[str]:
    section: Any = Params
    for key in keys:
        if not isinstance(key, int):  # a list index; the entry's type was already taken from the list's
            section = next((f.annotation for name, f in section.model_fields.items() if (f.alias or name) == key), Params)
        section = next(iter(get_args(section)), section)
    return [field.alias or name for name, field in section.model_fields.items()]


def _line(tree: Any, keys: Keys) -> int | None:
    """The line of the deepest key on the path that is in the file."""
    line = None
    for key in keys:
        try:
            line = (tree.lc.key(key) if hasattr(tree, "keys") else tree.lc.item(key))[0] + 1
            tree = tree[key]
        except (KeyError, IndexError, AttributeError):
            break
    return line
