"""Circumstance: where and how a run happens. From the environment (or a git-ignored .env), never from params.yaml.

Nothing here may change a result, so nothing here invalidates a stage. Keys are secrets: `SecretStr` keeps them out of
reprs and logs, and they are read here and handed to the HTTP client, nowhere else.
"""

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.schema.errors import BadSettings

Role = Literal["teacher", "selector", "judge", "candidate"]

PREFIX = "LONGWRITER_"


class Settings(BaseSettings):
    """Each field is the environment variable LONGWRITER_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".longwriter"), description="state that is no stage output: replay store, MLflow's embedded store, Prefect's home, logs"
    )
    tracking_uri: str = Field("", description="MLflow server; empty: SQLite under home")

    teacher_url: str = Field("", description="OpenAI-compatible base URL; empty: the rehearsal endpoint, for models named rehearsal-*")
    selector_url: str = ""
    judge_url: str = ""
    candidate_url: str = Field("", description="empty: the pipeline serves the trained checkpoint itself")
    teacher_api_key: SecretStr = SecretStr("")
    selector_api_key: SecretStr = SecretStr("")
    judge_api_key: SecretStr = SecretStr("")
    candidate_api_key: SecretStr = SecretStr("")

    concurrency: int = Field(16, ge=1, description="requests in flight per role")
    timeout: float = Field(600.0, gt=0, description="seconds for one request, retries not counted")
    retries: int = Field(5, ge=0, description="of one request, by the openai SDK: 408, 409, 429, 5xx, lost connections")
    rehearsal_latency: float = Field(0.0, ge=0, description="seconds before each of the rehearsal endpoint's answers")
    startup_timeout: float = Field(180.0, gt=0, description="seconds until a server that the pipeline starts must answer")

    server: Literal["transformers", "vllm"] = Field("transformers", description="what serves a trained checkpoint")
    vllm_python: Path = Field(Path(".venv-serve/bin/python"), description="interpreter of the serve environment (requirements/serve.txt)")
    processes: int = Field(1, ge=1, description="training processes on this machine")
    trainings: int = Field(2, ge=1, description="models trained at once, where a stage trains several; 1 on a GPU")
    threads: int = Field(max(1, (os.cpu_count() or 1) // 2), ge=1, description="CPU threads of a training process")
    accelerate_config: Path | None = Field(None, description="an accelerate config, e.g. infra/accelerate/zero3.yaml; empty: one process")

    def url(self, role: Role) -> str:
        return str(getattr(self, f"{role}_url"))

    def api_key(self, role: Role) -> SecretStr:
        """The role's key; OPENAI_API_KEY serves every role without one of its own."""
        return (
            getattr(self, f"{role}_api_key")
            if getattr(self, f"{role}_api_key").get_secret_value()
            else SecretStr(os.environ.get("OPENAI_API_KEY", ""))
        )


@cache
def settings() -> Settings:
    """The process's settings, read once. Raises BadSettings, naming the variable but never its value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = ", ".join(f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadSettings(f"environment: {problems}; mend the variable or unset it") from None
