"""Peer-to-peer WebRTC."""
