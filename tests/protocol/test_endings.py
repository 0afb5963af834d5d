"""Every end has a reason for programs and a sentence for people."""

import pytest

from offhook.protocol.endings import WORDS, EndReason


@pytest.mark.parametrize("reason", EndReason)
def test_a_reason_has_one_sentence_for_people(reason):
    words = WORDS[reason]
    assert words[0].isupper()
    assert words.endswith(".")
    assert words.count(".") == 1


def test_sentences_differ():
    assert len(set(WORDS.values())) == len(EndReason) == len(WORDS)


def test_a_reason_is_its_name_in_small_letters():
    assert all(reason.value == reason.name.lower() for reason in EndReason)
