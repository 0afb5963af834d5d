// One RTCPeerConnection with one audio transceiver and one data channel. Knows no server and no page.

import { ping } from "./rtvi.js";

const PING_INTERVAL_MS = 1000;

/**
 * Events: `candidate`, `track`, `open`, `text`, `channelclosed` and `ice` (detail: the new state).
 * After `close()` none comes any more.
 */
export class Peer extends EventTarget {
  #connection;
  #channel;
  #sender;
  #pings = null;
  #isClosed = false;

  constructor({ iceServers, track }) {
    super();
    this.#connection = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    // Both ways even without a microphone, so that one can be added without a new offer.
    this.#sender = this.#connection.addTransceiver(track ?? "audio", { direction: "sendrecv" }).sender;
    this.#channel = this.#connection.createDataChannel("chat", { ordered: true });
    this.#listen();
  }

  get isOpen() {
    return this.#channel.readyState === "open";
  }

  get iceState() {
    return this.#connection.iceConnectionState;
  }

  /** Creates an offer and makes it ours. Candidates follow as events. */
  async offer() {
    await this.#connection.setLocalDescription();
    const { type, sdp } = this.#connection.localDescription;
    return { type, sdp };
  }

  async accept({ sdp }) {
    await this.#connection.setRemoteDescription({ type: "answer", sdp });
  }

  /** Sends this microphone from now on; null sends none. */
  async send(track) {
    await this.#sender.replaceTrack(track);
  }

  /** @returns {boolean} whether the text was put on its way */
  sendText(text) {
    if (!this.isOpen) return false;
    this.#channel.send(text);
    return true;
  }

  stats() {
    return this.#connection.getStats();
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#pings);
    this.#channel.close();
    this.#connection.close();
  }

  #listen() {
    this.#connection.onicecandidate = ({ candidate }) => candidate && this.#tell("candidate", candidate);
    this.#connection.ontrack = ({ track }) => this.#tell("track", track);
    this.#connection.oniceconnectionstatechange = () => this.#tell("ice", this.iceState);
    this.#connection.onconnectionstatechange = () => {
      // The network path may stand while the encryption on it has failed.
      if (this.#connection.connectionState === "failed") this.#tell("ice", "failed");
    };
    this.#channel.onopen = () => {
      this.#beat();
      this.#pings = setInterval(() => this.#beat(), PING_INTERVAL_MS);
      this.#tell("open");
    };
    this.#channel.onmessage = ({ data }) => typeof data === "string" && this.#tell("text", data);
    this.#channel.onclose = () => {
      clearInterval(this.#pings);
      this.#tell("channelclosed");
    };
  }

  #beat() {
    this.sendText(ping(Date.now()));
  }

  #tell(type, detail) {
    if (!this.#isClosed) this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
