"""The template as the server sees it: asked for workers, it reports what it forked."""

import logging
import os
import socket
from collections.abc import Callable

from offhook.channel import Channel, ChannelClosedError, ChannelFullError
from offhook.errors import BadMessageError, WorkerError
from offhook.ids import WorkerId
from offhook.protocol.control import (
    AnyMessage,
    ForkFailed,
    ForkWorker,
    TemplateReady,
    WorkerForked,
)

log = logging.getLogger(__name__)

TemplateMessage = TemplateReady | WorkerForked | ForkFailed


class NoTemplateError(WorkerError):
    """There is no process that workers could be forked off."""

    code = "no_template"


class Template:
    """Makes workers by asking the template process of the newest generation."""

    def __init__(self) -> None:
        self._channel: Channel | None = None

    def fork(
        self, worker_id: WorkerId, *, rehearse: bool, channel: socket.socket, output_fd: int
    ) -> None:
        """Ask for a worker that speaks on `channel` and prints to `output_fd`.

        Raises:
            NoTemplateError: Nobody is there who could do it.
        """
        if self._channel is None:
            raise NoTemplateError("the template has gone")
        order = ForkWorker(worker_id=worker_id, rehearse=rehearse)
        try:
            self._channel.send(order, [channel.fileno(), output_fd])
        except (ChannelClosedError, ChannelFullError) as error:
            raise NoTemplateError(str(error)) from error

    async def listen(self, channel: Channel, tell: Callable[[TemplateMessage], None]) -> None:
        """Be this template from now on, and tell what it reports, until it goes."""
        self._channel = channel
        try:
            while True:
                try:
                    received = await channel.receive()
                except ChannelClosedError:
                    return
                except BadMessageError as error:
                    log.warning("unknown message ignored", extra={"problem": error.problem})
                    continue
                for fd in received.fds:
                    os.close(fd)
                self._tell(received.message, tell)
        finally:
            channel.close()
            if self._channel is channel:
                self._channel = None

    @staticmethod
    def _tell(message: AnyMessage, tell: Callable[[TemplateMessage], None]) -> None:
        if isinstance(message, TemplateReady | WorkerForked | ForkFailed):
            tell(message)
        else:
            log.warning("message out of place ignored", extra={"type": type(message).__name__})
