from tasks.corpus.duplicates import normal, text_id


def test_the_id_is_the_same_for_texts_that_differ_in_case_space_and_normal_form_only() -> None:
    assert text_id("  Café\n CRÈME ") == text_id("Cafe\u0301 crème")
    assert text_id("one") != text_id("two")
    assert len(text_id("")) == 16
    assert normal("A\u2028 b") == "a b"
