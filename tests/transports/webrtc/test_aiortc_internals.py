"""What we use of aiortc and aioice without their promise: a release that moves it fails here."""

import ast
import importlib
import inspect
import os

import pytest
from aioice import Candidate, Connection
from aiortc import RTCConfiguration, RTCPeerConnection, rtcsctptransport

from offhook.transports.webrtc import aiortc_internals
from offhook.transports.webrtc.aiortc_internals import (
    INTERNALS,
    SCTP_FRAGMENT_BYTES,
    choose_codec,
    is_drained,
    new_peer_connection,
    prepare_certificate,
    set_fragment_size,
)

from .peers import Client

NAMES = [(holder, name) for holder, names in INTERNALS.items() for name in names]


def source_of(holder: str) -> str:
    module_name, _, name = holder.rpartition(".")
    if name[0].isupper():
        return inspect.getsource(getattr(importlib.import_module(module_name), name))
    return inspect.getsource(importlib.import_module(holder))


@pytest.mark.parametrize(("holder", "name"), NAMES)
def test_a_name_that_we_rely_on_is_still_there(holder, name):
    source = source_of(holder)
    is_member = f"self.{name}" in source or f"def {name}(" in source or f"\n{name} =" in source
    assert is_member, f"{holder} has no {name} any more: see aiortc_internals"


def test_every_private_name_that_the_module_uses_is_listed():
    tree = ast.parse(inspect.getsource(aiortc_internals))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert used <= {name for _, name in NAMES}
    assert len(used) > 5


def test_replaced_methods_are_called_with_the_arguments_that_we_take():
    parameters = inspect.signature(Connection.get_component_candidates).parameters
    assert list(parameters) == ["self", "component", "addresses", "timeout"]
    assert list(inspect.signature(Connection.data_received).parameters)[1:] == ["data", "component"]
    source = inspect.getsource(Connection.gather_candidates)
    assert "get_component_candidates(component=component, addresses=addresses)" in source


async def test_a_peer_connection_has_this_process_s_certificate_and_others_their_own():
    ours = new_peer_connection(RTCConfiguration(iceServers=[]))
    theirs = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    mine = prepare_certificate().getFingerprints()[0].value
    for peer_connection, is_mine in ((ours, True), (theirs, False)):
        peer_connection.addTransceiver("audio")
        await peer_connection.setLocalDescription(await peer_connection.createOffer())
        assert (mine in peer_connection.localDescription.sdp) is is_mine
        await peer_connection.close()


def test_a_forked_process_has_a_certificate_of_its_own():
    mine = prepare_certificate()
    assert prepare_certificate() is mine
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, prepare_certificate().getFingerprints()[0].value.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        assert pipe.read() not in {"", mine.getFingerprints()[0].value}


async def test_a_codec_is_chosen_and_told_to_send_copies():
    peer_connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer_connection.addTransceiver("audio")
    await peer_connection.createOffer()
    codec = choose_codec(transceiver)
    assert codec is not None
    assert codec.name == "opus"
    offer = await peer_connection.createOffer()
    assert "opus" in offer.sdp
    await peer_connection.close()


async def test_a_connection_without_messages_is_drained():
    peer_connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    assert is_drained(peer_connection)
    await peer_connection.close()


def test_fragments_fit_into_tunnels():
    set_fragment_size()
    assert rtcsctptransport.USERDATA_MAX_LENGTH == SCTP_FRAGMENT_BYTES


async def test_nothing_can_be_sent_before_there_is_a_connection():
    client = Client()
    assert not client.path.send(bytes(20))
    assert not client.path.send_report(bytes(20))
    await client.aclose()


async def test_gathering_waits_no_longer_than_it_is_told_and_falls_back_to_loopback():
    client = Client()
    asked = {}
    ice = client.peer_connection.getTransceivers()[0].receiver.transport.transport.iceGatherer

    async def get_component_candidates(*, component, addresses, **bound):
        asked.update(addresses=addresses, **bound)
        return [Candidate("1", component, "udp", 1, address, 9, "host") for address in addresses]

    connection = vars(ice)["_connection"]
    connection.get_component_candidates = get_component_candidates
    client.path.bound_gathering(0.5)
    await connection.get_component_candidates(component=1, addresses=[])
    assert asked == {"addresses": ["127.0.0.1"], "timeout": 0.5}
    await client.aclose()
