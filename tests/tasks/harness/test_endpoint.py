"""The harness's clients: a valid reply is an answer, and everything else is reported as an error."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tasks.harness.job import HarnessJob
from tests.tasks.harness.answering import Seen, endpoint, job, said, weighed

pytest.importorskip("lm_eval")

QUESTION = '[{"role": "user", "content": "What is 6 times 7?"}]'


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer of single bytes that puts its first token before every text, as Llama's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoint")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE(vocab={"<s>": 0} | {letter: place for place, letter in enumerate(sorted(alphabet), 1)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    (folder / "config.json").write_text('{"max_position_embeddings": 100}')
    return folder


def chat(own: HarnessJob, *questions: str) -> list[list[str]]:
    from lm_eval.models.api_models import JsonChatStr

    from tasks.harness.endpoint import client

    asked = [JsonChatStr(question) for question in questions or (QUESTION,)]
    made = client(own, chats=True, label="facts")
    options = {"until": ["\n"], "max_gen_toks": 16}
    return asyncio.run(made.get_batched_requests(asked, [], generate=True, gen_kwargs=options))


def weigh(own: HarnessJob, tokens: list[int], *, context: int) -> list[list[tuple[float, bool]]]:
    from tasks.harness.endpoint import client

    return asyncio.run(client(own, chats=False, label="facts").get_batched_requests([tokens], [], generate=False, ctxlens=[context]))


def test_answers_stand_in_the_order_of_the_questions_whatever_the_order_they_come_in(tmp_path: Path) -> None:
    questions = [f'[{{"role": "user", "content": "{number}"}}]' for number in range(20)]
    with endpoint(lambda seen, _: said(seen.body["messages"][0]["content"])) as there:
        assert chat(job(there.url, tmp_path), *questions) == [[str(number)] for number in range(20)]
    assert {(seen.path, seen.body["model"], seen.body["max_tokens"]) for seen in there.seen} == {("/v1/chat/completions", "student", 16)}


def test_an_answer_without_content_is_an_empty_one(tmp_path: Path) -> None:
    with endpoint(lambda *_: said(None)) as there:
        assert chat(job(there.url, tmp_path)) == [[""]]


def test_thoughts_are_no_part_of_an_answer(tmp_path: Path) -> None:
    parts = [{"type": "thinking", "thinking": "41 or 42?"}, {"type": "text", "text": "42"}]
    for content in (parts, "<think>41 or 42?</think>42", "41 or 42?\n</think>\n\n42"):
        with endpoint(lambda *_, content=content: said(content)) as there:
            assert chat(job(there.url, tmp_path)) == [["42"]]


def test_an_error_in_a_200_is_one(tmp_path: Path) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    with (
        endpoint(lambda *_: (200, {"error": "overworked"})) as there,
        pytest.raises(QuestionUnanswered, match="an error in a 200: overworked"),
    ):
        chat(job(there.url, tmp_path))


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": [{"index": 0}]}, [], b"<html>", {"choices": 5}])
def test_what_is_no_completion_is_never_an_empty_answer(tmp_path: Path, body: Any) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    with endpoint(lambda *_: (200, body)) as there, pytest.raises(QuestionUnanswered, match="200 with a body that is no completion"):
        chat(job(there.url, tmp_path))


def test_a_refusal_for_good_is_asked_once_and_said_in_its_own_words(tmp_path: Path) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    refusal = (404, {"error": {"message": "The model `student`\ndoes not exist."}})
    with endpoint(lambda *_: refusal) as there, pytest.raises(QuestionUnanswered, match=r"^404: The model `student` does not exist\.$"):
        chat(job(there.url, tmp_path, retries=5, patience=60.0))
    assert len(there.seen) == 1


def test_a_refused_key_names_the_setting(tmp_path: Path) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    with (
        endpoint(lambda *_: (401, {"detail": "no"})) as there,
        pytest.raises(QuestionUnanswered, match="401: no; set LONGWRITER_CANDIDATE_API_KEY"),
    ):
        chat(job(there.url, tmp_path))


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {"error": {"code": "content_filter", "message": "no"}}),
        (403, {"detail": "moderated"}),
        (413, b""),
        (422, {"detail": [{"loc": ["body", "messages"], "msg": "too long"}]}),
        (500, {"error": "this input crashes it"}),
        (200, {"error": {"message": "flagged", "code": 403}}),
        (200, {"choices": [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}]}),
        (200, b"<html>"),
    ],
)
def test_one_refused_question_has_a_reason_in_the_place_of_its_answer(tmp_path: Path, refusal: tuple[int, Any]) -> None:
    from tasks.harness.endpoint import RefusedText

    def moderate(seen: Seen, _: int) -> tuple[int, Any]:
        return refusal if seen.body["messages"][0]["content"] == "3" else said("42")

    questions = [f'[{{"role": "user", "content": "{number}"}}]' for number in range(20)]
    with endpoint(moderate) as there:
        answers = [answer for (answer,) in chat(job(there.url, tmp_path), *questions)]
    assert [isinstance(answer, RefusedText) for answer in answers] == [number == 3 for number in range(20)]
    assert answers[3]


@pytest.mark.parametrize("refusal", [(401, {"detail": "no"}), (402, {"detail": "no"}), (404, {"detail": "no"}), (302, b"")])
def test_a_refusal_that_says_nothing_about_the_question_stops_the_run(tmp_path: Path, refusal: tuple[int, Any]) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    questions = [f'[{{"role": "user", "content": "{number}"}}]' for number in range(20)]
    with endpoint(lambda _, number: said("42") if number else refusal) as there, pytest.raises(QuestionUnanswered, match=r"^\d{3}: no"):
        chat(job(there.url, tmp_path, concurrency=1), *questions)
    assert len(there.seen) < 5  # the next may be on its way


def test_an_endpoint_that_refuses_everything_is_not_asked_everything(tmp_path: Path) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    questions = [f'[{{"role": "user", "content": "{number}"}}]' for number in range(200)]
    with (
        endpoint(lambda *_: (403, {"detail": "no"})) as there,
        pytest.raises(QuestionUnanswered, match=r"403: no"),
    ):
        chat(job(there.url, tmp_path), *questions)
    assert len(there.seen) <= 8 + 4


def test_a_failure_is_asked_again_as_often_as_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.harness import endpoint as module

    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)

    def sick(seen: Seen, number: int) -> tuple[int, Any]:
        return said("42") if number == 2 else (500, b"")

    with endpoint(sick) as there:
        assert chat(job(there.url, tmp_path, retries=2)) == [["42"]]
    with endpoint(sick) as there, pytest.raises(module.QuestionUnanswered, match="500: no reason given"):
        chat(job(there.url, tmp_path, retries=1))


def test_an_endpoint_that_refuses_everybody_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.harness import endpoint as module

    monkeypatch.setattr(module, "PAUSE", 0.01)
    with endpoint(lambda _, number: said("42") if number == 9 else (503, {"error": "starting"})) as there:
        assert chat(job(there.url, tmp_path, retries=0, patience=600.0)) == [["42"]]
    with pytest.raises(module.QuestionUnanswered, match="cannot connect"):
        chat(job(there.url, tmp_path))


def test_a_candidate_behind_a_proxy_is_asked_through_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with endpoint(lambda *_: said("42")) as there:
        monkeypatch.setenv("http_proxy", there.url.removesuffix("/v1"))
        assert chat(job("http://models.example/v1", tmp_path)) == [["42"]]


def test_a_busy_endpoint_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = (200, {"error": {"message": "busy", "code": 429}})
    with endpoint(lambda _, number: said("42") if number else busy) as there:
        assert chat(job(there.url, tmp_path, patience=60.0)) == [["42"]]


def test_answers_are_weighed_by_the_log_probabilities_of_their_own_tokens(checkpoint: Path) -> None:
    with endpoint(lambda *_: weighed([None, -1.0, -0.5, -0.25, -9.0])) as there:
        assert weigh(job(there.url, checkpoint), [5, 6, 7, 8], context=2) == [[(-0.75, True)]]
    assert (there.seen[0].path, there.seen[0].body["prompt"]) == ("/v1/completions", [[5, 6, 7, 8]])


@pytest.mark.parametrize(
    "reply",
    [
        weighed([-9.0]),  # `echo` was left aside: every answer would weigh nothing, and the first would always win
        weighed([None, -1.0, -0.5, -0.25]),
        weighed([None, None, None, None, None]),
        (200, {"choices": [{"index": 0, "text": "", "logprobs": None}]}),
        (200, {"choices": [{"index": 0, "text": ""}]}),
        (400, {"error": "prompt must be a string"}),
    ],
)
def test_a_server_without_log_probabilities_of_the_prompt_is_told_from_one_with(checkpoint: Path, reply: tuple[int, Any]) -> None:
    from tasks.harness.endpoint import QuestionUnanswered

    with endpoint(lambda *_: reply) as there, pytest.raises(QuestionUnanswered, match=r"which vLLM serves \(LONGWRITER_SERVER=vllm\)"):
        weigh(job(there.url, checkpoint), [5, 6, 7, 8], context=2)


def test_texts_are_weighed_as_the_checkpoint_reads_them(checkpoint: Path) -> None:
    """With the first token that its tokenizer puts before every text, and no longer than its context."""
    from tasks.harness.endpoint import client, context_of

    made = client(job("http://127.0.0.1:9/v1", checkpoint), chats=False, label="facts")
    context, answer = made._encode_pair("ab", " c")
    assert (context[0], len(context), len(answer)) == (0, 3, 2)
    assert (context_of(checkpoint), made.max_length) == (100, 99)
    assert context_of(checkpoint / "nowhere") == 2048
