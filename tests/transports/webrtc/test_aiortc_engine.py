"""The engine with real peers: ICE, DTLS, SRTP and SCTP over this machine's own network."""

import asyncio
import json
import random
import re
import socket
import statistics
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.errors import BadOfferError, PeerError
from offhook.protocol.control import IceCandidate, IceServer, Step
from offhook.protocol.endings import EndReason
from offhook.transports.webrtc.aiortc_engine import AiortcEngine
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.engine import EngineListener
from offhook.transports.webrtc.settings import WebRTCSettings

from .peers import Client, LossyLink, echo, encoded, loudness, running, tone, without_candidates

PULSE_FRAMES = 5
PERIOD_FRAMES = 25
LOUD = 2_000
IMPATIENT = WebRTCSettings(last_words_timeout_s=0.0)


class Steps:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def progress(self, step: Step) -> None:
        self.steps.append(step)


@asynccontextmanager
async def calling(*, bot=None, has_link: bool = False, client: Client | None = None, **options):
    """Connect a client, perhaps over a link, to a bot."""
    observer = Steps()
    connection = SmallWebRTCConnection(settings=WebRTCSettings(**options), observer=observer)
    client = client or Client()
    link = LossyLink()
    async with running(connection), anyio.create_task_group() as group:
        try:
            if bot is not None:
                group.start_soon(bot, connection)
            await client.call(connection, link=link if has_link else None)
            yield Scene(connection, client, link, observer.steps)
        finally:
            with anyio.CancelScope(shield=True):
                await client.aclose()
            link.close()
            group.cancel_scope.cancel()


class Scene:
    """All parties of a call."""

    def __init__(self, connection, client, link, steps) -> None:
        self.connection: SmallWebRTCConnection = connection
        self.client: Client = client
        self.link: LossyLink = link
        self.steps: list[Step] = steps


def sections(sdp: str) -> list[list[str]]:
    return [("m=" + section).splitlines() for section in sdp.split("m=")[1:]]


def threads() -> set[str]:
    return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}


# Negotiation


async def test_the_answer_keeps_the_offer_s_sections_and_receives_no_video():
    connection, client = SmallWebRTCConnection(settings=IMPATIENT), Client()
    offer = await client.offer()
    answer = (await connection.answer(offer)).sdp
    assert [s[0].split()[0] for s in sections(answer)] == [s[0].split()[0] for s in sections(offer)]
    mids = [[line for line in s if line.startswith("a=mid:")] for s in sections(answer)]
    assert mids == [["a=mid:0"], ["a=mid:1"], ["a=mid:2"], ["a=mid:3"]]
    audio, camera, screen, _data = sections(answer)
    assert "a=sendrecv" in audio
    assert "a=inactive" in camera
    assert "a=inactive" in screen
    assert "a=fmtp:96 minptime=10;useinbandfec=1" in audio
    assert audio[0].split()[3:] == ["96"]
    await connection.aclose()
    await client.aclose()


async def test_a_video_codec_that_nobody_here_knows_is_rejected_and_audio_works():
    client = Client()
    connection = SmallWebRTCConnection(settings=IMPATIENT)
    offer = re.sub("(VP8|H264)/90000", "AV1/90000", await client.offer())
    answer = sections((await connection.answer(offer)).sdp)
    assert [s[0].split()[:2] for s in answer][1:3] == [["m=video", "0"]] * 2
    assert answer[0][0].split()[1] != "0"
    await connection.aclose()
    await client.aclose()


@pytest.mark.parametrize(("keep", "codec"), [("0", "PCMU/8000"), ("8", "PCMA/8000")])
async def test_without_opus_the_answer_is_g711_and_audio_comes_back(keep, codec):
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTrack(AudioStreamTrack())
    peer.createDataChannel("chat")
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    await peer.setLocalDescription(await peer.createOffer())
    lines = peer.localDescription.sdp.splitlines()
    lines = [f"m=audio 9 UDP/TLS/RTP/SAVPF {keep}" if x.startswith("m=audio") else x for x in lines]
    lines = [x for x in lines if not x.startswith("a=rtpmap") or codec in x]
    tracks = []
    peer.on("track", tracks.append)

    async with running(connection), anyio.create_task_group() as group:
        answer = await connection.answer("\r\n".join(lines) + "\r\n")
        assert f"a=rtpmap:{keep} {codec}" in answer.sdp
        await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        connection.open_audio_in(sample_rate_hz=16_000)
        connection.open_audio_out(sample_rate_hz=16_000)
        await connection.connect()
        with anyio.fail_after(5):
            assert len((await connection.receive_audio()).pcm) == 640
            group.start_soon(connection.send_audio, tone(frames=50))
            frames = [await tracks[0].recv() for _ in range(30)]
        assert max(loudness(bytes(frame.planes[0])) for frame in frames) > LOUD
        await peer.close()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("direction", ["recvonly", "sendonly"])
async def test_a_client_with_only_one_way_connects(direction):
    async with calling(client=Client(audio_direction=direction)) as call:
        await call.connection.connect()
        assert call.connection.is_connected()


async def test_hidden_candidates_delay_nothing():
    client = Client()
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    offer = without_candidates(await client.offer())
    hidden = "a=candidate:1 1 udp 2122260223 0b2c4d6e-dead-beef.local 51321 typ host"
    offer = offer.replace("a=mid:0", f"a=mid:0\r\n{hidden}")
    async with running(connection):
        start = asyncio.get_running_loop().time()
        answer = await connection.answer(offer)
        assert asyncio.get_running_loop().time() - start < 0.8
        await client.accept(answer.sdp)
        await client.until(lambda: client.channel.readyState == "open")
    await client.aclose()


async def test_a_stun_server_that_never_answers_delays_the_answer_by_no_more_than_half_a_second():
    loop = asyncio.get_running_loop()
    deaf, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port = deaf.get_extra_info("sockname")[1]
    servers = (IceServer(urls=f"stun:127.0.0.1:{port}"), IceServer(urls="nonsense"))
    connection = SmallWebRTCConnection(
        settings=WebRTCSettings(ice_servers=servers, last_words_timeout_s=0.0)
    )
    client = Client()
    offer = await client.offer()
    start = loop.time()
    answer = await connection.answer(offer)
    assert loop.time() - start < 1.0
    assert "typ host" in answer.sdp
    await connection.aclose()
    await client.aclose()
    deaf.close()


async def test_an_offer_without_candidates_connects_by_those_that_trickle():
    client = Client()
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    offer = await client.offer()
    candidates = [
        IceCandidate(candidate=line[2:], sdp_mid="0", sdp_mline_index=0)
        for line in sections(offer)[0]
        if line.startswith("a=candidate:")
    ]
    useless = [
        IceCandidate(candidate="", sdp_mid="0", sdp_mline_index=0),
        IceCandidate(candidate=candidates[0].candidate, sdp_mid="77", sdp_mline_index=77),
        IceCandidate(candidate=candidates[0].candidate),
        IceCandidate(candidate="candidate:x 1 udp y z 1 typ host", sdp_mid="0"),
    ]
    async with running(connection):
        answer = await connection.answer(without_candidates(offer))
        await connection.add_ice_candidates([*useless, *candidates, *candidates])
        await client.accept(answer.sdp)
        await client.until(lambda: client.channel.readyState == "open")
        await connection.add_ice_candidates(candidates)
    await client.aclose()


async def test_an_offer_on_a_living_peer_connection_renegotiates_and_audio_goes_on():
    async with calling(bot=echo) as call:
        before = call.connection.pc_id
        await call.client.talk(encoded(tone(frames=10)))
        answer = await call.connection.answer(await call.client.offer())
        assert answer.pc_id == before
        await call.client.accept(answer.sdp)
        call.client.received.clear()
        await call.client.talk(encoded(tone(frames=20)), first=10)
        await call.client.until(lambda: len(call.client.received) >= 20)


def nothing(*_: object) -> None:
    pass


def deaf_engine() -> AiortcEngine:
    listener = EngineListener(**dict.fromkeys(EngineListener.__dataclass_fields__, nothing))
    return AiortcEngine(WebRTCSettings(), listener)


async def offer_text() -> str:
    client = Client()
    try:
        return without_candidates(await client.offer())
    finally:
        await client.aclose()


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_a_mangled_offer_is_answered_or_is_the_peer_s_fault(data):
    lines = (await offer_text()).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "twice", "cut", "swap", "digits"])):
            case "drop":
                del lines[at]
            case "twice":
                lines.insert(at, lines[at])
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "digits":
                lines[at] = lines[at].translate(str.maketrans("0123456789", "9876543210"))
    engine = deaf_engine()
    try:
        with anyio.fail_after(5):
            answer = await engine.answer("\r\n".join(lines))
        assert "m=audio" in answer
    except PeerError:
        pass
    finally:
        await engine.aclose()


async def test_a_bad_offer_to_renegotiate_leaves_the_connection_at_work():
    async with calling(bot=echo) as call:
        offer = re.sub("(opus|PCM[UA])/", "x/", await call.client.offer())
        offer = re.sub("(m=audio .*?) 96 9 0 8", r"\1 96 9", offer)
        with pytest.raises(BadOfferError):
            await call.connection.answer(offer)
        call.client.received.clear()
        await call.client.talk(encoded(tone(frames=10)))
        await call.client.until(lambda: len(call.client.received) >= 10)


# A call


async def test_the_steps_of_a_call_are_reported_in_their_order():
    async with calling(bot=echo) as call:
        await call.client.talk(encoded(tone(frames=5)))
        await call.client.until(lambda: Step.FIRST_AUDIO_OUT in call.steps)
        assert call.steps[:2] == [Step.ICE_CONNECTED, Step.DTLS_DONE]
        assert set(call.steps[2:]) == {
            Step.DATA_CHANNEL_OPEN,
            Step.FIRST_AUDIO_IN,
            Step.FIRST_AUDIO_OUT,
        }
        assert call.steps.index(Step.FIRST_AUDIO_IN) < call.steps.index(Step.FIRST_AUDIO_OUT)


async def test_a_client_sees_a_track_though_nobody_speaks():
    async with calling() as call:
        await call.client.until(lambda: len(call.client.received) >= 5)
        with anyio.move_on_after(0.2):
            await call.client.until(lambda: len(call.client.received) > 5)
        assert len(call.client.received) == 5


async def test_messages_go_both_ways_and_early_ones_are_not_lost():
    heard = []
    async with calling() as call:

        @call.connection.event_handler("app-message")
        async def message_came(connection, message):
            heard.append(message["n"])
            connection.send_app_message({"type": "reply", "n": message["n"]})

        call.client.channel.send("ping: 1")
        for number in range(5):
            call.client.channel.send(json.dumps({"type": "x", "n": number}))
        call.client.channel.send(b"bytes")
        call.client.channel.send("{malformed")
        await anyio.sleep(0.05)
        assert heard == []
        await call.connection.connect()
        await call.client.until(lambda: len(call.client.messages) == 5)
        assert heard == [0, 1, 2, 3, 4]
        assert [message["n"] for message in call.client.messages] == heard


async def test_a_message_of_a_hundred_kilobytes_arrives():
    async with calling() as call:
        call.connection.send_app_message({"type": "x", "data": "y" * 60_000})
        await call.client.until(lambda: call.client.messages)
        assert len(call.client.messages[0]["data"]) == 60_000


async def test_what_the_user_says_before_the_bot_listens_is_heard_in_order():
    async with calling() as call:
        await call.client.talk(encoded(tone(frames=10) + bytes(640 * 10)))
        call.connection.open_audio_in(sample_rate_hz=16_000)
        await call.connection.connect()
        with anyio.fail_after(2):
            chunks = [await call.connection.receive_audio() for _ in range(20)]
        levels = [loudness(chunk.pcm) > LOUD for chunk in chunks]
        assert levels[2:9] == [True] * 7
        assert levels[13:] == [False] * 7


async def test_neither_direction_starts_a_thread():
    before = threads()
    async with calling(bot=echo) as call:
        await call.client.talk(encoded(tone(frames=25)))
        await call.client.until(lambda: len(call.client.received) > 20)
        assert threads() <= before


async def test_silence_sends_nothing():
    async with calling(bot=echo) as call:
        await call.client.talk(encoded(tone(frames=10)))
        with anyio.move_on_after(1.6):  # the buffer's own silence goes on for a second
            await call.client.until(lambda: False)
        call.client.received.clear()
        with anyio.move_on_after(0.3):
            await call.client.until(lambda: call.client.received)
        assert call.client.received == []


async def test_the_client_hears_of_its_loss_so_that_it_sends_copies():
    async with calling(bot=echo, has_link=True) as call:
        call.link.fate = lambda number: None if number % 5 == 4 else 0.0
        await call.client.talk(encoded(tone(frames=60)))
        await call.client.until(lambda: any(10 < percent < 30 for percent in call.client.losses))


@pytest.mark.parametrize(
    "datagram", [b"", b"\x00", b"\x16", b"\x80", b"\x80\x60" * 20, b"\x81\xc8" * 9]
)
async def test_a_stranger_s_datagram_harms_nobody(datagram):
    async with calling(bot=echo) as call:
        sdp = call.client.peer_connection.remoteDescription.sdp
        fields = next(line for line in sdp.splitlines() if line.startswith("a=candidate:")).split()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, (fields[4], int(fields[5])))
        call.client.received.clear()
        await call.client.talk(encoded(tone(frames=10)))
        await call.client.until(lambda: len(call.client.received) >= 10)
        assert call.connection.is_connected()


async def test_a_codec_that_is_not_ours_and_a_broken_packet_are_ignored():
    async with calling(bot=echo) as call:
        header = bytes([0x80, 77, 0, 1]) + bytes(8)
        call.client.path.send(header + b"other codec")
        call.client.send_packet(b"", number=0)
        await call.client.talk(encoded(tone(frames=10)), first=1)
        await call.client.until(lambda: len(call.client.received) >= 10)


# Restart


async def test_a_restart_in_the_middle_of_a_sentence_loses_none_of_it():
    frames = 60
    async with calling() as call:
        call.connection.open_audio_out(sample_rate_hz=16_000)
        await call.connection.connect()
        second = Client()
        async with anyio.create_task_group() as group:
            group.start_soon(call.connection.send_audio, tone(frames=frames))
            await call.client.until(lambda: len(call.client.heard_at(threshold=LOUD)) >= 10)
            before = call.connection.pc_id
            await second.call(call.connection, restart_pc=True)
            assert second.pc_id != before
            await call.client.aclose()
            await call.connection.audio_sent()
        await second.until(
            lambda: (
                len(call.client.heard_at(threshold=LOUD)) + len(second.heard_at(threshold=LOUD))
                >= frames - 3
            )
        )
        assert call.connection.is_connected()
        await second.aclose()


async def test_after_a_restart_the_user_is_heard_at_the_same_rate():
    async with calling() as call:
        call.connection.open_audio_in(sample_rate_hz=16_000)
        await call.connection.connect()
        await call.client.talk(encoded(tone(frames=5)))
        for _ in range(5):
            await call.connection.receive_audio()
        second = Client()
        await second.call(call.connection, restart_pc=True)
        await second.talk(encoded(tone(frames=5)))
        with anyio.fail_after(2):
            assert len((await call.connection.receive_audio()).pcm) == 640
        await second.aclose()


# The end


async def test_a_client_that_vanishes_is_noticed_and_one_that_is_only_silent_is_not():
    async with calling(has_link=True, client_lost_after_s=1.2) as call:
        with anyio.move_on_after(2.0) as waiting:
            await call.connection.closed()
        assert waiting.cancelled_caught
        call.link.is_cut = True
        with anyio.fail_after(5):
            assert await call.connection.closed() is EndReason.CLIENT_LOST


async def test_a_client_that_closes_its_peer_connection_has_left():
    async with calling() as call:
        await call.client.aclose()
        with anyio.fail_after(2):
            assert await call.connection.closed() is EndReason.CLIENT_LEFT


async def test_a_client_that_closes_its_data_channel_has_left():
    async with calling() as call:
        call.client.channel.close()
        with anyio.fail_after(2):
            assert await call.connection.closed() is EndReason.CLIENT_LEFT


async def test_the_last_words_arrive_before_the_end():
    async with calling() as call:
        await call.connection.aclose(error="The bot crashed (signal SIGSEGV).")
        await call.client.until(lambda: call.client.peer_connection.connectionState == "closed")
        error, goodbye = call.client.messages
        assert error["type"] == "error"
        assert error["data"]["fatal"] is True
        assert goodbye["message"] == {"type": "peerLeft"}


async def test_an_offer_that_nobody_follows_up_ends_as_never_connected():
    client = Client()
    connection = SmallWebRTCConnection(settings=WebRTCSettings(connect_timeout_s=0.2))
    async with running(connection):
        await connection.answer(await client.offer())
        with anyio.fail_after(3):
            assert await connection.closed() is EndReason.NEVER_CONNECTED
    await client.aclose()


# Loss and jitter


async def pulses(call: Scene, seconds: float, *, first: int) -> list[float]:
    """Send a pulse each half second and return how late each comes back, in ms."""
    pulse = tone(frames=PULSE_FRAMES) + bytes(640 * (PERIOD_FRAMES - PULSE_FRAMES))
    sent: list[float] = []
    call.client.received.clear()
    await call.client.talk(encoded(pulse * round(seconds * 2)), sent_at=sent, first=first)
    heard = call.client.heard_at(threshold=LOUD)
    onsets = [at for before, at in zip([0.0, *heard], heard, strict=False) if at - before > 0.2]
    starts = sent[::PERIOD_FRAMES]
    return [
        (min(at for at in onsets if at >= start) - start) * 1e3
        for start in starts
        if any(start <= at < start + 0.45 for at in onsets)
    ]


async def best_of_three(measure) -> float:
    """Return the least of three measurements, or the first that is fine: machines hiccup."""
    results = []
    for _ in range(3):
        results.append(await measure())
        if results[-1] <= 0:
            break
    return min(results)


async def test_two_seconds_after_a_lost_packet_the_echo_is_as_quick_as_before():
    async def excess() -> float:
        async with calling(bot=echo, has_link=True) as call:
            call.link.fate = lambda number: None if number == 60 else 0.0
            late = await pulses(call, 5, first=0)
            assert call.link.dropped == 1
            return statistics.median(late[-3:]) - statistics.median(late[:2]) - 20

    assert await best_of_three(excess) <= 0


async def test_jitter_up_to_30_ms_adds_at_most_60_ms():
    rng = random.Random(7)

    async def excess() -> float:
        async with calling(bot=echo, has_link=True) as call:
            call.link.fate = lambda number: 0.0 if number < 50 else rng.uniform(0.0, 0.03)
            late = await pulses(call, 3, first=0)
            return statistics.median(late[2:]) - statistics.median(late[:2]) - 60

    assert await best_of_three(excess) <= 0


async def test_at_two_percent_loss_as_many_packets_come_back_as_were_sent():
    rng = random.Random(7)
    async with calling(bot=echo, has_link=True) as call:
        call.link.fate = lambda number: None if rng.random() < 0.02 else 0.0
        await pulses(call, 4, first=0)
        assert call.link.dropped >= 2
        await call.client.until(lambda: len(call.client.received) >= 200, timeout_s=1)


async def test_a_hold_up_of_the_process_loses_nothing_of_what_the_user_said():
    async with calling() as call:
        call.connection.open_audio_in(sample_rate_hz=16_000)
        await call.connection.connect()
        packets = encoded(tone(frames=60))
        await call.client.talk(packets[:10])
        for number in range(10, 60):  # all at once, as they would lie in the socket
            call.client.send_packet(packets[number], number=number)
        with anyio.fail_after(2):
            chunks = [await call.connection.receive_audio() for _ in range(60)]
        assert not any(chunk.is_concealed for chunk in chunks)
