import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.kit import VADEvent, VADParams
from offhook.kit.vad import TRANSITIONS, SpeechConfirmation, VADState

WINDOW_S = 0.032


def confirmed(verdicts: str, **params) -> str:
    """Feed windows ('#' speech, '.' none); show for each what was reported: '<', '>' or nothing."""
    confirmation = SpeechConfirmation(VADParams(**params))
    signs = {None: " ", VADEvent.SPEECH_STARTED: "<", VADEvent.SPEECH_STOPPED: ">"}
    return "".join(
        signs[confirmation.receive(is_speech=verdict == "#", duration_s=WINDOW_S)]
        for verdict in verdicts
    )


def test_speech_has_started_when_it_has_lasted_long_enough():
    assert confirmed("####", start_secs=0.096) == "  < "


def test_a_click_is_no_speech():
    assert confirmed("#.##.##.", start_secs=0.096).strip() == ""


def test_speech_has_stopped_when_silence_has_lasted_long_enough():
    assert confirmed("####....", start_secs=0.032, stop_secs=0.096) == "<     > "


def test_a_pause_within_a_sentence_is_bridged():
    assert confirmed("##..##..#...", start_secs=0.032, stop_secs=0.096) == "<          >"


def test_with_no_time_to_confirm_every_change_counts():
    assert confirmed("#.#..", start_secs=0.0, stop_secs=0.0) == "<><> "


@given(
    verdicts=st.lists(st.booleans(), max_size=200),
    start_secs=st.floats(0, 1),
    stop_secs=st.floats(0, 1),
)
def test_starts_and_stops_alternate_and_states_follow_the_table(verdicts, start_secs, stop_secs):
    confirmation = SpeechConfirmation(VADParams(start_secs=start_secs, stop_secs=stop_secs))
    events, before = [], confirmation.state
    for is_speech in verdicts:
        event = confirmation.receive(is_speech=is_speech, duration_s=WINDOW_S)
        if confirmation.state is not before:
            assert confirmation.state in TRANSITIONS[before]
        before = confirmation.state
        if event is not None:
            events.append(event)
    expected = [VADEvent.SPEECH_STARTED, VADEvent.SPEECH_STOPPED] * len(events)
    assert events == expected[: len(events)]


@pytest.mark.parametrize("state", VADState)
def test_every_state_has_its_transitions(state):
    assert TRANSITIONS[state] <= set(VADState) - {state}
