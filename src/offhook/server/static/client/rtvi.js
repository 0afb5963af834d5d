// The messages of the data channel: build what we send, name what we receive. Pure.

export const RTVI_VERSION = "2.2.0";
const LABEL = "rtvi-ai";
const LIBRARY = { library: "offhook-page", library_version: "0.1.0" };

/** A short id that pairs a request with its answer. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An RTVI envelope, ready for `JSON.stringify`. */
export function envelope(type, data = {}, id = newId()) {
  return { label: LABEL, type, id, data };
}

/** The page's half of the handshake: to be sent once for each session. */
export const clientReady = () => envelope("client-ready", { version: RTVI_VERSION, about: LIBRARY });

/** A typed message: the bot takes it as if the user had said it. */
export const sendText = (content) =>
  envelope("send-text", { content, options: { run_immediately: true, audio_response: true } });

/** Tells the server whether the track of this transceiver (0 = microphone) carries anything. */
export const trackStatus = (receiverIndex, isEnabled) => ({
  type: "signalling",
  message: { type: "trackStatus", receiver_index: receiverIndex, enabled: isEnabled },
});

/** The sign of life that is due each second. It is not JSON. */
export const ping = (epochMs) => `ping: ${Math.round(epochMs)}`;

/**
 * Sorts one received text.
 *
 * @returns {{kind: "rtvi", type: string, id?: string, data: any}
 *   | {kind: "signalling", type: string} | {kind: "unknown"}}
 */
export function parse(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "unknown" };
  }
  if (value?.type === "signalling" && typeof value.message?.type === "string") {
    return { kind: "signalling", type: value.message.type };
  }
  if (value?.label === LABEL && typeof value.type === "string") {
    return { kind: "rtvi", type: value.type, id: value.id, data: value.data ?? {} };
  }
  return { kind: "unknown" };
}
