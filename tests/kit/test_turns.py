from offhook.kit import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Interruption,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    VADEvent,
    VADTurns,
)


def test_a_turn_is_what_voice_activity_says_and_it_silences_the_bot():
    turns = VADTurns()
    assert turns.handle(VADEvent.SPEECH_STARTED) == (UserStartedSpeaking(), Interruption())
    assert turns.handle(VADEvent.SPEECH_STOPPED) == (UserStoppedSpeaking(),)


def test_a_bot_that_may_not_be_interrupted_is_not():
    turns = VADTurns(allow_interruptions=False)
    assert turns.handle(VADEvent.SPEECH_STARTED) == (UserStartedSpeaking(),)


def test_the_bot_speaking_changes_nothing():
    assert VADTurns().handle(BotStartedSpeaking()) == ()
    assert VADTurns().handle(BotStoppedSpeaking()) == ()
