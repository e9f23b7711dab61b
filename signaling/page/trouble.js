/** What can go wrong with a call, in the words of who has to do something about it. */

export class Trouble extends Error {
  /**
   * @param {string} kind For programs.
   * @param {string} what What happened.
   * @param {string} remedy What to do about it.
   * @param {{said?: string, retryAfter?: number, passing?: boolean}} more What the server said to it;
   *   seconds after which it may be tried again; whether it may pass by itself.
   */
  constructor(kind, what, remedy, { said = "", retryAfter = 0, passing = false } = {}) {
    super([what, said, remedy].filter(Boolean).join(" "));
    Object.assign(this, { kind, what, remedy, said, retryAfter, passing });
  }
}

export function insecure(origin) {
  return new Trouble(
    "insecure",
    `The browser gives the microphone only to pages from https:// or from localhost, and this one came from ${origin}.`,
    "Open it at http://localhost on the machine that serves it (for another machine: ssh -L 8080:localhost:8080 HOST), " +
      "or serve it over HTTPS: behind a proxy, or by icelane up --tls-self-signed.");
}

export function switchedOff() {
  return new Trouble(
    "switched_off", "This browser places no calls: it has no WebRTC, or that is switched off.",
    "Switch on what disables it, such as a setting, an extension or a policy, or use another browser.");
}

const MICROPHONE = {
  NotAllowedError: [
    "microphone_denied", "The microphone was refused.",
    "Allow it for this page, at the left of the browser's address bar, then press Talk again."],
  NotFoundError: ["microphone_missing", "There is no microphone.", "Plug one in, then press Talk again."],
  NotReadableError: [
    "microphone_busy", "The microphone is in use by another program.", "Close that program, then press Talk again."],
};

export function microphone(error) {
  const known = MICROPHONE[error.name];
  if (known) return new Trouble(...known);
  return new Trouble("microphone", `The microphone cannot be opened: ${error.message}.`, "Check it in the system's settings.");
}

export function microphoneGone() {
  return new Trouble("microphone_gone", "The microphone was unplugged or taken away.", "Bring it back, then press Talk again.");
}

export function silentServer(origin) {
  if (!navigator.onLine) {
    return new Trouble("offline", "This device is not connected to a network.", "Connect it, then press Talk again.", { passing: true });
  }
  return new Trouble(
    "server", `The signaling server at ${origin} does not answer.`,
    "Check that Icelane runs there, and that your network lets you reach it.", { passing: true });
}

/** The trouble that an HTTP answer other than 2xx means. */
export function refused({ status, body, retryAfter, hadKey }) {
  let error = {};
  try { error = JSON.parse(body).error ?? {}; } catch { /* no JSON: the status has to do */ }
  const more = { said: typeof error.message === "string" ? error.message : "", retryAfter };
  if (status === 401) {
    return hadKey
      ? new Trouble("key", "The server does not accept this API key.", "Check it, or ask for another one.", more)
      : new Trouble("key", "The server asks for an API key.", "Enter it above; it goes to this server only.", more);
  }
  if (status === 403) {
    return new Trouble("forbidden", "This API key may not do that.", "Choose another back end, or enter another key above.", more);
  }
  if (status === 429) {
    return new Trouble("too_many", "You have too many calls, or call too often.", again(retryAfter), { ...more, passing: true });
  }
  if (status === 503) {
    return new Trouble("busy", "The server has no room for a call now.", again(retryAfter), { ...more, passing: true });
  }
  if (error.code === "no_codec") {
    return new Trouble(
      "codec", "Your browser and the server know no audio codec in common.",
      "Use a browser with Opus, or switch on what disables it: an extension or a policy.", more);
  }
  if (status >= 400 && status < 500) {
    return new Trouble("refused", `The server refused the call (${status}).`, "If your browser is up to date, tell the operator.", more);
  }
  return new Trouble("server", `The server failed (${status}).`, "Try again; if it fails again, tell the operator.", { ...more, passing: true });
}

function again(seconds) {
  return seconds ? `Try again in ${seconds} s.` : "Try again in a moment.";
}

export function unusableAnswer(error) {
  return new Trouble("answer", `The browser does not accept the server's answer: ${error.message}.`, "Tell the operator.");
}

/** @param {string[]} advertised The candidates of the answer, as host:port. */
export function noPath(advertised) {
  const where = advertised.join(", ") || "any address";
  return new Trouble(
    "no_path", `No packet came back from the relay at ${where}.`,
    advertised.some((each) => /^(127\.|\[::1\])/.test(each))
      ? "That is a loopback address, which browsers do not use for calls: start Icelane with the address of a network interface."
      : "A firewall may block UDP: let it through to that address, or use another network.",
    { passing: true });
}

export function lost() {
  return new Trouble("lost", "The connection to the relay was lost.", "Press Talk to call again.", { passing: true });
}
