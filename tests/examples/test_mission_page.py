"""The code of the page that Offhook set out from runs with only the package's name changed."""

import logging
import textwrap

import anyio
from tests.kit.fakes import Echo, FakeConnection, Recorder

from offhook.kit import InputAudio, OutputAudio, RTVIProcessor, SmallWebRTCRunnerArguments

BOT = """
    from offhook.runner.types import RunnerArguments

    async def bot(runner_args: RunnerArguments):
        transport = SmallWebRTCTransport(
            params=TransportParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                vad_analyzer=SileroVADAnalyzer(),
            ),
            webrtc_connection=runner_args.webrtc_connection,
        )

        await run_bot(transport)

    if __name__ == "__main__":
        from offhook.runner.run import main
        main()
"""

IMPORTS = """
    from offhook.kit import *
    from offhook.transports.webrtc import SmallWebRTCTransport
"""

IMMEDIATE_START = """
    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        logger.info("Client connected - starting conversation")
        messages.append({
            "role": "system",
            "content": "Say hello and introduce yourself."
        })
        await task.queue_frames([context_aggregator.user().get_context_frame()])
"""

HANDSHAKE = """
    @rtvi.event_handler("on_client_ready")
    async def on_client_ready(rtvi):
        await rtvi.set_bot_ready()
        await task.queue_frames([context_aggregator.user().get_context_frame()])
"""

GREETING = OutputAudio(bytes(960), 24000)


class ContextAggregator:
    """A stand-in for the part that keeps what was said: its frame is a greeting."""

    def user(self):
        return self

    def get_context_frame(self):
        return GREETING


def run_bot(namespace: dict, *processors, block: str):
    """Return the page's `run_bot`: a pipeline of these processors, with one of its handlers."""

    async def run(transport):
        rtvi = RTVIProcessor()
        parts = [transport.input(), rtvi, *processors, transport.output()]
        task = namespace["PipelineTask"](namespace["Pipeline"](parts))
        exec(  # noqa: S102 -- the block is above
            textwrap.dedent(block),
            {
                "transport": transport,
                "rtvi": rtvi,
                "task": task,
                "logger": logging.getLogger("bot"),
                "messages": [],
                "context_aggregator": ContextAggregator(),
            },
        )
        await namespace["PipelineRunner"]().run(task)

    return run


def page_bot(*processors, block: str):
    namespace = {"__name__": "bot"}
    exec(textwrap.dedent(IMPORTS + BOT), namespace)  # noqa: S102 -- the block is above
    namespace["run_bot"] = run_bot(namespace, *processors, block=block)
    return namespace["bot"]


async def test_a_bot_that_starts_at_once_greets_its_client_and_hears_it():
    connection, recorder = FakeConnection(), Recorder()
    bot = page_bot(recorder, Echo(), block=IMMEDIATE_START)
    async with anyio.create_task_group() as group:
        group.start_soon(bot, SmallWebRTCRunnerArguments(connection))
        await connection.changed.until(lambda: len(connection.queued) == 960)
        connection.client_speaks(bytes(640))
        await recorder.until(InputAudio)
        await connection.client_leaves()
    connection.close()


async def test_a_bot_that_waits_for_its_client_greets_after_the_handshake():
    connection = FakeConnection()
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}
    async with anyio.create_task_group() as group:
        group.start_soon(page_bot(block=HANDSHAKE), SmallWebRTCRunnerArguments(connection))
        await connection.changed.until(connection.is_connected)
        await anyio.wait_all_tasks_blocked()
        assert not connection.queued
        await connection.client_says(ready)
        await connection.changed.until(lambda: len(connection.queued) == 960)
        assert [message["type"] for message in connection.messages] == ["bot-ready"]
        await connection.client_leaves()
    connection.close()
