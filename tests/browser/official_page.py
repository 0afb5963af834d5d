"""The official client, as an application uses it."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from .sound import listen


@dataclass
class OfficialPage:
    page: Page

    def connect(self) -> dict[str, Any]:
        """Start a bot, connect, and wait for its bot-ready."""
        ready: dict[str, Any] = self.page.evaluate("official.connect()")
        return ready

    def disconnect(self) -> None:
        self.page.evaluate("official.client.disconnect()")

    def request(self, kind: str, data: object = None) -> dict[str, Any]:
        """Ask the bot's application; return its `reply` or its `refusal`."""
        answer: dict[str, Any] = self.page.evaluate(
            "([kind, data]) => official.request(kind, data)", [kind, data]
        )
        return answer

    def send(self, kind: str, data: object = None) -> None:
        self.page.evaluate(
            "([kind, data]) => official.client.sendClientMessage(kind, data)", [kind, data]
        )

    def send_text(self, text: str) -> None:
        self.page.evaluate("(text) => official.client.sendText(text)", text)

    def enable_microphone(self, is_enabled: bool) -> None:
        self.page.evaluate("(on) => official.client.enableMic(on)", is_enabled)

    def restart(self) -> None:
        """Build a new peer connection below the same session, as after a change of networks."""
        self.page.evaluate("official.restart()")

    def wait_for(self, name: str, data: object = None) -> None:
        """Wait until the client has told of an event, now or before."""
        self.page.wait_for_function(
            "([name, data]) => official.events.some((it) => it.name === name"
            " && (data === null || JSON.stringify(it.data) === JSON.stringify(data)))",
            arg=[name, data],
        )

    @property
    def events(self) -> list[str]:
        names: list[str] = self.page.evaluate("official.events.map(({name}) => name)")
        return names

    @property
    def states(self) -> list[str]:
        found: list[str] = self.page.evaluate(
            "official.events.filter(({name}) => name === 'state').map(({data}) => data)"
        )
        return found

    def listen(self, seconds: float) -> list[float]:
        return listen(self.page, seconds)
