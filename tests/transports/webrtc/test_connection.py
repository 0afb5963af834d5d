"""A connection: what happens on both sides of it, first with an engine that a test plays."""

import json
from contextlib import asynccontextmanager

import anyio
import pytest

from offhook.errors import BadOfferError, SessionEndedError, UsageError
from offhook.protocol.control import IceCandidate, Step
from offhook.protocol.endings import EndReason
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.engine import AudioChunk
from offhook.transports.webrtc.settings import WebRTCSettings

from .fakes import FakeEngine
from .peers import running

READY = json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {}})
CHUNK = AudioChunk(bytes(640), 16_000, 1)


class Call:
    """A connection over fake engines, with everything that it reported."""

    def __init__(self, **settings: object) -> None:
        self.engines: list[FakeEngine] = []
        self.steps: list[Step] = []
        self.events: list[str] = []
        self.messages: list[dict[str, object]] = []
        self.heard = anyio.Event()
        self.on_new_engine = lambda engine: None
        self.connection = SmallWebRTCConnection(
            settings=WebRTCSettings(**settings), observer=self, engine=self.new_engine
        )
        for name in ("connected", "disconnected", "closed"):
            self.connection.event_handler(name)(self.recorder(name))

        @self.connection.event_handler("app-message")
        async def message_came(connection, message):
            self.events.append("app-message")
            self.messages.append(message)
            self.heard.set()

    def recorder(self, name):
        async def record(connection):
            assert connection is self.connection
            self.events.append(name)

        return record

    def progress(self, step):
        self.steps.append(step)

    def new_engine(self, settings, listener):
        engine = FakeEngine(settings, listener)
        self.engines.append(engine)
        self.on_new_engine(engine)
        return engine

    @property
    def engine(self) -> FakeEngine:
        return self.engines[-1]

    @property
    def peer(self):
        """What the client does, as the engine would report it."""
        return self.engine.listener

    @property
    def said(self) -> list[dict[str, object]]:
        return [json.loads(text) for text in self.engine.texts]

    def join(self) -> None:
        self.peer.connected()
        self.peer.channel_opened()


@asynccontextmanager
async def calling(**settings):
    call = Call(**settings)
    async with running(call.connection):
        await call.connection.answer("offer")
        yield call


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


# Offers


async def test_an_offer_is_answered_under_a_name_that_cannot_be_guessed():
    call = Call()
    answer = await call.connection.answer("offer")
    assert answer.sdp == "answer to offer"
    assert answer.pc_id == call.connection.pc_id
    assert len(answer.pc_id) > 30
    await call.connection.aclose()


async def test_another_offer_renegotiates_under_the_same_name():
    async with calling() as call:
        before = call.connection.pc_id
        answer = await call.connection.answer("another")
        assert answer.pc_id == before
        assert call.engine.offers == ["offer", "another"]
        assert len(call.engines) == 1


async def test_a_restart_makes_another_peer_connection_under_another_name():
    async with calling() as call:
        call.join()
        before = call.connection.pc_id
        answer = await call.connection.answer("again", restart_pc=True)
        assert answer.pc_id == call.connection.pc_id != before
        assert [engine.is_closed for engine in call.engines] == [True, False]
        assert not call.connection.is_connected()
        assert Step.PEER_CONNECTION_RESTARTED in call.steps
        call.join()
        assert call.connection.is_connected()


async def test_a_bad_first_offer_leaves_nothing_behind_and_another_may_follow():
    call = Call()
    async with running(call.connection):
        with pytest.raises(BadOfferError):
            await call.connection.answer("bad")
        assert call.engine.is_closed
        await call.connection.answer("offer")
        assert len(call.engines) == 2


async def test_a_bad_offer_to_restart_leaves_the_old_peer_connection_at_work():
    async with calling() as call:
        call.join()
        with pytest.raises(BadOfferError):
            await call.connection.answer("bad", restart_pc=True)
        assert call.connection.is_connected()
        assert [engine.is_closed for engine in call.engines] == [False, True]


async def test_after_the_end_no_offer_is_answered():
    async with calling() as call:
        await call.connection.aclose()
        with pytest.raises(SessionEndedError):
            await call.connection.answer("offer")


async def test_candidates_are_handed_on_and_ignored_when_there_is_nobody_to_take_them():
    candidate = IceCandidate(candidate="candidate:1", sdp_mid="0", sdp_mline_index=0)
    call = Call()
    await call.connection.add_ice_candidates([candidate])
    await call.connection.answer("offer")
    await call.connection.add_ice_candidates([candidate])
    assert call.engine.candidates == [candidate]
    await call.connection.aclose()
    await call.connection.add_ice_candidates([candidate])


# Messages and events


async def test_connected_comes_once_the_bot_listens_and_then_what_the_client_said_before():
    async with calling() as call:
        call.join()
        for number in range(3):
            call.peer.message_received(json.dumps({"type": "x", "n": number}))
        await settle()
        assert call.events == []
        await call.connection.connect()
        await settle()
        assert call.events == ["connected"] + ["app-message"] * 3
        assert [message["n"] for message in call.messages] == [0, 1, 2]


async def test_connected_comes_when_the_client_does_if_the_bot_is_first():
    async with calling() as call:
        await call.connection.connect()
        await settle()
        assert call.events == []
        call.join()
        await settle()
        assert call.events == ["connected"]


async def test_a_restart_is_no_second_client():
    async with calling() as call:
        await call.connection.connect()
        call.join()
        await call.connection.answer("again", restart_pc=True)
        call.join()
        await settle()
        assert call.events == ["connected"]


async def test_pings_and_track_status_never_reach_the_application():
    async with calling() as call:
        await call.connection.connect()
        call.join()
        status = {"type": "trackStatus", "receiver_index": 0, "enabled": True}
        call.peer.message_received("ping: 1")
        call.peer.message_received(json.dumps({"type": "signalling", "message": status}))
        call.peer.message_received("nonsense")
        call.peer.message_received(READY)
        await call.heard.wait()
        assert [message["type"] for message in call.messages] == ["client-ready"]


async def test_messages_wait_for_the_channel_in_order_and_only_so_many():
    async with calling(early_messages=3) as call:
        for number in range(5):
            call.connection.send_app_message({"n": number})
        assert call.said == []
        call.join()
        call.connection.send_app_message({"n": 9})
        assert [message["n"] for message in call.said] == [0, 1, 2, 9]


async def test_messages_during_a_restart_go_to_the_new_channel():
    async with calling() as call:
        call.join()
        await call.connection.answer("again", restart_pc=True)
        call.connection.send_app_message({"n": 1})
        call.join()
        assert call.engines[0].texts == []
        assert call.said == [{"n": 1}]


async def test_the_handshake_of_rtvi_is_seen_whoever_does_it():
    async with calling() as call:
        call.join()
        call.peer.message_received(READY)
        call.connection.send_app_message({"label": "rtvi-ai", "type": "bot-ready", "id": "1"})
        assert call.steps[-2:] == [Step.CLIENT_READY, Step.BOT_READY]


async def test_each_step_is_reported_once():
    async with calling() as call:
        for _ in range(3):
            call.peer.progress(Step.ICE_CONNECTED)
            call.peer.message_received(READY)
        assert call.steps == [Step.ICE_CONNECTED, Step.CLIENT_READY]


def test_an_unknown_event_is_the_author_s_fault():
    with pytest.raises(UsageError, match="app-message"):
        Call().connection.event_handler("on_connected")


# Audio


async def test_audio_that_came_early_is_received_after_connect():
    async with calling() as call:
        call.connection.open_audio_in(sample_rate_hz=16_000)
        call.join()
        call.peer.audio_received(CHUNK)
        with anyio.move_on_after(0.01) as waiting:
            await call.connection.receive_audio()
        assert waiting.cancelled_caught
        await call.connection.connect()
        assert await call.connection.receive_audio() == CHUNK


async def test_audio_goes_on_over_a_restart_in_both_directions():
    async with calling() as call:
        call.connection.open_audio_in(sample_rate_hz=16_000)
        call.connection.open_audio_out(sample_rate_hz=16_000)
        await call.connection.connect()
        call.join()
        await call.connection.send_audio(b"\x01\x02" * 320 * 10)
        await call.connection.answer("again", restart_pc=True)
        assert call.engine.audio_in == (16_000, 1)
        call.join()
        await call.connection.audio_sent()
        said = [pcm for engine in call.engines for pcm in engine.sent if any(pcm)]
        assert said == [b"\x01\x02" * 320] * 10
        assert call.engine.sent
        call.peer.audio_received(CHUNK)
        assert await call.connection.receive_audio() == CHUNK


async def test_the_first_audio_out_is_a_step_and_is_told():
    async with calling() as call:
        runs = []
        call.connection.on_audio_out(runs.append)
        call.connection.open_audio_out(sample_rate_hz=16_000)
        call.join()
        await call.connection.send_audio(b"\x01\x02" * 320)
        await call.connection.audio_sent()
        assert runs == [True]
        assert Step.FIRST_AUDIO_OUT in call.steps


async def test_flushed_audio_is_forgotten():
    async with calling() as call:
        call.connection.open_audio_out(sample_rate_hz=16_000)
        await call.connection.send_audio(b"\x01\x02" * 320 * 5)
        call.connection.flush_audio()
        call.join()
        await call.connection.audio_sent()
        assert not any(any(pcm) for pcm in call.engine.sent)


# The end


@pytest.mark.parametrize("how", ["disconnected", "channel_closed"])
async def test_a_client_that_leaves_ends_the_connection(how):
    async with calling() as call:
        await call.connection.connect()
        call.join()
        getattr(call.peer, how)()
        assert await call.connection.closed() is EndReason.CLIENT_LEFT
        with pytest.raises(anyio.EndOfStream):
            await call.connection.receive_audio()
        await settle()
    assert call.events == ["connected", "disconnected", "closed"]
    assert call.engine.is_closed


async def test_a_client_that_leaves_the_old_peer_connection_for_a_new_one_has_not_left():
    async with calling() as call:
        call.join()
        first = call.engine

        async def leave_and_answer(sdp):
            first.listener.channel_closed()
            first.listener.disconnected()
            return "answer"

        call.on_new_engine = lambda engine: setattr(engine, "answer", leave_and_answer)
        await call.connection.answer("again", restart_pc=True)
        call.join()
        assert call.connection.is_connected()


async def test_a_client_from_which_nothing_comes_is_lost():
    async with calling(client_lost_after_s=0.1) as call:
        call.join()
        with anyio.fail_after(3):
            assert await call.connection.closed() is EndReason.CLIENT_LOST


async def test_a_client_that_is_heard_is_not_lost():
    async with calling(client_lost_after_s=0.2) as call:
        call.join()
        for _ in range(10):
            await anyio.sleep(0.05)
            call.peer.heard()
        assert call.connection.is_connected()


async def test_a_client_that_never_connects_is_given_up():
    async with calling(connect_timeout_s=0.1) as call:
        with anyio.fail_after(3):
            assert await call.connection.closed() is EndReason.NEVER_CONNECTED


async def test_closing_tells_the_client_in_words_first():
    async with calling() as call:
        call.join()
        await call.connection.aclose(error="The bot crashed.")
        error, goodbye = call.said
        assert error["data"] == {"error": "The bot crashed.", "fatal": True}
        assert goodbye["message"] == {"type": "peerLeft"}
        assert call.engine.is_closed
        assert await call.connection.closed() is EndReason.BOT_FINISHED


async def test_closing_without_a_reason_only_says_goodbye():
    async with calling() as call:
        call.join()
        await call.connection.aclose()
        assert [message["type"] for message in call.said] == ["signalling"]


async def test_closing_twice_or_at_once_is_one_closing():
    async with calling() as call:
        call.join()
        async with anyio.create_task_group() as group:
            group.start_soon(call.connection.aclose)
            group.start_soon(call.connection.aclose)
        await call.connection.aclose()
        assert len(call.said) == 1


async def test_a_peer_that_does_not_take_the_last_words_holds_up_nobody():
    async with calling(drain_timeout_s=0.05) as call:
        call.engine.drain = anyio.sleep_forever
        call.join()
        with anyio.fail_after(1):
            await call.connection.aclose(error="x")


async def test_after_the_end_nothing_is_sent_and_nobody_waits():
    async with calling() as call:
        call.connection.open_audio_out(sample_rate_hz=16_000)
        call.join()
        await call.connection.aclose()
        with anyio.fail_after(1):
            for _ in range(5):
                await call.connection.send_audio(bytes(64_000))
            await call.connection.audio_sent()
        call.connection.send_app_message({"type": "x"})
        assert not call.connection.is_connected()


async def test_a_cancelled_connection_closes_its_engine():
    call = Call()
    async with anyio.create_task_group() as group:
        group.start_soon(call.connection.run)
        await call.connection.answer("offer")
        group.cancel_scope.cancel()
    assert call.engine.is_closed
