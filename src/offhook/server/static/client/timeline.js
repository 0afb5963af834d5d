// The start of a conversation, step by step: the server's clock and ours on one axis. Pure.

/** A step later than this is no longer part of the start. */
const START_ENDS_MS = 15_000;
const NOT_OF_THE_START = new Set(["closing", "ended", "peer_connection_restarted"]);

const LABELS = {
  page: {
    microphone_open: "Microphone open",
    session_opened: "Session opened",
    offer_created: "Offer created",
    answer_received: "Answer received",
    ice_connected: "Network path found",
    channel_open: "Message channel open",
    bot_ready: "Bot says it is ready",
    first_audio_heard: "First audio heard",
  },
  server: {
    accepted: "Request accepted",
    admitted: "Conversation admitted",
    worker_leased: "Process assigned",
    bot_entered: "Bot running",
    answer_sent: "Answer sent",
    ice_connected: "Network path found",
    dtls_done: "Encryption agreed",
    data_channel_open: "Message channel open",
    client_ready: "Page says it is ready",
    bot_ready: "Bot is ready",
    first_audio_in: "First audio from you",
    ready: "Both sides ready",
    first_audio_out: "First audio from the bot",
  },
};

/** @typedef {{side: "page" | "server", name: string, label: string, startMs: number, atMs: number}} Row */

export class Timeline {
  #page = new Map();
  #server = new Map();

  /** A step of ours, in milliseconds since the click. Only the first of its name counts. */
  mark(name, atMs) {
    if (!this.#page.has(name)) this.#page.set(name, atMs);
  }

  /** A step of the server's, in seconds since it took the request. */
  serverStep(name, atS) {
    if (!this.#server.has(name) && !NOT_OF_THE_START.has(name)) this.#server.set(name, atS * 1000);
  }

  /** Milliseconds from the click to the bot's voice; null before. */
  get firstAudioMs() {
    return this.#page.get("first_audio_heard") ?? null;
  }

  /** @returns {Row[]} in order of time; each begins where the one before it on its side ended */
  rows() {
    const offset = this.#offsetMs();
    const server = [...this.#server].map(([name, atMs]) => [name, atMs + offset]);
    const rows = [...spans("page", [...this.#page]), ...spans("server", server)];
    return rows.filter(({ atMs }) => atMs <= START_ENDS_MS).sort((a, b) => a.atMs - b.atMs);
  }

  // The two clocks share no zero. The answer leaves the server just before it gets here.
  #offsetMs() {
    const [received, sent] = [this.#page.get("answer_received"), this.#server.get("answer_sent")];
    return received === undefined || sent === undefined ? 0 : Math.max(0, received - sent);
  }
}

function spans(side, steps) {
  let startMs = null;
  return steps
    .sort(([, a], [, b]) => a - b)
    .map(([name, atMs]) => {
      const row = { side, name, label: LABELS[side][name] ?? name.replaceAll("_", " "), startMs: startMs ?? (side === "page" ? 0 : atMs), atMs };
      startMs = atMs;
      return row;
    });
}
