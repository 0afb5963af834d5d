"""Peer-to-peer WebRTC: one client, one worker, its own UDP sockets."""

from offhook.transports.webrtc.connection import Answer, ConnectionObserver, SmallWebRTCConnection
from offhook.transports.webrtc.engine import AudioChunk
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.transport import SmallWebRTCTransport

__all__ = [
    "Answer",
    "AudioChunk",
    "ConnectionObserver",
    "SmallWebRTCConnection",
    "SmallWebRTCTransport",
    "WebRTCSettings",
]
