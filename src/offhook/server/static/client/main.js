// The page: wires its parts together. What happens in a call is decided in session.js.

import { CallPanel } from "./call.js";
import { Conversation } from "./conversation.js";
import { isMicrophoneGranted, listMicrophones, NO_MICROPHONE, onDevicesChanged, openMicrophone } from "./devices.js";
import { byId, element } from "./dom.js";
import { EventLog, kindOf } from "./log.js";
import { readQuality } from "./quality.js";
import { Session } from "./session.js";
import { Sound } from "./sound.js";
import { startThemeButton } from "./themes.js";
import { Timeline } from "./timeline.js";
import { Waterfall } from "./waterfall.js";

const QUALITY_EVERY_MS = 2000;
const NOT_LOGGED = new Set(["user-audio-level", "bot-audio-level"]);
const SPEAKING = {
  "user-started-speaking": "you",
  "user-stopped-speaking": "",
  "bot-started-speaking": "bot",
  "bot-stopped-speaking": "",
};

const panel = new CallPanel();
const sound = new Sound();
const conversation = new Conversation({ list: byId("turns"), empty: byId("conversation-empty") });
const waterfall = new Waterfall({ list: byId("steps"), empty: byId("start-empty"), total: byId("start-total") });
const log = new EventLog({
  list: byId("events"),
  empty: byId("events-empty"),
  search: byId("search"),
  filters: document.querySelectorAll(".filters [data-kind]"),
  copy: byId("copy"),
  clear: byId("clear"),
});

let session = null;
let track = null;
let isMuted = false;
let timeline = new Timeline();
let zero = 0;
let lastQuality = null;

const now = () => performance.now() - zero;

// Calling and hanging up

byId("dial").addEventListener("click", () => {
  if (session) session.end();
  else connect();
});
addEventListener("pagehide", () => session?.end());

async function connect() {
  const call = new Session();
  session = call;
  begin(call);
  const choice = byId("microphone").value;
  const asksNobody = choice === NO_MICROPHONE || (await isMicrophoneGranted());
  if (session === call && !asksNobody) panel.show("asking");
  const opening = openMicrophone(choice).then((opened) => adopt(call, opened));
  // Nobody should miss the greeting because a question is on the screen.
  if (!asksNobody) {
    await opening;
    zero = performance.now();
  }
  if (session === call) await call.start({ track: opening });
}

function begin(call) {
  zero = performance.now();
  timeline = new Timeline();
  lastQuality = null;
  panel.clear();
  panel.problem("");
  conversation.clear();
  log.clear();
  waterfall.draw(timeline);
  sound.start(() => {
    document.body.dataset.botAudio = "heard";
    mark("first_audio_heard");
  });
  panel.show("starting");
  listen(call);
  call.setMuted(isMuted);
}

/** Takes an opened microphone into the call, unless the call is over by now. */
async function adopt(call, { track: opened, problem }) {
  if (session !== call) {
    opened?.stop();
    return null;
  }
  track?.stop();
  track = opened;
  if (track) {
    track.enabled = !isMuted;
    track.addEventListener("ended", () => panel.problem("The microphone has gone. Choose another one."));
    mark("microphone_open");
  }
  sound.microphone(track);
  panel.problem(problem);
  panel.microphone(microphoneState());
  fillMicrophones();
  return track;
}

const microphoneState = () => (track === null ? "none" : isMuted ? "muted" : "on");

function finish(how) {
  log.add({ atMs: now(), kind: how.isFault ? "error" : "connection", from: "page", name: "ended", data: how.reason });
  session = null;
  track?.stop();
  track = null;
  sound.stop();
  conversation.finish(now());
  panel.ended(how);
  panel.microphone(isMuted ? "muted" : "on");
  allowTyping(false);
  byId("grade").textContent = "Not connected";
}

// What the session tells

function listen(call) {
  const on = (name, handle) =>
    call.addEventListener(name, ({ detail }) => {
      if (session === call) handle(detail);
    });
  on("state", ({ state, attempt }) => {
    panel.show(state, attempt);
    allowTyping(call.isLive);
    if (state !== "ended") log.add({ atMs: now(), kind: "connection", from: "page", name: state });
  });
  on("mark", mark);
  on("step", ({ step, at_s: atS }) => {
    timeline.serverStep(step, atS);
    waterfall.draw(timeline);
    log.add({ atMs: now(), kind: "connection", from: "server", name: step, data: `${(atS * 1000).toFixed(1)} ms` });
  });
  on("serverstate", (state) => log.add({ atMs: now(), kind: "connection", from: "server", name: `state ${state}` }));
  on("note", (text) => log.add({ atMs: now(), kind: "connection", from: "page", name: "note", data: text }));
  on("track", (remote) => sound.bot(remote));
  on("message", received);
  on("sent", ({ type, data }) => log.add({ atMs: now(), kind: kindOf(type), from: "you", name: type, data }));
  on("ended", finish);
}

function mark(name) {
  timeline.mark(name, now());
  waterfall.draw(timeline);
}

function received(message) {
  const { type, data } = message;
  if (!NOT_LOGGED.has(type)) log.add({ atMs: now(), kind: kindOf(type), from: "bot", name: type, data });
  if (type in SPEAKING) panel.speaking(SPEAKING[type]);
  conversation.receive(message, now());
}

// Typing

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("message").value.trim();
  const id = text && session?.sendText(text);
  if (!id) return;
  conversation.typed(id, text, now());
  byId("message").value = "";
});

function allowTyping(isAllowed) {
  byId("message").disabled = byId("send").disabled = !isAllowed;
  byId("message").placeholder = isAllowed ? "Type a message" : "Connect to type a message";
}

// Microphone

byId("mute").addEventListener("click", () => {
  isMuted = !isMuted;
  session?.setMuted(isMuted);
  if (track) track.enabled = !isMuted;
  panel.microphone(session ? microphoneState() : isMuted ? "muted" : "on");
});

byId("microphone").addEventListener("change", async ({ target }) => {
  const call = session;
  if (!call) return;
  await call.setTrack(await adopt(call, await openMicrophone(target.value)));
});

async function fillMicrophones() {
  const select = byId("microphone");
  const chosen = select.value;
  const found = (await listMicrophones()).map(({ id, label }, index) =>
    element("option", { value: id }, label || `Microphone ${index + 1}`),
  );
  const [standard, none] = [select.querySelector('[value=""]'), select.querySelector(`[value="${NO_MICROPHONE}"]`)];
  select.replaceChildren(standard, ...found, none);
  select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : "";
}

// Quality

async function measure() {
  const report = session?.isLive ? await session.stats() : null;
  if (!report) return;
  lastQuality = readQuality(report, lastQuality);
  const { grade, rttMs, lossPercent, jitterMs } = lastQuality;
  byId("grade").textContent = grade ?? "Measuring…";
  byId("grade").dataset.grade = (grade ?? "").toLowerCase();
  byId("rtt").textContent = figure(rttMs, "ms");
  byId("loss").textContent = figure(lossPercent, "%", 1);
  byId("jitter").textContent = figure(jitterMs, "ms");
}

const figure = (value, unit, digits = 0) => (value === null ? "–" : `${value.toFixed(digits)} ${unit}`);

setInterval(measure, QUALITY_EVERY_MS);
startThemeButton(byId("theme"), byId("theme-name"), () => sound.redraw());
onDevicesChanged(fillMicrophones);
fillMicrophones();
