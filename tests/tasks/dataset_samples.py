"""Samples of a valid dataset for tests."""

from tasks.schema.records import Language, Message, Sample
from tasks.text.counts import count_words

BENCHMARK = "Explain how a canal lock lifts a boat, in about 500 words."
ENGLISH = "river stone lantern garden window morning quiet letter bridge winter kitchen market"
CHINESE = "河石灯园窗晨静信桥冬厨市纸车港故事夜师乐云山"


def sample(number: int, *, language: Language | None = None, answer: str | None = None, prompt: str = "", asked: int = 60) -> Sample:
    language = language or ("zh" if number % 2 else "en")
    if answer is None:
        answer = prose(number, language)
    messages = (Message(role="user", content=prompt or f"Request {number} in {language}"), Message(role="assistant", content=answer))
    return Sample(
        id=f"sample-{number}",
        messages=messages,
        language=language,
        asked_words=asked,
        written_words=max(count_words(answer), 1),
        paragraphs=1,
        source=f"pool.jsonl:{number}",
    )


def prose(number: int, language: Language) -> str:
    """60 words in five sentences that differ from each other and from other numbers'."""
    pool: list[str] = ENGLISH.split() if language == "en" else list(CHINESE[:12])
    turned = pool[number % 12 :] + pool[: number % 12]
    orders = [turned[k:] + turned[:k] for k in (0, 2, 3, 5, 7 + number // 12)]
    return " ".join(" ".join(words) + "." for words in orders) if language == "en" else "".join("".join(words) + "。" for words in orders)


def good(count: int = 24) -> list[Sample]:
    return [sample(number) for number in range(count)]
