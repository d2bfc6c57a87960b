"""Mask personal data in a prompt, so that the prompt can be used.

Only addresses, numbers and keys are masked: an answer does not depend on them, but it may depend on a name. phonenumbers and
python-stdnum check that a number is valid, so years, prices and requested lengths are not masked.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

REGIONS = {"en": "US", "zh": "CN"}  # region assumed for a phone number without a country code

_MAYBE = re.compile(r"@|\d(?:[\s().:/-]{0,2}\d){6}|://|\b(?:sk|pk|rk|gh[opsu]|xox[abps]|AKIA|ASIA|AIza|eyJ|hf)[-_A-Za-z0-9]{8}|PRIVATE KEY")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_LOGIN = re.compile(r"(?<=://)[^\s/:@]{1,64}:[^\s/@]{1,128}(?=@)")
_KEY = re.compile(
    r"\b(?:sk|pk|rk)[-_](?:live[-_]|test[-_]|proj[-_]|ant[-_])?[A-Za-z0-9_-]{20,}|\bgh[opsu]_[A-Za-z0-9]{30,}|\bhf_[A-Za-z0-9]{30,}"
    r"|\bxox[abps]-[A-Za-z0-9-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}",
    re.DOTALL,
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_CHARS = 8_000
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_LONG = re.compile(r"(?<![\d.])\d(?:[ -]?\d){11,18}[Xx]?(?![\d.])")  # card, Chinese identity card
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_PHONE = re.compile(r"\d(?:[\s().-]{0,2}\d){6}")


class _Found(NamedTuple):
    start: int
    end: int
    kind: str


def masked(text: str, language: str) -> tuple[str, Counter[str]]:
    """The text with placeholders such as [EMAIL] for personal data, and the number of each kind."""
    kinds = Counter[str]()
    if not _MAYBE.search(text):
        return text, kinds
    for find in _FINDERS:
        parts, place = list[str](), 0
        for start, end, kind in sorted(find(text, language)):
            if start >= place:
                parts += (text[place:start], f"[{kind}]")
                place = end
                kinds[kind] += 1
        text = "".join((*parts, text[place:]))
    return text, kinds


def _keys(text: str, _: str) -> Iterator[_Found]:
    yield from sorted((*_blocks(text), *(_Found(*match.span(), "KEY") for match in _KEY.finditer(text))))


def _blocks(text: str) -> Iterator[_Found]:
    """PEM private keys, each from its BEGIN line to the next END line."""
    ends = [match.end() for match in _KEY_END.finditer(text)]
    done = 0
    for match in _KEY_BEGIN.finditer(text):
        place = bisect_right(ends, match.end())
        if match.start() >= done and place < len(ends) and ends[place] - match.end() <= _KEY_CHARS:
            done = ends[place]
            yield _Found(match.start(), done, "KEY")


def _logins(text: str, _: str) -> Iterator[_Found]:
    yield from (_Found(*match.span(), "LOGIN") for match in _LOGIN.finditer(text))


def _emails(text: str, _: str) -> Iterator[_Found]:
    yield from (_Found(*match.span(), "EMAIL") for match in _EMAIL.finditer(text))


def _addresses(text: str, _: str) -> Iterator[_Found]:
    """Public IPv4 addresses. Private ones such as 192.168.0.1 identify nobody."""
    for match in _IP.finditer(text):
        if (
            all(int(part) < 256 for part in match[0].split("."))
            and ip_address(".".join(str(int(p)) for p in match[0].split("."))).is_global
        ):
            yield _Found(*match.span(), "IP")


def _numbers(text: str, _: str) -> Iterator[_Found]:
    """Card, account and identity numbers with valid check digits."""
    from stdnum import iban, luhn
    from stdnum.cn import ric
    from stdnum.us import ssn

    for pattern, kind, right in (
        (_LONG, "ID", ric.is_valid),
        (_LONG, "CARD", lambda digits: 13 <= len(digits) <= 19 and luhn.is_valid(digits)),
        (_IBAN, "ACCOUNT", iban.is_valid),
        (_SSN, "ID", ssn.is_valid),
    ):
        for match in pattern.finditer(text):
            if right(re.sub(r"[ -]", "", match[0]) if kind != "ID" or pattern is _LONG else match[0]):
                yield _Found(*match.span(), kind)


def _phones(text: str, language: str) -> Iterator[_Found]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    if _PHONE.search(text):
        for match in PhoneNumberMatcher(text, REGIONS.get(language), leniency=Leniency.VALID, max_tries=1_000):
            yield _Found(match.start, match.end, "PHONE")


_FINDERS: tuple[Callable[[str, str], Iterator[_Found]], ...] = (_keys, _logins, _emails, _addresses, _numbers, _phones)
