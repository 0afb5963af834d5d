import dataclasses
from typing import get_args

import pytest

from offhook import kit
from offhook.kit import CustomFrame, Frame, InputAudio, OutputAudio


@pytest.mark.parametrize("kind", get_args(Frame))
def test_every_frame_is_frozen_and_can_be_imported_from_the_kit(kind):
    assert getattr(kit, kind.__name__) is kind
    assert kind.__dataclass_params__.frozen


@pytest.mark.parametrize("kind", [InputAudio, OutputAudio])
def test_audio_knows_how_long_it_plays(kind):
    assert kind(bytes(640), 16000).duration_s == 0.02
    assert kind(bytes(640), 8000, 2).duration_s == 0.02


def test_frames_are_taken_apart_by_match():
    match InputAudio(b"ab", 8000, 1, is_concealed=True):
        case InputAudio(pcm, sample_rate_hz, channels, is_concealed):
            assert (pcm, sample_rate_hz, channels, is_concealed) == (b"ab", 8000, 1, True)


def test_a_bot_has_frames_of_its_own():
    @dataclasses.dataclass(frozen=True)
    class Mood(CustomFrame):
        name: str

    assert isinstance(Mood("good"), Frame)
