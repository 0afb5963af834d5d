// The few DOM helpers that several parts need.

const NEAR_PX = 48;

/** `element("li", { class: "x", "data-y": "z" }, "text or nodes…")`; text is never taken as HTML. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Whether the reader is at the end of a scrolled list, and so wants to see what comes. */
export const isNearEnd = (node) => node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_PX;

export function scrollToEnd(node) {
  node.scrollTop = node.scrollHeight;
}

/** 83_456 → "1:23" */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
