import pytest

from tasks.corpus.personal import masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+x@mail.example.org now", "Write to [EMAIL] now"),
        ("Call +44 20 7946 0958 or (212) 736-5000.", "Call [PHONE] or [PHONE]."),
        ("card 4111 1111 1111 1111, thanks", "card [CARD], thanks"),
        ("account GB82 WEST 1234 5698 7654 32", "account [ACCOUNT]"),
        ("SSN 536-90-4399", "SSN [ID]"),
        ("server 8.8.8.8 and 192.168.0.1", "server [IP] and 192.168.0.1"),
        ("key sk-proj-abcdefghijklmnopqrstuv123456", "key [KEY]"),
        ("AKIAIOSFODNN7EXAMPLE", "[KEY]"),
        ("postgres://bob:secret@db/x", "postgres://[LOGIN]@db/x"),
    ],
)
def test_personal_data_becomes_a_placeholder_and_the_rest_stays(text: str, expected: str) -> None:
    assert masked(text, "en")[0] == expected


def test_chinese_numbers_are_known_by_their_own_rules() -> None:
    assert masked("我的手机是13812345678，身份证11010519491231002X。", "zh")[0] == "我的手机是[PHONE]，身份证[ID]。"


@pytest.mark.parametrize(
    "text",
    [
        "Write 2,000 to 2,500 words about 1990-2024.",
        "a 10000-word novel in 1,234,567 parts",
        "4111 1111 1111 1112 is no card",
        "Version 1.2.3.4567 and 3.14159265358979",
        "@home at 10:30:45, 2024-11-24T10:30:00",
        "写一篇10000字的文章，1949-2024年，1234567890123456",
        "ISBN 978-3-16-148410-0",
    ],
)
def test_lengths_years_and_other_numbers_are_nobody_s(text: str) -> None:
    assert masked(text, "zh" if "写" in text else "en")[0] == text


def test_what_was_masked_is_counted_by_kind() -> None:
    assert masked("a@b.org c@d.org 8.8.8.8", "en")[1] == {"EMAIL": 2, "IP": 1}
