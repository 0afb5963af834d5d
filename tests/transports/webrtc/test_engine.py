"""The interface that engines fill."""

import inspect

import pytest

from offhook.transports.webrtc.aiortc_engine import AiortcEngine
from offhook.transports.webrtc.engine import AudioChunk, Engine

from .fakes import FakeEngine

METHODS = [name for name in vars(Engine) if not name.startswith("_")]


@pytest.mark.parametrize("engine", [AiortcEngine, FakeEngine])
@pytest.mark.parametrize("name", METHODS)
def test_an_engine_has_the_methods_of_the_interface_with_their_parameters(engine, name):
    wanted = inspect.signature(getattr(Engine, name)).parameters.values()
    given = inspect.signature(getattr(engine, name)).parameters.values()
    assert [parameter.kind for parameter in given] == [parameter.kind for parameter in wanted]
    keywords = [p.name for p in wanted if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert keywords == [p.name for p in given if p.kind is inspect.Parameter.KEYWORD_ONLY]


def test_audio_is_genuine_unless_it_says_otherwise():
    assert not AudioChunk(b"", 16_000, 1).is_concealed
