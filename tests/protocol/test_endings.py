"""Every end has a reason for programs and a sentence for people."""

import pytest

from offhook.protocol.endings import WORDS, Ending, EndReason


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


def test_a_person_is_told_the_detail_of_a_crash_and_of_a_lost_host_only():
    assert Ending(EndReason.BOT_CRASHED, "ValueError").words == "The bot crashed (ValueError)."
    assert Ending(EndReason.BOT_CRASHED).words == "The bot crashed."
    lost = Ending(EndReason.HOST_LOST, "the server has gone")
    assert lost.words == "The machine that ran the bot was lost (the server has gone)."
    assert Ending(EndReason.NO_WORKER, "secret").words == WORDS[EndReason.NO_WORKER]


def test_only_a_crash_is_out_of_order():
    assert {reason for reason in EndReason if not Ending(reason).is_orderly} == {
        EndReason.BOT_CRASHED
    }
