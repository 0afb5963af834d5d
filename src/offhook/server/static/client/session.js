// One conversation from the click to its end: states, negotiation, reconnects. Touches no DOM.

import { ending, endingFromError, endingFromServer } from "./endings.js";
import { Peer } from "./peer.js";
import * as rtvi from "./rtvi.js";
import { CandidateQueue, followSession, Signaling } from "./signaling.js";

export const MAX_RESTARTS = 3;
const RETRY_AFTER_MS = 2000;
const DISCONNECTED_FOR_MS = 5000;
const LAST_WORDS_MS = 1500;
const CHANNEL_LOST_MS = 2000;

/** What can follow what. Whatever is not here cannot happen. */
const TRANSITIONS = {
  idle: ["starting", "ended"],
  starting: ["connecting", "reconnecting", "ended"],
  connecting: ["connected", "ready", "reconnecting", "ending", "ended"],
  connected: ["ready", "reconnecting", "ending", "ended"],
  ready: ["reconnecting", "ending", "ended"],
  reconnecting: ["connecting", "ending", "ended"],
  ending: ["ended"],
  ended: [],
};
const LIVE = new Set(["connected", "ready"]);

/**
 * Events, each with a `detail`:
 * `state` (name), `mark` (name of a step that we took), `step` and `serverstate` (the server's),
 * `track` (the bot's MediaStreamTrack), `message` (a parsed RTVI message), `sent` (an envelope),
 * `note` (a sentence about the connection), `ended` (an Ending).
 */
export class Session extends EventTarget {
  #signaling;
  #state = "idle";
  #sessionId = null;
  #iceServers = [];
  #pcId = null;
  #peer = null;
  #candidates = null;
  #events = null;
  #track = null;
  #isMuted = false;
  #restarts = 0;
  #isClientReadySent = false;
  #isBotReady = false;
  #isNegotiating = false;
  #wantsNegotiation = false;
  #fatal = "";
  #failure = null;
  #timers = new Map();
  #abort = new AbortController();

  constructor({ signaling = new Signaling() } = {}) {
    super();
    this.#signaling = signaling;
  }

  get state() {
    return this.#state;
  }

  get isLive() {
    return LIVE.has(this.#state);
  }

  /** Opens the session and calls the bot. `track`: the microphone, or a promise of it, or null. */
  async start({ track = null } = {}) {
    this.#enter("starting");
    try {
      const [reply, microphone] = await Promise.all([this.#openSession(), track]);
      if (this.#state !== "starting") return;
      this.#sessionId = reply.sessionId;
      this.#iceServers = reply.iceConfig?.iceServers ?? [];
      this.#track = microphone;
    } catch (error) {
      this.#finish(endingFromError(error));
      return;
    }
    await this.#dial({ isRestart: false });
  }

  /** Sends this microphone from now on; null for none. */
  async setTrack(track) {
    this.#track = track;
    if (track) track.enabled = !this.#isMuted;
    await this.#peer?.send(track);
    this.#sendTrackStatus();
  }

  setMuted(isMuted) {
    this.#isMuted = isMuted;
    if (this.#track) this.#track.enabled = !isMuted;
    this.#sendTrackStatus();
  }

  /** @returns {string | null} the id that an answer to it would carry; null if it could not be sent */
  sendText(content) {
    return this.#sendRtvi(rtvi.sendText(content));
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async stats() {
    return this.#peer ? this.#peer.stats() : null;
  }

  /** Hangs up. Safe at any time, any number of times. */
  end() {
    this.#finish(ending("client_left"));
  }

  async #openSession() {
    const reply = await this.#signaling.start(this.#abort.signal);
    this.#tell("mark", "session_opened");
    return reply;
  }

  // Negotiation

  async #dial({ isRestart }) {
    this.#hangUp();
    try {
      this.#peer = new Peer({ iceServers: this.#iceServers, track: this.#track });
    } catch (error) {
      // The browser does not take the server's ICE servers.
      this.#finish(endingFromError(error));
      return;
    }
    this.#candidates = new CandidateQueue((pcId, batch) =>
      this.#signaling.candidates(this.#sessionId, pcId, batch),
    );
    this.#listen(this.#peer);
    await this.#negotiate({ isRestart });
  }

  async #negotiate({ isRestart }) {
    const peer = this.#peer;
    this.#isNegotiating = true;
    try {
      const { type, sdp } = await peer.offer();
      this.#tell("mark", "offer_created");
      const body = { type, sdp, pc_id: this.#pcId, restart_pc: isRestart };
      const answer = await this.#signaling.offer(this.#sessionId, body, this.#abort.signal);
      if (peer !== this.#peer) return;
      this.#tell("mark", "answer_received");
      this.#pcId = answer.pc_id ?? null;
      await peer.accept(answer);
      if (peer !== this.#peer) return;
    } catch (error) {
      if (peer === this.#peer) this.#offerFailed(error);
      return;
    }
    this.#isNegotiating = false;
    this.#candidates.open(this.#pcId);
    this.#events ??= this.#follow();
    if (!this.isLive) this.#enter("connecting");
    if (this.#wantsNegotiation) this.#renegotiate();
  }

  #renegotiate() {
    this.#wantsNegotiation = this.#isNegotiating;
    if (!this.#isNegotiating) this.#negotiate({ isRestart: false });
  }

  #offerFailed(error) {
    // The first failure says why; what a retry is told may only be that the session is over.
    this.#failure ??= error;
    if (error.isFinal || this.#restarts >= MAX_RESTARTS) {
      this.#finish(endingFromError(this.#failure));
      return;
    }
    this.#tell("note", `${error.message} Trying again in ${RETRY_AFTER_MS / 1000} s.`);
    this.#countRestart();
    this.#after("retry", RETRY_AFTER_MS, () => this.#dial({ isRestart: true }));
  }

  #restart(why) {
    if (this.#restarts >= MAX_RESTARTS) {
      this.#finish(ending("connection_lost"));
      return;
    }
    this.#tell("note", `${why} Building a new connection.`);
    this.#countRestart();
    this.#dial({ isRestart: true });
  }

  #countRestart() {
    this.#restarts += 1;
    this.#hangUp();
    this.#enter("reconnecting", this.#restarts);
  }

  /** Lets go of the peer connection, not of the session. */
  #hangUp() {
    for (const name of ["disconnected", "channel", "retry"]) this.#forget(name);
    this.#isNegotiating = this.#wantsNegotiation = false;
    this.#candidates?.close();
    this.#peer?.close();
    this.#peer = this.#candidates = null;
  }

  // What the peer connection tells

  #listen(peer) {
    const on = (name, handle) => peer.addEventListener(name, ({ detail }) => handle(detail));
    on("candidate", (candidate) => this.#candidates?.add(candidate));
    on("track", (track) => this.#tell("track", track));
    on("open", () => this.#channelOpened());
    on("text", (text) => this.#received(text));
    on("channelclosed", () => this.#channelClosed());
    on("ice", (state) => this.#iceChanged(state));
  }

  #iceChanged(state) {
    if (state !== "disconnected") this.#forget("disconnected");
    if (state === "connected" || state === "completed") this.#tell("mark", "ice_connected");
    if (state === "disconnected") {
      this.#tell("note", "The network went quiet.");
      this.#after("disconnected", DISCONNECTED_FOR_MS, () => this.#restart("The network stayed quiet."));
    }
    if (state === "failed" && this.#state !== "ending") this.#restart("No way through the network.");
  }

  #channelOpened() {
    this.#restarts = 0;
    this.#failure = null;
    this.#tell("mark", "channel_open");
    this.#enter(this.#isBotReady ? "ready" : "connected");
    if (this.#isClientReadySent) return;
    // Once a session: the bot is the same one after a reconnect.
    this.#isClientReadySent = true;
    this.#sendTrackStatus();
    this.#sendRtvi(rtvi.clientReady());
  }

  #channelClosed() {
    if (this.#state === "ending") return;
    // The reason usually follows by way of the server; if none does, the line itself broke.
    this.#after("channel", CHANNEL_LOST_MS, () => this.#restart("The message channel closed."));
  }

  #received(text) {
    const message = rtvi.parse(text);
    if (message.kind === "signalling") this.#signalled(message.type);
    if (message.kind !== "rtvi") return;
    if (message.type === "bot-ready") this.#botReady();
    this.#tell("message", message);
    if (message.type === "error" && message.data.fatal) {
      this.#fatal = String(message.data.error ?? "");
      this.#awaitLastWords(ending("bot_error", { words: this.#fatal }));
    }
  }

  #signalled(type) {
    if (type === "renegotiate") this.#renegotiate();
    if (type === "peerLeft") this.#awaitLastWords(ending("bot_finished"));
  }

  #botReady() {
    this.#isBotReady = true;
    this.#tell("mark", "bot_ready");
    if (this.#state === "connected") this.#enter("ready");
  }

  // Sending

  #sendTrackStatus() {
    const hasAudio = this.#track !== null && !this.#isMuted;
    this.#peer?.sendText(JSON.stringify(rtvi.trackStatus(0, hasAudio)));
  }

  #sendRtvi(message) {
    if (!this.#peer?.sendText(JSON.stringify(message))) return null;
    this.#tell("sent", message);
    return message.id;
  }

  // The end

  #follow() {
    return followSession(this.#sessionId, {
      onStep: (step) => this.#tell("step", step),
      onState: ({ state }) => this.#tell("serverstate", state),
      onEnd: (end) => this.#finish(endingFromServer(end, this.#fatal)),
    });
  }

  /** The other side is leaving: the server knows best why, so it gets a moment to say. */
  #awaitLastWords(otherwise) {
    if (this.#state === "ending" || this.#state === "ended") return;
    this.#enter("ending");
    if (this.#events) this.#after("ending", LAST_WORDS_MS, () => this.#finish(otherwise));
    else this.#finish(otherwise);
  }

  #finish(how) {
    if (this.#state === "ended") return;
    this.#abort.abort();
    this.#events?.close();
    this.#hangUp();
    for (const name of [...this.#timers.keys()]) this.#forget(name);
    this.#enter("ended");
    this.#tell("ended", how);
  }

  // Small things

  #enter(state, attempt = 0) {
    if (state === this.#state && state !== "reconnecting") return;
    if (state !== this.#state && !TRANSITIONS[this.#state].includes(state)) return;
    this.#state = state;
    this.#tell("state", { state, attempt });
  }

  #after(name, delayMs, act) {
    this.#forget(name);
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        act();
      }, delayMs),
    );
  }

  #forget(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
