// The official client as an application would use it, with its events kept for the tests.

import { PipecatClient } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

const events = [];
const note = (name, data) => events.push({ name, data });

const transport = new SmallWebRTCTransport({
  // The default manager fetches a script from its vendor's servers; this one needs nothing.
  mediaManager: new WavMediaManager(),
});

function play(track) {
  note("bot-track");
  document.querySelector("audio").srcObject = new MediaStream([track]);
}

const client = new PipecatClient({
  transport,
  enableMic: true,
  enableCam: false,
  callbacks: {
    onTransportStateChanged: (state) => note("state", state),
    onConnected: () => note("connected"),
    onDisconnected: () => note("disconnected"),
    onBotReady: (data) => note("bot-ready", data),
    onBotDisconnected: () => note("bot-disconnected"),
    onBotStartedSpeaking: () => note("bot-started-speaking"),
    onBotStoppedSpeaking: () => note("bot-stopped-speaking"),
    onServerMessage: (data) => note("server-message", data),
    onError: (message) => note("error", message.data),
    onMessageError: (message) => note("message-error", message.data),
    onTrackStarted: (track, participant) => {
      if (!participant?.local && track.kind === "audio") play(track);
    },
  },
});

globalThis.official = {
  client,
  events,
  connect: () => client.startBotAndConnect({ endpoint: `${location.origin}/start`, requestData: { transport: "webrtc" } }),
  // An answer with an error is an envelope, which is nothing that could be thrown across to the tests.
  request: (kind, data) =>
    client.sendClientRequest(kind, data).then(
      (reply) => ({ reply }),
      (refusal) => ({ refusal: refusal?.data?.error ?? String(refusal) }),
    ),
  // As the client does it by itself when the network is lost. It does not report the new track, since the old one's
  // end, which comes later, deletes the new one from its books.
  restart: async () => {
    await transport.attemptReconnection(true);
    play(transport.pc.getReceivers()[0].track);
  },
};
document.body.dataset.loaded = "yes";
