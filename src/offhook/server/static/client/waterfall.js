// Draws the timeline of the start: a row for each step, its bar where and as long as it took.

import { element } from "./dom.js";

const SIDES = { page: "this page", server: "server" };

export class Waterfall {
  #list;
  #empty;
  #total;

  constructor({ list, empty, total }) {
    this.#list = list;
    this.#empty = empty;
    this.#total = total;
  }

  draw(timeline) {
    const rows = timeline.rows();
    const endMs = Math.max(1, ...rows.map(({ atMs }) => atMs));
    this.#list.replaceChildren(...rows.map((row) => step(row, endMs)));
    this.#empty.hidden = rows.length > 0;
    const { firstAudioMs } = timeline;
    this.#total.textContent = firstAudioMs === null ? "" : `${Math.round(firstAudioMs)} ms to first audio`;
  }
}

function step({ side, name, label, startMs, atMs }, endMs) {
  const bar = element("span", { class: "bar" });
  bar.style.setProperty("--from", (Math.max(0, startMs) / endMs).toFixed(4));
  bar.style.setProperty("--to", (Math.max(0, atMs) / endMs).toFixed(4));
  const took = (atMs - startMs).toFixed(1);
  const about = `${label} (${SIDES[side]}): took ${took} ms, done ${Math.round(atMs)} ms after the click`;
  return element(
    "li",
    { class: `step ${side}`, "data-step": name, "data-side": side, title: about },
    element("span", { class: "label", "aria-hidden": "true" }, label),
    element("span", { class: "track", "aria-hidden": "true" }, bar),
    element("span", { class: "took", "aria-hidden": "true" }, took),
    element("span", { class: "visually-hidden" }, about),
  );
}
