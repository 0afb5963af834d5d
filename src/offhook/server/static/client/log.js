// The list of everything that happened, to be filtered, searched and copied.

import { element, isNearEnd, scrollToEnd } from "./dom.js";

const LIMIT = 1000;
const COPIED_FOR_MS = 1500;
const SPEECH = new Set([
  "user-started-speaking", "user-stopped-speaking", "bot-started-speaking", "bot-stopped-speaking",
  "bot-interrupted", "user-mute-started", "user-mute-stopped",
]);
const TEXT = new Set([
  "user-transcription", "user-input", "user-llm-text", "bot-transcription", "bot-output",
  "bot-tts-text", "bot-llm-text", "send-text",
]);
const ERRORS = new Set(["error", "error-response"]);

/** Which filter an RTVI message type belongs to. Pure. */
export function kindOf(type) {
  if (SPEECH.has(type)) return "speech";
  if (TEXT.has(type)) return "text";
  return ERRORS.has(type) ? "error" : "message";
}

export class EventLog {
  #list;
  #empty;
  #search;
  #hidden = new Set();

  constructor({ list, empty, search, filters, copy, clear }) {
    this.#list = list;
    this.#empty = empty;
    this.#search = search;
    for (const button of filters) button.addEventListener("click", () => this.#toggle(button));
    search.addEventListener("input", () => this.#filterAll());
    copy.addEventListener("click", () => this.#copy(copy));
    clear.addEventListener("click", () => this.clear());
  }

  /** @param {{atMs: number, kind: string, from: "you" | "bot" | "server" | "page", name: string, data?: any}} entry */
  add({ atMs, kind, from, name, data }) {
    const follows = isNearEnd(this.#list);
    const details = data === undefined ? "" : describe(data);
    const row = element(
      "li",
      { class: `event from-${from}`, "data-kind": kind, "data-name": name },
      element("time", {}, stamp(atMs)),
      element("span", { class: "source" }, from),
      element("span", { class: "name" }, name),
      element("span", { class: "details" }, details),
    );
    this.#filter(row);
    this.#list.append(row);
    if (this.#list.childElementCount > LIMIT) this.#list.firstElementChild.remove();
    this.#empty.hidden = true;
    if (follows) scrollToEnd(this.#list);
  }

  clear() {
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  #toggle(button) {
    const isShown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isShown));
    this.#hidden[isShown ? "delete" : "add"](button.dataset.kind);
    this.#filterAll();
  }

  #filterAll() {
    for (const row of this.#list.children) this.#filter(row);
    scrollToEnd(this.#list);
  }

  #filter(row) {
    const wanted = this.#search.value.trim().toLowerCase();
    const isFound = wanted === "" || row.textContent.toLowerCase().includes(wanted);
    row.hidden = this.#hidden.has(row.dataset.kind) || !isFound;
  }

  async #copy(button) {
    const rows = [...this.#list.children].filter(({ hidden }) => !hidden);
    const text = rows.map((row) => [...row.children].map((cell) => cell.textContent).join("\t").trim()).join("\n");
    const label = button.textContent;
    button.textContent = (await copyText(text)) ? "Copied" : "Not allowed";
    setTimeout(() => {
      button.textContent = label;
    }, COPIED_FOR_MS);
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** What an entry carries: its words if words are all that matters, else the whole of it. */
function describe(data) {
  if (typeof data !== "object" || data === null) return String(data);
  const words = data.text ?? data.content ?? data.error;
  if (typeof words === "string") return data.final === false ? `${words} …` : words;
  return Object.keys(data).length === 0 ? "" : JSON.stringify(data);
}

function stamp(atMs) {
  const seconds = atMs / 1000;
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
}
