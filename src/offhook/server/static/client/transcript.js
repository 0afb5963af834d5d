// Turns of a conversation, put together from RTVI messages. Pure: messages in, turns out.

/** A bot may say the same thing by several messages: the highest of these is shown. */
const SOURCES = ["bot-output", "bot-transcription", "bot-tts-text"];
/** Likewise for what was heard of the user. */
const HEARD_SOURCES = ["user-transcription", "user-input"];
const SAME_TURN_MS = 1500;

/**
 * @typedef {{id: number, who: "you" | "bot", atMs: number, text: string, pending: string,
 *   spokenMs: number | null, isTyped: boolean, isOpen: boolean, isInterrupted: boolean,
 *   problem: string}} Turn
 */

export class Transcript {
  #turns = [];
  #typed = new Map();
  #onChange;

  constructor(onChange = () => {}) {
    this.#onChange = onChange;
  }

  /** @returns {Turn[]} */
  get turns() {
    return this.#turns.map(({ parts, interim, segments, stoppedAtMs, startedAtMs, ...turn }) => turn);
  }

  /** A typed message has been sent; an `error-response` to `id` will be its problem. */
  typed(id, text, atMs) {
    this.#close("bot", atMs);
    this.#close("you", atMs);
    const turn = this.#open("you", atMs);
    Object.assign(turn, { text, isTyped: true, isOpen: false });
    this.#typed.set(id, turn);
    this.#changed(turn);
  }

  receive({ type, id, data }, atMs) {
    const handle = HANDLERS[type];
    if (handle) handle(this, data, atMs, id);
  }

  userStarted(atMs) {
    this.#close("bot", atMs);
    const turn = this.#current("you") ?? this.#open("you", atMs);
    turn.startedAtMs ??= atMs;
    turn.stoppedAtMs = null;
    this.#changed(turn);
  }

  userStopped(atMs) {
    this.#stopped("you", atMs);
  }

  heard(source, text, isFinal, atMs) {
    if (!text) return;
    const turn = this.#current("you") ?? this.#wordless() ?? this.#open("you", atMs);
    if (isFinal) (turn.parts[source] ??= []).push(text);
    turn.text = join(turn.parts[HEARD_SOURCES.find((name) => turn.parts[name])] ?? []);
    turn.pending = isFinal ? "" : text;
    this.#changed(turn);
  }

  botStarted(atMs) {
    this.#close("you", atMs);
    const turn = this.#botTurn(atMs);
    turn.startedAtMs ??= atMs;
    turn.stoppedAtMs = null;
    this.#changed(turn);
  }

  botStopped(atMs) {
    this.#stopped("bot", atMs);
  }

  botInterrupted() {
    const turn = this.#turns.findLast(({ who }) => who === "bot");
    if (!turn) return;
    turn.isInterrupted = true;
    this.#changed(turn);
  }

  said(source, text, atMs) {
    if (!text) return;
    const turn = this.#botTurn(atMs);
    (turn.segments[source] ??= new Map()).set(turn.segments[source].size, { said: text, ahead: "" });
    this.#compose(turn);
  }

  saidSegment({ text = "", segment_id: segment, spoken_progress: progress, spoken_status: status }, atMs) {
    const turn = this.#botTurn(atMs);
    const segments = (turn.segments["bot-output"] ??= new Map());
    const isUnderWay = progress && status !== "completed";
    segments.set(segment ?? `#${segments.size}`, {
      said: isUnderWay ? (progress.accumulated_text ?? "") : text,
      ahead: isUnderWay ? (progress.remaining_text ?? "") : "",
    });
    this.#compose(turn);
  }

  refused(id, problem) {
    const turn = this.#typed.get(id);
    if (!turn) return;
    turn.problem = problem;
    this.#changed(turn);
  }

  /** Nobody says anything any more. */
  finish(atMs) {
    this.#close("you", atMs);
    this.#close("bot", atMs);
  }

  #botTurn(atMs) {
    const turn = this.#current("bot");
    const isOver = turn && turn.stoppedAtMs !== null && atMs - turn.stoppedAtMs > SAME_TURN_MS;
    if (turn && !isOver) return turn;
    this.#close("bot", atMs);
    return this.#open("bot", atMs);
  }

  #compose(turn) {
    const source = SOURCES.find((name) => turn.segments[name]?.size > 0);
    const segments = [...turn.segments[source].values()];
    turn.text = join(segments.map(({ said }) => said));
    turn.pending = join(segments.map(({ ahead }) => ahead));
    this.#changed(turn);
  }

  #current(who) {
    return this.#turns.findLast((turn) => turn.who === who && turn.isOpen);
  }

  // Words may come late: after the bot has begun to answer them.
  #wordless() {
    const turn = this.#turns.findLast(({ who }) => who === "you");
    return turn && turn.text === "" ? turn : undefined;
  }

  #open(who, atMs) {
    const turn = {
      id: this.#turns.length, who, atMs, text: "", pending: "", spokenMs: null, isTyped: false,
      isOpen: true, isInterrupted: false, problem: "",
      parts: {}, segments: {}, startedAtMs: null, stoppedAtMs: null,
    };
    this.#turns.push(turn);
    return turn;
  }

  #stopped(who, atMs) {
    const turn = this.#current(who);
    if (!turn) return;
    turn.stoppedAtMs = atMs;
    if (turn.startedAtMs !== null) turn.spokenMs = atMs - turn.startedAtMs;
    this.#changed(turn);
  }

  #close(who, atMs) {
    const turn = this.#current(who);
    if (!turn) return;
    turn.isOpen = false;
    if (turn.startedAtMs !== null) turn.spokenMs ??= atMs - turn.startedAtMs;
    this.#changed(turn);
  }

  #changed({ parts, segments, startedAtMs, stoppedAtMs, ...turn }) {
    this.#onChange(turn);
  }
}

const words = (data) => (typeof data.text === "string" ? data.text : "");

const HANDLERS = {
  "user-started-speaking": (transcript, _, atMs) => transcript.userStarted(atMs),
  "user-stopped-speaking": (transcript, _, atMs) => transcript.userStopped(atMs),
  "user-transcription": (transcript, data, atMs) =>
    transcript.heard("user-transcription", words(data), data.final, atMs),
  "user-input": (transcript, data, atMs) => {
    // What was typed is shown already.
    if (data.input_type !== "chat") transcript.heard("user-input", words(data), data.final, atMs);
  },
  "bot-started-speaking": (transcript, _, atMs) => transcript.botStarted(atMs),
  "bot-stopped-speaking": (transcript, _, atMs) => transcript.botStopped(atMs),
  "bot-interrupted": (transcript) => transcript.botInterrupted(),
  "bot-output": (transcript, data, atMs) => transcript.saidSegment(data, atMs),
  "bot-transcription": (transcript, data, atMs) => transcript.said("bot-transcription", words(data), atMs),
  "bot-tts-text": (transcript, data, atMs) => transcript.said("bot-tts-text", words(data), atMs),
  "error-response": (transcript, data, _, id) => transcript.refused(id, String(data.error ?? "")),
};

/** Words and sentences to a text: one space between them, none before a comma or a stop. */
function join(pieces) {
  return pieces
    .map((piece) => piece.trim())
    .filter(Boolean)
    .join(" ")
    .replace(/ ([,.;:!?])/g, "$1");
}
