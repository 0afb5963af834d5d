"""Offhook: a session server for voice bots, a process for each conversation."""

__version__ = "0.1.0"
