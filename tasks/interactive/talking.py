"""`longwriter chat`: a conversation with a model, streamed, with its length counted and its history in a file."""

import asyncio
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from tasks.endpoints.cached import CachedChat
from tasks.endpoints.chat import Reply, Request, why_empty
from tasks.endpoints.roles import open_role
from tasks.interactive.answer_screen import AnswerScreen, length
from tasks.interactive.chosen_model import ChosenModel
from tasks.interactive.history import History, Turn
from tasks.interactive.terminal_text import harmless
from tasks.schema.errors import PipelineError
from tasks.schema.finish import Finish
from tasks.schema.records import Message
from tasks.text.length_requests import LengthRequest, parse_length_request
from tasks.text.words import Constraint, count_fixed, s_l_fixed

STOP_GRACE = 2.0  # seconds that a stopped stream has to close itself
HELP = """\
/words N      ask for N words in the next messages; /words off takes the length from each message
/loops on     stop an answer that repeats itself; /loops off does not
/thoughts     show the thoughts behind the last answer
/continue     ask the model to go on with its last answer
/new          begin a new conversation; the old one stays in the file
/quit         end; Ctrl-D does too
A message of several lines: begin and end it with a line that has only three quotation marks."""
CONTINUE = "Continue exactly where you stopped. Do not repeat anything."
QUOTES = '"""'
COMMAND = re.compile(r"/[a-z]+(?: \S{0,20})?\Z")  # other text that begins with a slash, such as a path, is a message


class Options(NamedTuple):
    """How to show answers."""

    stop_loops: bool
    thoughts: bool
    words: int | None


class _Relay:
    """The listener of the connection: passes each piece to the screen of the answer under way."""

    def __init__(self) -> None:
        self.screen: AnswerScreen | None = None
        self._never = asyncio.Event()

    @property
    def stopped(self) -> asyncio.Event:
        return self.screen.stopped if self.screen else self._never

    def begin(self) -> None:
        if self.screen:
            self.screen.begin()

    def piece(self, text: str, *, thought: bool) -> None:
        if self.screen:
            self.screen.piece(text, thought=thought)

    def broken(self, why: str) -> None:
        if self.screen:
            self.screen.broken(why)


async def talk(chosen: ChosenModel, history: History, options: Options, *, console: Console) -> None:
    """Read messages and answer them until the end of the input.

    In a terminal a failed message is reported and the conversation goes on. Elsewhere its error is raised.
    """
    model = chosen.model.model_copy(update={"revision": secrets.token_hex(4)})  # no answer comes from the journal
    relay = _Relay()
    async with open_role(chosen.role, model, checkpoint=chosen.checkpoint, url=chosen.url, listener=relay, transport="direct") as chat:
        conversation = _Conversation(chat, relay, history, options, console=console, model=chosen.model.name)
        async for text in _messages(console, history):
            if COMMAND.match(text):
                if await conversation.command(text):
                    return
                continue
            await conversation.turn(text)


class _Conversation:
    """The state of a conversation."""

    def __init__(self, chat: CachedChat, relay: _Relay, history: History, options: Options, *, console: Console, model: str):
        self._chat, self._relay, self._history, self._options, self._console = chat, relay, history, options, console
        self._model = model

    async def command(self, text: str) -> bool:
        """Obey a command; returns True for the end."""
        name, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        match name:
            case "/quit" | "/bye" | "/exit":
                return True
            case "/new":
                self._history.add(Turn(role="new"))
                self._say("a new conversation")
            case "/words" if rest == "off" or (rest.isdecimal() and int(rest) > 0):
                self._options = self._options._replace(words=None if rest == "off" else int(rest))
                self._say(f"length: {'as each message asks' if rest == 'off' else f'{int(rest):,} words'}")
            case "/loops" if rest in ("on", "off"):
                self._options = self._options._replace(stop_loops=rest == "on")
                self._say(f"answers that repeat themselves are {'stopped' if rest == 'on' else 'not stopped'}")
            case "/thoughts":
                last = next((turn for turn in reversed(self._history.turns) if turn.role == "assistant"), None)
                self._say(harmless(last.reasoning) if last and last.reasoning else "no thoughts behind the last answer")
            case "/continue":
                await self.turn(CONTINUE)
            case "/help":
                self._say(HELP)
            case _:
                self._say(f"{text.strip()[:40]}: no such command\n{HELP}")
        return False

    async def turn(self, text: str) -> None:
        """Send one message with the conversation before it, and show and keep the answer."""
        request = parse_length_request(text)
        words = self._options.words
        asked = LengthRequest(words, "exact", words, words) if words else request
        sent = text if words is None or request.target == words else f"{text}\n\nWrite {words} words."
        screen = AnswerScreen(self._console, asked=asked, stop_loops=self._options.stop_loops, thoughts=self._options.thoughts)
        message = Message(role="user", content=sent)
        try:
            reply = await self._ask(Request((*self._history.messages, message), words=asked.target), screen)
        except PipelineError as error:
            if not self._console.is_terminal:
                raise
            self._console.print(Text(f"error: {error}", style="red"))
            return
        if reply is None:
            self._say("given up; the message is not part of the conversation")
            return
        self._history.add(Turn(role="user", content=sent, asked=asked.target))
        count = count_fixed(reply.text)
        self._history.add(
            Turn(
                role="assistant",
                content=reply.text,
                reasoning=reply.reasoning,
                finish=reply.finish_reason,
                model=self._model,
                asked=asked.target,
                words=count,
                seconds=round(reply.seconds, 2),
            )
        )
        if not self._console.is_terminal:  # whole: thoughts may prove to be thoughts only at their end
            print(harmless(reply.text), flush=True)
        self._close(reply, screen, asked, count)

    async def _ask(self, request: Request, screen: AnswerScreen) -> Reply | None:
        """The reply; None if it was given up before its first word."""
        self._relay.screen = screen
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(signal.SIGINT, screen.stopped.set)
        call = asyncio.ensure_future(self._chat(request))
        stop = asyncio.create_task(screen.stopped.wait())
        try:
            with screen:
                await asyncio.wait({call, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not call.done():
                    await asyncio.wait({call}, timeout=STOP_GRACE)
                if not call.done():
                    return None
                reply = call.result()
                screen.whole(reply)
                return reply if screen.has_begun or not screen.stopped.is_set() else None
        finally:
            stop.cancel()
            call.cancel()
            with suppress(NotImplementedError, ValueError):
                loop.remove_signal_handler(signal.SIGINT)

    def _close(self, reply: Reply, screen: AnswerScreen, asked: LengthRequest, words: int) -> None:
        """The line behind an answer."""
        said = [length(words, asked)]
        if asked.target and asked.band:
            said[0] += f" (S_l {s_l_fixed(Constraint(*_band(asked)), words):.0f})"
        said.append(f"{reply.seconds:.0f} s")
        if dollars := self._chat.account.dollars:
            said.append(f"${dollars:.4f} so far")
        if screen.stopped.is_set() and not screen.note:
            said.append("stopped")
        elif screen.note:
            said.append(f"{screen.note}; /continue asks for the rest")
        elif not reply.text.strip():
            said.append(why_empty(reply))
        elif reply.finish is Finish.CUT:
            said.append("cut off at max_tokens; /continue asks for the rest")
        elif reply.finish is Finish.FILTERED:
            said.append("stopped by the endpoint's content filter")
        elif screen.loops:
            said.append("it ends in a loop; /loops on stops the next one")
        self._say(f"└ {' · '.join(said)}")

    def _say(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(Text(text, style="dim"))
        else:
            print(text, file=sys.stderr, flush=True)


def _band(asked: LengthRequest) -> tuple[int, int]:
    """The lengths that satisfy the request. A plain number asks for that number alone."""
    assert asked.target
    return asked.band if asked.band and asked.kind != "exact" else (asked.low or asked.target, asked.high or asked.target)


async def _messages(console: Console, history: History) -> AsyncIterator[str]:
    """Messages from the terminal, or one from each line of standard input."""
    if not (console.is_terminal and sys.stdin.isatty()):
        for line in sys.stdin:
            if line.strip():
                yield line.strip()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import ANSI
    from prompt_toolkit.history import InMemoryHistory

    said = [turn.content for turn in history.turns if turn.role == "user"]
    session: PromptSession[str] = PromptSession(history=InMemoryHistory(said))
    lines: list[str] | None = None
    while True:
        try:
            line = await session.prompt_async(ANSI("\x1b[1myou>\x1b[0m ") if lines is None else "… ")
        except KeyboardInterrupt:
            lines = None
            continue
        except EOFError:
            return
        if line.strip() == QUOTES:
            text, lines = "\n".join(lines or ()).strip(), [] if lines is None else None
            if lines is None and text:
                yield text
        elif lines is not None:
            lines.append(line)
        elif line.strip():
            yield line.strip()
