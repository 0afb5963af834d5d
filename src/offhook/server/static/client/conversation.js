// The conversation on the page: one bubble a turn, and the line to type into.

import { element, isNearEnd, scrollToEnd } from "./dom.js";
import { Transcript } from "./transcript.js";

const NAMES = { you: "You", bot: "Bot" };
const UNSUPPORTED = /unsupported/i;

export class Conversation {
  #list;
  #empty;
  #bubbles = new Map();
  #transcript = new Transcript((turn) => this.#draw(turn));

  constructor({ list, empty }) {
    this.#list = list;
    this.#empty = empty;
  }

  receive(message, atMs) {
    this.#transcript.receive(message, atMs);
  }

  typed(id, text, atMs) {
    this.#transcript.typed(id, text, atMs);
  }

  finish(atMs) {
    this.#transcript.finish(atMs);
  }

  clear() {
    this.#transcript = new Transcript((turn) => this.#draw(turn));
    this.#bubbles.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  #draw(turn) {
    const follows = isNearEnd(this.#list);
    const bubble = this.#bubbles.get(turn.id) ?? this.#create(turn);
    bubble.dataset.open = turn.isOpen;
    bubble.querySelector(".said").textContent = turn.text || wordless(turn);
    bubble.querySelector(".said").classList.toggle("wordless", !turn.text);
    bubble.querySelector(".ahead").textContent = turn.pending ? ` ${turn.pending.trim()}` : "";
    bubble.querySelector(".aside").textContent = aside(turn);
    bubble.classList.toggle("refused", turn.problem !== "");
    if (follows) scrollToEnd(this.#list);
  }

  #create({ id, who }) {
    const text = element("p", { class: "text" }, element("span", { class: "said" }), element("span", { class: "ahead" }));
    const bubble = element(
      "li",
      { class: `turn ${who}`, "data-who": who },
      element("span", { class: "who" }, NAMES[who]),
      text,
      element("span", { class: "aside" }),
    );
    this.#bubbles.set(id, bubble);
    this.#list.append(bubble);
    this.#empty.hidden = true;
    return bubble;
  }
}

function wordless({ who, isOpen, pending, spokenMs }) {
  if (pending) return "";
  if (isOpen && spokenMs === null) return "…";
  const length = spokenMs === null ? "" : ` for ${(spokenMs / 1000).toFixed(1)} s`;
  return who === "you" ? `You spoke${length}` : `The bot spoke${length}`;
}

function aside({ problem, isTyped, isInterrupted }) {
  if (problem) return UNSUPPORTED.test(problem) ? "This bot does not take typed messages." : `Not taken: ${problem}`;
  if (isInterrupted) return "interrupted";
  return isTyped ? "typed" : "";
}
