"""`longwriter chat` in a real terminal, against a real server on loopback that streams, thinks, loops, breaks and refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from flows.cli import app
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import read_journal
from tests.commands import called
from tests.conftest import ROOT
from tests.terminal import CTRL_C, CTRL_D, Terminal, terminal
from tests.web import Quiet, served

COMMAND = [sys.executable, "-m", "flows.cli", "chat"]
LOREM = "The miller opened the door and looked at the river for a while. "


class Streaming(Quiet):
    """An OpenAI-compatible server. The last message names what it does."""

    requests: ClassVar[list[dict[str, Any]]] = []
    refusals: ClassVar[int] = 0  # 429 before the next reply

    def do_GET(self) -> None:
        self._json(200, {"data": [{"id": "toy"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).requests.append(body)
        said = body["messages"][-1]["content"]
        if type(self).refusals:
            type(self).refusals -= 1
            self._json(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
        elif "no options" in said and "stream_options" in body:
            self._json(400, {"error": {"message": "stream_options: extra fields not permitted", "param": "stream_options"}})
        elif "refuse" in said:
            self._json(400, {"error": {"message": "the context length is exceeded"}})
        elif "plain" in said:
            answer = {"role": "assistant", "content": "A plain answer.", "reasoning_content": "No stream."}
            self._json(200, {"choices": [{"message": answer, "finish_reason": "stop"}], "usage": USAGE})
        else:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._stream(said, counted="stream_options" in body)

    def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, said: str, *, counted: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self.wfile.write(b": a comment\n\n")
        if "think" in said:
            self._send(reasoning_content="First, ")
            self._send(reasoning_content="a plan of the mill.")
            self._send(content="The answer is a mill.")
        elif "tags" in said:
            for piece in ("<th", "ink>a secret", " plan", "</thi", "nk>", "\n\nThe ", "answer in tags."):
                self._send(content=piece)
        elif "orphan" in said:
            for piece in ("I should be short.\n", "</think>", "\n\nThe answer behind it."):
                self._send(content=piece)
        elif "loop" in said:
            for _ in range(10_000):
                self._send(content="and he knew that it was the only thing that he knew, ")
        elif "forever" in said:
            for number in range(100_000):
                self._send(content=f"{number} loaves of bread. ")
                time.sleep(0.02)
        elif "wait" in said:
            time.sleep(300)
        elif "break" in said:
            self._send(content="Half of an answer ")
            self.close_connection = True
            return
        elif "error" in said:
            self._send(content="Half of an answer ")
            self._event({"error": {"message": "the engine died", "code": 500}})
            return
        elif "escape" in said:
            self._send(content="\x1b[2J\x1b]0;owned\x07harm")
            self._send(content="less \u202eevil")
        elif "chinese" in said:
            for sign in "从前有一座山，山里有一座庙。" * 12:
                self._send(content=sign)
        elif "cut" in said:
            self._send(content="An answer that was cut")
            self._event({"choices": [{"delta": {}, "finish_reason": "length"}]})
        else:
            for piece in (LOREM * 4).split(" "):
                self._send(content=f"{piece} ")
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length" if "cut" in said else "stop"}]})
        if counted:
            self._event({"choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, **delta: str) -> None:
        self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def _event(self, body: object) -> None:
        self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")
        self.wfile.flush()


USAGE = {"prompt_tokens": 7, "completion_tokens": 5}


@pytest.fixture
def url() -> Iterator[str]:
    Streaming.requests.clear()
    Streaming.refusals = 0
    with served(Streaming) as found:
        yield f"{found}/v1"


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": str(tmp_path / "home"), "LONGWRITER_RETRIES": "1"} | more


@contextmanager
def talk(tmp_path: Path, url: str, *words: str, **more: str) -> Iterator[Terminal]:
    history = ["--history", str(tmp_path / "talk.jsonl")]
    with terminal([*COMMAND, url, *history, *words], folder=tmp_path, environment=environment(tmp_path, **more)) as screen:
        screen.expect("/help lists the commands")
        screen.expect("you>")
        yield screen


def turns(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "talk.jsonl").read_text().splitlines()]


def piped(tmp_path: Path, url: str, lines: str, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, url, "--history", str(tmp_path / "talk.jsonl"), *words]
    return subprocess.run(command, cwd=tmp_path, env=environment(tmp_path, **more), input=lines, capture_output=True, text=True)


def test_an_answer_is_streamed_counted_against_the_asked_length_and_kept(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send("Write a 40-word story.\r")
        shown = screen.expect("└ 52 of 40 words (S_l ")
        assert "The miller opened the door and looked at the river" in shown
        screen.expect("you>")
        screen.send("And a shorter one.\r")
        screen.expect("└ 52 words ·")
        screen.expect("you>")
        screen.send("/quit\r")
        assert screen.end() == 0
    kept = turns(tmp_path)
    assert [turn["role"] for turn in kept] == ["user", "assistant", "user", "assistant"]
    assert kept[1]["words"] == 52
    assert kept[1]["asked"] == 40
    assert [message["role"] for message in Streaming.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert Streaming.requests[0]["stream"] is True
    (account,) = totals(read_journal(tmp_path / "home/replay.jsonl"), {}).values()
    assert (account.calls, account.prompt, account.completion) == (2, 14, 10)


@pytest.mark.integration
def test_a_conversation_goes_on_from_its_file_and_a_torn_line_is_cut_off(tmp_path: Path, url: str) -> None:
    assert piped(tmp_path, url, "One.\n").returncode == 0
    with (tmp_path / "talk.jsonl").open("a") as file:
        file.write('{"role": "user", "cont')
    done = piped(tmp_path, url, "Two.\n/new\nThree.\n")
    assert "its last line is not complete" in done.stderr
    assert done.returncode == 0, done.stderr
    assert [len(request["messages"]) for request in Streaming.requests] == [1, 3, 1]
    assert [turn["role"] for turn in turns(tmp_path)] == ["user", "assistant"] * 2 + ["new"] + ["user", "assistant"]
    assert (tmp_path / "talk.jsonl").stat().st_mode & 0o077 == 0


def test_thoughts_are_folded_and_shown_when_asked_for(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        for message, answer, thoughts in (
            ("think", "The answer is a mill.", "First, a plan of the mill."),
            ("tags", "The answer in tags.", "a secret plan"),
        ):
            screen.send(f"{message}\r")
            shown = screen.expect("└ ")
            assert answer in shown
            assert thoughts not in shown
            assert "words; /thoughts shows them" in shown
            screen.expect("you>")
            screen.send("/thoughts\r")
            screen.expect(thoughts)
            screen.expect("you>")
        screen.send(CTRL_D)
        assert screen.end() == 0
    assert [turn["reasoning"] for turn in turns(tmp_path) if turn["role"] == "assistant"] == ["First, a plan of the mill.", "a secret plan"]
    assert [message["content"] for message in Streaming.requests[1]["messages"]] == ["think", "The answer is a mill.", "tags"]


def test_thoughts_that_nobody_opened_are_no_part_of_the_answer(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url, "--thoughts") as screen:
        screen.send("orphan\r")
        shown = screen.expect("└ 4 words ·")
        assert "the text above was the model's thoughts" in shown
        screen.expect("you>")
        screen.send("think\r")
        assert "First, a plan of the mill." in screen.expect("└ 5 words ·")
    assert turns(tmp_path)[1]["content"] == "The answer behind it."


def test_a_loop_is_stopped_on_request_and_noticed_otherwise(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url, "--stop-loops") as screen:
        screen.send("loop\r")
        screen.expect("stopped: it repeats itself")
        screen.expect("you>")
        screen.send("/loops off\r")
        screen.expect("not stopped")
        screen.send("loop\r")
        screen.expect("it repeats itself")
        screen.send(CTRL_C)
        screen.expect("stopped")
        screen.expect("you>")
    first, second = (turn for turn in turns(tmp_path) if turn["role"] == "assistant")
    assert first["words"] < 2_000
    assert first["finish"] == second["finish"] == "stopped"


def test_ctrl_c_ends_an_answer_and_keeps_what_came(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send("forever\r")
        screen.expect("3 loaves of bread.")
        screen.expect("words/s")
        screen.send(CTRL_C)
        screen.expect("stopped")
        screen.expect("you>")
        screen.send("wait\r")
        screen.expect("waiting for the first word")
        screen.send(CTRL_C)
        screen.expect("given up")
        screen.expect("you>")
        screen.send("Once more.\r")
        screen.expect("└ 52 words ·")
    kept = turns(tmp_path)
    assert [turn["content"][:7] for turn in kept] == ["forever", "0 loave", "Once mo", "The mil"]


@pytest.mark.parametrize(("message", "why"), [("break", "without a finish reason"), ("error", "the server sent an error: the engine died")])
def test_a_broken_stream_is_an_answer_with_a_note(tmp_path: Path, url: str, message: str, why: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send(f"{message}\r")
        shown = screen.expect("/continue asks for the rest")
        assert "Half of an answer" in shown
        assert why in shown
        screen.expect("you>")
        screen.send("/continue\r")
        screen.expect("└ 52 words ·")
    assert len(Streaming.requests) == 2
    assert [message["role"] for message in Streaming.requests[1]["messages"]] == ["user", "assistant", "user"]


def test_a_refused_message_is_reported_and_the_conversation_goes_on(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send("refuse\r")
        screen.expect("error: ")
        screen.expect("you>")
        screen.send("Once more.\r")
        screen.expect("└ 52 words ·")
    assert [turn["role"] for turn in turns(tmp_path)] == ["user", "assistant"]


def test_without_a_terminal_each_line_is_a_message_and_only_answers_are_printed(tmp_path: Path, url: str) -> None:
    Streaming.refusals = 2
    done = piped(tmp_path, url, "think\n\norphan\nplain\nno options\n", LONGWRITER_PRICES='{"toy": {"prompt": 1000, "completion": 1000}}')
    assert done.returncode == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "The answer is a mill.",
        "The answer behind it.",
        "A plain answer.",
        (LOREM * 4).strip(),
    ]
    assert "it takes no stream_options" in done.stderr
    assert "$0.0120 so far" in done.stderr


def test_without_a_terminal_an_error_ends_the_command(tmp_path: Path, url: str) -> None:
    done = piped(tmp_path, url, "refuse\nnever\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "never" not in [request["messages"][-1]["content"] for request in Streaming.requests]


def test_a_model_cannot_change_the_terminal(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        before = len(screen.raw)
        screen.send("escape\r")
        screen.expect("└ ")
        written = screen.raw[before:]
    assert b"\x1b[2J" not in written
    assert b"owned\x07" not in written
    assert "harmless evil" in screen.shown.replace("[2J]0;owned", "")


def test_text_without_spaces_is_broken_at_the_width(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send("chinese 100 words\r")
        shown = screen.expect("└ 144 of 100 words")
    assert max(len(line) for line in shown.splitlines() if "庙" in line) <= 100


def test_several_lines_make_one_message_and_words_can_be_asked_for_once(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send('"""\rFirst line.\rSecond line.\r"""\r')
        screen.expect("└ 52 words ·")
        screen.expect("you>")
        screen.send("/words 60\r")
        screen.expect("60 words")
        screen.send("A story.\r")
        screen.expect("└ 52 of 60 words (S_l ")
    sent = [request["messages"][-1]["content"] for request in Streaming.requests]
    assert sent == ["First line.\nSecond line.", "A story.\n\nWrite 60 words."]


def test_a_cut_answer_says_so(tmp_path: Path, url: str) -> None:
    assert "cut off at max_tokens" in piped(tmp_path, url, "cut\n").stderr


def test_a_killed_chat_keeps_every_complete_turn(tmp_path: Path, url: str) -> None:
    with talk(tmp_path, url) as screen:
        screen.send("Hello.\r")
        screen.expect("└ 52 words ·")
        screen.expect("you>")
        screen.send("forever\r")
        screen.expect("2 loaves")
        screen.process.send_signal(signal.SIGKILL)
        screen.process.wait()
    assert [turn["role"] for turn in turns(tmp_path)] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["http://127.0.0.1:9/v1"], "cannot connect"),
        (["nowhere"], "no such folder"),
        ([], "champion"),
    ],
)
@pytest.mark.usefixtures("mlflow_home")
def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, words: Sequence[str], message: str) -> None:
    with chdir(tmp_path):
        done = called(app, ("chat", *words))
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
