"""Our page, as somebody uses it."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from playwright.sync_api import Locator, Page

from .sound import listen, record

TIMEOUT_MS: Final = 8000
FROM_SERVER_ERRORS: Final = "Failed to load resource"


@dataclass
class ClientPage:
    """What a person can do and see; states are read off the body's data attributes."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, page: Page, url: str) -> "ClientPage":
        client = cls(page)
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", client._said)
        page.on("pageerror", lambda error: client.complaints.append(str(error)))
        page.goto(url)
        return client

    def _said(self, message: Any) -> None:
        # An error status from the server is what some tests are about.
        if message.type in {"error", "warning"} and FROM_SERVER_ERRORS not in message.text:
            self.complaints.append(message.text)

    # Doing

    def connect(self) -> None:
        self.page.locator("#dial").click()
        self.wait_for_state("ready")

    def disconnect(self) -> None:
        self.page.locator("#dial").click()
        self.wait_for_state("ended")

    def type(self, text: str) -> None:
        self.page.get_by_label("Message to the bot").fill(text)
        self.page.get_by_role("button", name="Send").click()

    # Seeing

    def wait_for_state(self, state: str, timeout_s: float = 10) -> None:
        self.page.locator(f'body[data-state="{state}"]').wait_for(timeout=timeout_s * 1000)

    def wait_for_end(self, reason: str, timeout_s: float = 10) -> None:
        self.page.locator(f'body[data-state="ended"][data-end-reason="{reason}"]').wait_for(
            timeout=timeout_s * 1000
        )

    def wait_for_event(self, name: str, timeout_s: float = 8) -> None:
        self.page.locator(f'.event[data-name="{name}"]').first.wait_for(timeout=timeout_s * 1000)

    def wait_for_text(self, text: str, timeout_s: float = 8) -> None:
        self.page.locator("#events").get_by_text(text).first.wait_for(timeout=timeout_s * 1000)

    def wait_for_first_audio(self) -> None:
        self.page.locator('body[data-bot-audio="heard"]').wait_for()

    @property
    def headline(self) -> str:
        return self.page.locator("#state").inner_text()

    @property
    def turns(self) -> list[tuple[str | None, str]]:
        found = self.page.locator("#turns .turn").all()
        return [(each.get_attribute("data-who"), each.inner_text()) for each in found]

    def event_names(self, *sources: str) -> list[str]:
        selector = ", ".join(f".event.from-{source} .name" for source in sources)
        return self.page.locator(selector).all_inner_texts()

    def steps(self, side: str) -> list[str | None]:
        found = self.page.locator(f'.step[data-side="{side}"]').all()
        return [each.get_attribute("data-step") for each in found]

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def listen(self, seconds: float) -> list[float]:
        return listen(self.page, seconds)

    def record(self, seconds: float) -> np.ndarray:
        return record(self.page, seconds)
