from tasks.longbench.ruler import RulerPoint, ceiling, reach, tried_lengths


def points(*pairs: tuple[int, int]) -> list[RulerPoint]:
    return [RulerPoint(asked=asked, written=written) for asked, written in pairs]


def test_mean_and_longest_answer_stand_by_asked_length() -> None:
    found = reach(points((200, 150), (100, 90), (100, 110)))
    assert [(one.asked, one.items, one.mean, one.longest) for one in found] == [(100, 2, 100, 110), (200, 1, 150, 150)]


def test_answers_that_stop_at_two_thousand_words_show_their_ceiling() -> None:
    found = ceiling(points((1000, 1000), (2000, 1900), (5000, 2100), (10000, 2000), (20000, 1800), (30000, 2000)))
    assert (found.longest, found.asked, found.mean) == (2100, 2000, 1960)


def test_answers_as_long_as_asked_have_no_ceiling() -> None:
    found = ceiling(points(*((asked, asked) for asked in (1000, 2000, 5000, 10000, 20000, 30000))))
    assert (found.longest, found.asked, found.mean) == (30000, None, None)


def test_noise_around_a_ceiling_does_not_hide_it() -> None:
    assert ceiling(points((100, 163), (200, 151), (400, 142), (800, 165))).asked == 100


def test_one_asked_length_says_nothing_of_a_ceiling() -> None:
    assert tried_lengths(points((16000, 900), (17000, 900))) == []
    assert ceiling(points((16000, 900), (17000, 901))).asked is None


def test_empty_answers_to_long_asks_are_under_the_ceiling_of_the_short_ones() -> None:
    assert ceiling(points((1000, 1000), (4000, 0))).asked == 1000
