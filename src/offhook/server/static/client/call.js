// The call panel: what state the call is in, in words, and why it ended.

import { byId, clock } from "./dom.js";
import { MAX_RESTARTS } from "./session.js";

/** state → [headline, what it means, what the big button does] */
const WORDS = {
  idle: ["Ready when you are", "Connect to talk with the bot.", "Connect"],
  asking: ["May I listen?", "Your browser asks whether this page may use the microphone.", "Cancel"],
  starting: ["Calling…", "Asking the server for a bot.", "Cancel"],
  connecting: ["Connecting…", "The bot has picked up. Setting up the audio.", "Cancel"],
  connected: ["Connected", "Waiting for the bot to say that it is ready.", "Disconnect"],
  ready: ["On the line", "Say something.", "Disconnect"],
  reconnecting: ["Reconnecting…", "", "Disconnect"],
  ending: ["Hanging up…", "", "Disconnect"],
  ended: ["Conversation ended", "", "Connect again"],
};
const ACTIVITY = { you: "You are speaking.", bot: "The bot is speaking." };

export class CallPanel {
  #body = document.body;
  #since = null;
  #ticker = null;

  /** Shows a state of `session.js`, or `asking`. */
  show(state, attempt = 0) {
    const [headline, more, action] = WORDS[state];
    this.#body.dataset.state = state;
    byId("state").textContent = headline;
    byId("state-more").textContent = state === "reconnecting" ? `Attempt ${attempt} of ${MAX_RESTARTS}.` : more;
    byId("dial-label").textContent = action;
    document.title = state === "idle" ? "Offhook" : `${headline} · Offhook`;
    if (state === "ready" || state === "connected") this.#startClock();
    if (state === "ended") this.#stopClock();
  }

  /** @param {import("./endings.js").Ending} how */
  ended({ reason, title, words, hint, isFault }) {
    this.show("ended");
    this.#body.dataset.endReason = reason;
    byId("state").textContent = title;
    byId("state-more").textContent = this.#since === null ? "" : `The call lasted ${clock(performance.now() - this.#since)}.`;
    byId("duration").hidden = true;
    byId("ending-words").textContent = words;
    byId("ending-hint").textContent = hint;
    byId("ending-code").textContent = reason;
    byId("ending").classList.toggle("fault", isFault);
    byId("ending").hidden = false;
  }

  /** A new call begins: the last one's traces go. */
  clear() {
    this.#body.dataset.endReason = "";
    this.#body.dataset.botAudio = "";
    byId("ending").hidden = true;
    byId("duration").hidden = true;
    this.#since = null;
    this.speaking("");
  }

  /** @param {"you" | "bot" | ""} who */
  speaking(who) {
    this.#body.dataset.speaking = who;
    if (this.#body.dataset.state === "ready") byId("state-more").textContent = ACTIVITY[who] ?? "The bot is listening.";
  }

  problem(text) {
    byId("microphone-problem").textContent = text;
    byId("microphone-problem").hidden = text === "";
  }

  /** @param {"on" | "muted" | "none"} microphone */
  microphone(microphone) {
    this.#body.dataset.microphone = microphone;
    byId("mute").setAttribute("aria-pressed", String(microphone === "muted"));
    byId("mute-label").textContent = microphone === "muted" ? "Unmute" : "Mute";
    byId("mute").disabled = microphone === "none";
  }

  #startClock() {
    if (this.#ticker !== null) return;
    this.#since = performance.now();
    byId("duration").hidden = false;
    this.#tick();
    this.#ticker = setInterval(() => this.#tick(), 1000);
  }

  #stopClock() {
    clearInterval(this.#ticker);
    this.#ticker = null;
  }

  #tick() {
    byId("duration").textContent = clock(performance.now() - this.#since);
  }
}
