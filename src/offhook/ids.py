"""The only source of ids. A session's id cannot be guessed: 144 random bits."""

import secrets
from typing import NewType

SessionId = NewType("SessionId", str)
WorkerId = NewType("WorkerId", str)

NODE_SEPARATOR = "~"


def new_session_id(node: str) -> SessionId:
    """Make an id that says which node owns the session: `<node>~<24 URL-safe characters>`."""
    return SessionId(f"{node}{NODE_SEPARATOR}{secrets.token_urlsafe(18)}")


def new_connection_id() -> str:
    """Make a `pc_id`: the opaque name of one peer connection."""
    return f"pc-{secrets.token_hex(16)}"
