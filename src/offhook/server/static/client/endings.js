// Why a conversation ended, in words for the person who was in it. Pure.

import { HttpError, UnreachableError } from "./signaling.js";

/** @typedef {{reason: string, title: string, words: string, hint: string, isFault: boolean}} Ending */

const KNOWN = {
  client_left: ["You hung up", "The conversation is over.", "", false],
  bot_finished: ["The bot said goodbye", "The bot ended the conversation.", "", false],
  bot_crashed: ["The bot crashed", "The bot stopped unexpectedly.", "Other conversations are not affected. Connecting again starts a fresh bot."],
  bot_error: ["The bot gave up", "The bot reported an error that it could not get over.", "Connecting again starts a fresh bot."],
  bot_unresponsive: ["The bot stopped responding", "The bot hung and was ended.", "Connecting again starts a fresh bot."],
  memory_limit: ["The bot was stopped", "The bot used more memory than it may.", "Connecting again starts a fresh bot."],
  time_limit: ["Time is up", "The longest time that a conversation may take is over.", "You can connect again.", false],
  idle: ["It went quiet", "Nobody said anything for a long time.", "You can connect again.", false],
  never_connected: ["No connection", "No audio connection to the bot came about.", "A firewall may block UDP between this browser and the server."],
  handshake_timeout: ["The bot was not ready", "The bot never said that it was ready.", "Connecting again starts a fresh bot."],
  client_lost: ["Connection lost", "The server did not hear from this page for too long.", "Check the network, then connect again."],
  connection_lost: ["Connection lost", "The connection broke and could not be brought back.", "Check the network, then connect again."],
  no_worker: ["No bot available", "No bot process could be started in time.", "Try again in a moment."],
  refused_busy: ["All lines are busy", "The server has as many conversations as it may.", "Try again in a moment."],
  refused_auth: ["Not allowed", "The server wants to know who you are.", "Sign in first."],
  drained: ["The server is shutting down", "It takes no more calls.", "Try again in a moment."],
  stopped_by_operator: ["Ended by an operator", "Somebody who looks after the server ended the conversation.", "", false],
  host_lost: ["The bot's machine was lost", "The machine that ran the bot cannot be reached any more.", "Connecting again starts a fresh bot."],
  answer_timeout: ["The bot took too long", "It did not pick up in time.", "Try again in a moment."],
  answer_failed: ["The bot could not pick up", "Its process could not answer the call.", "Try again in a moment."],
  bot_failed: ["The bot could not pick up", "It ended before it could answer.", "Try again in a moment."],
  no_template: ["No bot available", "The bot's file could not be loaded.", "The server's log says why."],
  bad_offer: ["No connection", "The server could not use what this browser offered.", ""],
  session_ended: ["The call is over", "The server has ended it already.", "You can connect again."],
  unknown_session: ["The call is over", "The server does not know it any more.", "You can connect again."],
  origin_refused: ["Not allowed from here", "The server takes no calls from pages of this origin.", ""],
  server_unreachable: ["The server does not answer", "It may be down, or the network is.", "Check that the server is running, then connect again."],
  refused: ["The server said no", "It would not open a conversation.", ""],
  unexpected: ["Something went wrong", "The page could not go on.", "Reload the page if connecting again does not help."],
};
/** What a request is refused with, and the ending that it amounts to. */
const SAME_AS = { busy: "refused_busy", draining: "drained" };
// What the server calls the caller is, on this page, you.
const OUR_OWN_WORDS = new Set(["client_left", "client_lost", "never_connected"]);

/** @returns {Ending} */
export function ending(reason, { words = "", hint = "" } = {}) {
  const [title, ownWords, ownHint, isFault = true] = KNOWN[reason] ?? [readable(reason), "The conversation is over.", ""];
  const said = OUR_OWN_WORDS.has(reason) ? ownWords : words || ownWords;
  return { reason, title, words: said, hint: hint || ownHint, isFault };
}

/** The server's `end` event; `fatal` is what the bot itself had said, if anything. @returns {Ending} */
export function endingFromServer({ end_reason: reason = "unexpected", end_words: words = "" }, fatal = "") {
  const told = ending(reason, { words });
  if (fatal && !told.words.includes(fatal)) told.words = `${told.words} ${fatal}`;
  return told;
}

/** A request that failed. @returns {Ending} */
export function endingFromError(error) {
  if (error instanceof UnreachableError) return ending("server_unreachable");
  if (error instanceof HttpError) {
    const reason = SAME_AS[error.code] ?? error.code;
    const known = KNOWN[reason] ? reason : "refused";
    return { ...ending(known, { words: error.detail, hint: error.hint }), reason };
  }
  return ending("unexpected", { words: String(error?.message ?? error) });
}

const readable = (reason) => (reason.charAt(0).toUpperCase() + reason.slice(1)).replaceAll("_", " ");
