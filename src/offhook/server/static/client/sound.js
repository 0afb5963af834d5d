// Plays the bot and measures both voices. The first call must come out of a click.

import { byId } from "./dom.js";
import { Lanes } from "./lanes.js";
import { Meter } from "./meters.js";

const TICK_MS = 25;
// All of these in ticks.
const METERS_EVERY = 2;
const LANES_EVERY = 4;
const CALMLY_EVERY = 8;
const ANNOUNCED_EVERY = 40;
/** Louder than this is a voice, not the noise of a line. */
const AUDIBLE = 0.1;

export class Sound {
  #context = null;
  #player = byId("bot-audio");
  #unlock = byId("unlock");
  #lanes = new Lanes(byId("lanes"));
  #meters = { you: null, bot: null };
  #levels = { you: 0, bot: 0 };
  #peaks = { you: 0, bot: 0 };
  #ticker = null;
  #ticks = 0;
  #onFirstAudio = null;
  #isCalm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor() {
    this.#unlock.addEventListener("click", () => this.#play());
  }

  /** To be called in the handler of a click, before anything is awaited. */
  start(onFirstAudio) {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    this.#context.resume();
    this.#onFirstAudio = onFirstAudio;
    this.#lanes.clear();
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Measures this microphone; null: none. */
  microphone(track) {
    this.#measure("you", track);
  }

  bot(track) {
    this.#player.srcObject = new MediaStream([track]);
    this.#play();
    this.#measure("bot", track);
  }

  stop() {
    clearInterval(this.#ticker);
    this.#ticker = null;
    for (const who of ["you", "bot"]) {
      this.#measure(who, null);
      this.#show(who, 0);
      this.#announce(who, 0);
    }
    this.#player.srcObject = null;
    this.#unlock.hidden = true;
    document.body.style.setProperty("--bot-level", "0");
  }

  /** Colours may have changed. */
  redraw() {
    this.#lanes.draw();
  }

  #measure(who, track) {
    this.#meters[who]?.close();
    this.#meters[who] = track && this.#context ? new Meter(this.#context, track) : null;
  }

  async #play() {
    try {
      await this.#player.play();
      this.#unlock.hidden = true;
    } catch (error) {
      // Anything else only says that a newer track has taken this one's place.
      if (error.name === "NotAllowedError") this.#unlock.hidden = false;
    }
  }

  #tick() {
    this.#ticks += 1;
    for (const who of ["you", "bot"]) {
      const level = this.#meters[who]?.level() ?? 0;
      this.#levels[who] = level;
      this.#peaks[who] = Math.max(this.#peaks[who], level);
      if (who === "bot" && level > AUDIBLE) this.#heard();
    }
    if (this.#isDue(METERS_EVERY)) this.#drawMeters();
    if (this.#isDue(LANES_EVERY)) this.#drawLanes();
  }

  /** Those who want it calm see everything change more rarely. */
  #isDue(every) {
    return this.#ticks % (this.#isCalm.matches ? CALMLY_EVERY : every) === 0;
  }

  #drawMeters() {
    for (const who of ["you", "bot"]) this.#show(who, this.#levels[who]);
    const halo = this.#isCalm.matches ? 0 : this.#levels.bot;
    document.body.style.setProperty("--bot-level", halo.toFixed(3));
    if (this.#ticks % ANNOUNCED_EVERY === 0) for (const who of ["you", "bot"]) this.#announce(who, this.#levels[who]);
  }

  #drawLanes() {
    this.#lanes.push(this.#peaks.you, this.#peaks.bot);
    this.#peaks = { you: 0, bot: 0 };
  }

  #show(who, level) {
    byId(`level-${who}`).style.setProperty("--level", level.toFixed(3));
  }

  #announce(who, level) {
    byId(`level-${who}`).setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }

  #heard() {
    this.#onFirstAudio?.();
    this.#onFirstAudio = null;
  }
}
