"""Settings: where and how a run happens. They come from the environment or a git-ignored .env, never from params.yaml.

No setting may change a result, so no setting invalidates a stage. Keys are `SecretStr`, which keeps them out of reprs and logs. They are
read here and passed only to the HTTP client.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tasks.schema.errors import BadSettings
from tasks.schema.urls import Url

Attention = Literal["auto", "sdpa", "flex_attention", "flash_attention_2", "eager"]
Role = Literal["teacher", "selector", "judge", "second_judge", "reward_judge", "candidate"]
Rollouts = Literal["transformers", "colocate", "server"]
Transport = Literal["direct", "batch", "openai_batch", "anthropic_batch"]

PREFIX = "LONGWRITER_"
LIKE_THE_JUDGE = ("second_judge", "reward_judge")  # roles that use the judge's URL and key if they have none
UNDER_WAY = 4  # items per request in flight: enough to choose the most urgent request, few enough to fit in memory


def sendable(key: SecretStr) -> SecretStr:
    """Returns a key without surrounding white space. Raises ValueError if it has characters that an HTTP header cannot have."""
    value = key.get_secret_value().strip()
    if not value.isprintable() or not value.isascii():
        raise ValueError("not a key: it has a line end, or characters that a header cannot have")
    return SecretStr(value)


class Price(BaseModel):
    """Price of a model's tokens, in dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0)
    cached: float | None = Field(None, ge=0, description="prompt tokens from the endpoint's cache; if left out, as dear as others")
    completion: float = Field(ge=0)
    batch: float = Field(0.5, ge=0, le=1, description="share of these prices that a request of a batch costs")


def _cores() -> int:
    """The cores that this process may use. macOS and Windows do not tell them apart from those of the machine."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Settings(BaseSettings):
    """The settings of this process. Each field is the environment variable LONGWRITER_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".longwriter"), description="state that is no stage output: replay store, MLflow's embedded store, Prefect's home, logs"
    )
    tracking_uri: Url = Field(Url(""), description="MLflow server; empty: SQLite under home")
    checkpoint_store: Url = Field(
        Url(""), description="s3://BUCKET/PREFIX where a training's checkpoints outlive its machine; empty: nowhere"
    )
    alert_url: SecretStr = Field(SecretStr(""), description="a webhook that is told of crashed and failed runs, as JSON with `text`")

    store: Url = Field(Url(""), description="s3://BUCKET/PREFIX, where datasets and checkpoints are published; empty: nowhere")
    s3_endpoint: Url = Field(Url(""), description="URL of an S3 server that is not AWS; empty: AWS_ENDPOINT_URL_S3's, or AWS")
    transfers: int = Field(10, ge=1, description="S3 requests in flight; each needs about 1 MiB")

    teacher_url: Url = Field(Url(""), description="OpenAI-compatible base URL; empty: the rehearsal endpoint, for models named rehearsal-*")
    selector_url: Url = Url("")
    judge_url: Url = Url("")
    second_judge_url: Url = Field(Url(""), description="empty: the judge's")
    reward_judge_url: Url = Field(Url(""), description="empty: the judge's")
    candidate_url: Url = Field(Url(""), description="empty: the pipeline serves the trained checkpoint itself")
    teacher_api_key: SecretStr = SecretStr("")
    selector_api_key: SecretStr = SecretStr("")
    judge_api_key: SecretStr = SecretStr("")
    second_judge_api_key: SecretStr = SecretStr("")
    reward_judge_api_key: SecretStr = SecretStr("")
    candidate_api_key: SecretStr = SecretStr("")

    teacher_transport: Transport = Field(
        "direct",
        description="direct: a request at a time; batch: the provider's batch API, which takes up to 24 hours at half the price;"
        " Anthropic's form at anthropic.com, OpenAI's elsewhere; openai_batch, anthropic_batch: that form at any URL",
    )
    selector_transport: Transport = "direct"
    judge_transport: Transport = "direct"
    second_judge_transport: Transport = Field("direct", description="without a URL of its own, the judge's")
    reward_judge_transport: Transport = Field("direct", description="each training step waits for its comparisons, so a batch is slow")
    candidate_transport: Transport = "direct"
    batch_gather: float = Field(5.0, ge=0, description="seconds without a new request after which the waiting ones are sent as a batch")
    batch_poll: float = Field(30.0, gt=0, description="seconds between two questions about the state of a batch")
    batch_requests: int = Field(10_000, ge=1, description="requests of a role that may wait for batches at once")

    concurrency: int = Field(64, ge=1, description="requests in flight per role, at the most: fewer while the endpoint is overloaded")
    requests_per_minute: int = Field(0, ge=0, description="per role; 0: no limit")
    tokens_per_minute: int = Field(0, ge=0, description="prompt and expected completion tokens, per role; 0: no limit")
    timeout: float = Field(
        600.0, gt=0, description="seconds a request may take; fewer once the pace is known, more for a candidate and over 3,000 words"
    )
    retries: int = Field(7, ge=0, description="of a request that fails on its own: 5xx, a lost connection, no answer in time")
    patience: float = Field(600.0, ge=0, description="seconds that an endpoint may refuse everybody (429, 503, 529, no connection)")
    prices: dict[str, Price] = Field(
        {}, description='dollars per million tokens, by models.*.name: {"gpt-4o-2024-05-13": {"prompt": 5, "completion": 15}}'
    )
    spend_cap: float | None = Field(
        None, ge=0, description="dollars that this workspace may spend in all; no call is made that could pass it"
    )
    traces: int = Field(3, ge=0, description="samples of a stage whose requests and answers MLflow keeps as traces, at most")
    trace_share: float = Field(
        1.0, ge=0, le=1, description="share of a stage's samples that are traced, chosen by their ids, up to `traces`"
    )
    record_after: float = Field(
        2.0, ge=0, description="seconds until a running stage's progress is recorded in MLflow; a shorter one is not"
    )
    rehearsal_latency: float = Field(0.0, ge=0, description="seconds before each of the rehearsal endpoint's answers")
    startup_timeout: float = Field(180.0, gt=0, description="seconds until a server that the pipeline starts must answer")

    sifters: int = Field(_cores(), ge=1, description="processes of this machine that sift rows of large sources")
    cluster: str = Field(
        "", description="a Ray cluster for large maps: ray://HOST:10001, HOST:6379 on one of its machines, or local; empty: this process"
    )
    server: Literal["auto", "transformers", "vllm", "llamacpp"] = Field(
        "auto",
        description="what serves a model folder; auto: vllm if installed, without a GPU only for models of 100 MB and more; otherwise"
        " llamacpp without a GPU, if installed; otherwise transformers",
    )
    speculation: Literal["off", "ngram", "suffix", "draft_model"] = Field(
        "off",
        description="speculative decoding of vLLM: drafts from the prompt and the text so far (ngram), from all texts so far (suffix; its"
        " environment needs arctic-inference), or of a smaller model; check it first by `longwriter models speculation`",
    )
    speculative_tokens: int = Field(5, ge=1, le=64, description="tokens of a draft, at most")
    draft_model: Path | None = Field(
        None, description="folder of the smaller model for the speculation draft_model, with the same tokenizer"
    )
    server_threads: int = Field(_cores(), ge=1, description="CPU threads of a model server that the pipeline starts")
    vllm_python: Path = Field(
        Path(".venv-serve/bin/python"), description="interpreter that has vLLM, as python -m infra.serve_env makes it"
    )
    processes: int = Field(1, ge=1, description="training processes on each machine")
    machines: int = Field(1, ge=1, description="that train together; each has home on a shared disk and runs `longwriter train worker`")
    machine_rank: int = Field(0, ge=0, description="of this machine; the stage itself runs on 0")
    main_address: str = Field("127.0.0.1", description="of machine 0, as the others reach it")
    main_port: int = Field(29500, ge=1, le=65535, description="on machine 0, where the training processes meet")
    trainings: int = Field(2, ge=1, description="models trained at once, where a stage trains several; 1 on a GPU")
    threads: int = Field(_cores(), ge=1, description="CPU threads of all training processes of a machine together")
    accelerate_config: Path | None = Field(None, description="an accelerate config, e.g. infra/accelerate/zero3.yaml; empty: none")
    micro_batch: int = Field(1, ge=1, description="rows that a process takes at once; the rest of the global batch is accumulated")
    sequence_parallel: int = Field(1, ge=1, description="processes that share each sequence (Ulysses), for contexts past one card")
    attention: Attention = Field("auto", description="auto: flash_attention_2 on a GPU that has it, sdpa elsewhere")
    liger: bool = Field(True, description="Liger's kernels in training, on a GPU where they are installed")
    rollouts: Rollouts = Field(
        "transformers",
        description="what writes the answers of the stage reinforce: transformers' generate in the training processes; vLLM on the same"
        " GPUs (colocate); or `trl vllm-serve` on others (server)",
    )
    rollouts_url: Url = Field(Url("http://127.0.0.1:8000"), description="of `trl vllm-serve`, for LONGWRITER_ROLLOUTS=server")
    rollouts_memory: float = Field(0.3, gt=0, lt=1, description="share of each GPU that vLLM takes, for LONGWRITER_ROLLOUTS=colocate")
    checkpoints: int = Field(4, ge=0, description="that a training writes on its way, from which it can go on")
    keep_checkpoints: int = Field(2, ge=1, description="newest ones that are kept; older ones are removed")

    @field_validator("store", "checkpoint_store", "s3_endpoint")
    @classmethod
    def _without_credentials(cls, value: Url) -> Url:
        if value.user_info.get_secret_value() or value.query.get_secret_value():
            raise ValueError("credentials do not belong in it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return value

    @field_validator(*(f"{role}_api_key" for role in get_args(Role)))
    @classmethod
    def _sendable(cls, value: SecretStr) -> SecretStr:
        return sendable(value)

    def at(self, role: Role, url: str) -> "Settings":
        """Returns these settings with another URL for the role."""
        return self.model_copy(update={f"{role}_url": Url(url)})

    def url(self, role: Role) -> Url:
        """Returns the role's URL; empty without one. The other judges use the judge's URL unless they have their own."""
        own = Url(getattr(self, f"{role}_url"))
        return Url(self.judge_url) if role in LIKE_THE_JUDGE and not own else own

    def transport(self, role: Role) -> Transport:
        """Returns how the role's requests are sent. The second judge has the judge's way unless it has its own URL."""
        transport: Transport = getattr(self, f"{role}_transport")
        return self.judge_transport if role == "second_judge" and not self.second_judge_url else transport

    @property
    def items_at_once(self) -> int:
        """Items of a map that are in progress at the same time: as many as the requests that a batch can have."""
        batched = any(self.transport(role) != "direct" for role in get_args(Role))
        return max(UNDER_WAY * self.concurrency, self.batch_requests if batched else 0)

    def api_key(self, role: Role) -> SecretStr:
        """Returns the role's key. Without a key and without credentials in the URL, OPENAI_API_KEY is used.

        The other judges use the judge's key if they have no URL of their own. Raises BadSettings if OPENAI_API_KEY cannot be part of a
        header.
        """
        own = self.own_api_key(role)
        if own.get_secret_value() or self.url(role).user_info.get_secret_value():
            return own
        try:
            return sendable(SecretStr(os.environ.get("OPENAI_API_KEY", "")))
        except ValueError as error:
            raise BadSettings(f"environment: OPENAI_API_KEY: {error}; correct the variable or unset it") from None

    def own_api_key(self, role: Role) -> SecretStr:
        """Returns the role's key without the fallback to OPENAI_API_KEY."""
        own: SecretStr = getattr(self, f"{role}_api_key")
        if role in LIKE_THE_JUDGE and not own.get_secret_value() and not getattr(self, f"{role}_url"):
            own = self.judge_api_key
        return own


@cache
def settings() -> Settings:
    """Returns the settings of this process, read once. Raises BadSettings with the variable's name, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = ", ".join(f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadSettings(f"environment: {problems}; correct the variable or unset it") from None
    except SettingsError:  # raised for fields that are read as JSON; PRICES is the only one
        raise BadSettings(f"environment: {PREFIX}PRICES: not JSON; correct the variable or unset it") from None
