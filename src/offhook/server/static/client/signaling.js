// The HTTP side of a session: open it, hand in offers and candidates, follow its events.

const REQUEST_TIMEOUT_MS = 30_000;
const CANDIDATE_BATCH_MS = 200;

/** The server said no, and why: `code`, `detail` and `hint` are its own words. */
export class HttpError extends Error {
  constructor(status, { code, detail, hint }) {
    super(detail);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.hint = hint;
  }

  /** Asking again would change nothing. */
  get isFinal() {
    return this.status >= 400 && this.status < 500;
  }
}

/** No answer came at all: the server is down, or the network is. */
export class UnreachableError extends Error {
  isFinal = false;
}

export class Signaling {
  #fetch;

  constructor({ fetch = (...args) => globalThis.fetch(...args) } = {}) {
    this.#fetch = fetch;
  }

  /** Opens a session. @returns {Promise<{sessionId: string, iceConfig?: {iceServers: object[]}}>} */
  async start(signal) {
    const reply = await this.#send("POST", "/start", { transport: "webrtc", enableDefaultIceServers: false }, signal);
    if (typeof reply?.sessionId !== "string") throw badReply("no session id");
    return reply;
  }

  /** Trades an offer for an answer. @returns {Promise<{sdp: string, type: "answer", pc_id: string}>} */
  async offer(sessionId, body, signal) {
    const reply = await this.#send("POST", offerPath(sessionId), body, signal);
    if (typeof reply?.sdp !== "string") throw badReply("no answer");
    return reply;
  }

  /** Hands in candidates that were found after the offer. */
  async candidates(sessionId, pcId, candidates) {
    await this.#send("PATCH", offerPath(sessionId), { pc_id: pcId, candidates });
  }

  async #send(method, path, body, signal) {
    const deadline = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    let response;
    try {
      response = await this.#fetch(path, {
        method,
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new UnreachableError("The server does not answer.");
    }
    const reply = await response.json().catch(() => null);
    if (!response.ok) throw new HttpError(response.status, explain(response, reply));
    return reply;
  }
}

/** Collects the candidates of one peer connection and hands them in, in batches, once it has an id. */
export class CandidateQueue {
  #send;
  #queued = [];
  #pcId = null;
  #timer = null;

  constructor(send) {
    this.#send = send;
  }

  /** Takes an `RTCIceCandidate`; an empty one (end of candidates) is passed on too. */
  add({ candidate, sdpMid, sdpMLineIndex }) {
    this.#queued.push({ candidate, sdp_mid: sdpMid, sdp_mline_index: sdpMLineIndex });
    if (this.#pcId !== null) this.#timer ??= setTimeout(() => this.#flush(), CANDIDATE_BATCH_MS);
  }

  /** The answer has come: whatever waited goes out at once. */
  open(pcId) {
    this.#pcId = pcId;
    this.#flush();
  }

  close() {
    clearTimeout(this.#timer);
    this.#queued = [];
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const batch = this.#queued.splice(0);
    // A candidate that gets lost is no reason to end a call: the others may do.
    if (batch.length > 0) this.#send(this.#pcId, batch).catch(() => {});
  }
}

/**
 * Follows a session as the server sees it. Ends by itself after the `end` event.
 *
 * @returns {{close: () => void}}
 */
export function followSession(sessionId, { onStep, onState, onEnd }) {
  const source = new EventSource(`/sessions/${encodeURIComponent(sessionId)}/events`);
  const on = (name, handle) =>
    source.addEventListener(name, (event) => {
      try {
        handle(JSON.parse(event.data));
      } catch {
        // Not ours to judge: an event that cannot be read is one that never came.
      }
    });
  on("step", onStep);
  on("state", onState);
  on("end", (ending) => {
    source.close();
    onEnd(ending);
  });
  return source;
}

const offerPath = (sessionId) => `/sessions/${encodeURIComponent(sessionId)}/api/offer`;

const badReply = (problem) =>
  new HttpError(502, { code: "bad_reply", detail: `The server's reply cannot be used: ${problem}.`, hint: "" });

function explain(response, reply) {
  const detail = typeof reply?.detail === "string" ? reply.detail : reply?.error;
  return {
    code: reply?.code ?? `http_${response.status}`,
    detail: detail ?? `The server answered ${response.status} ${response.statusText}`.trim(),
    hint: reply?.hint ?? "",
  };
}
