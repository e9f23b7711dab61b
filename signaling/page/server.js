/** The routes of the signaling server, and the API key for them. */

import { refused, silentServer } from "./trouble.js";

const CALLS = "/v1/realtime/calls";
const MODELS = "/v1/models";
const RELAYS = "/v1/relays";
const RESUME = "Icelane-Resume";
const KEPT = "icelane-key"; // in sessionStorage, and there only if that was asked for
const HANG_UP_LIMIT = 1000; // ms

let key = kept();

export function hasKey() {
  return key !== "";
}

/** Use a key, and keep it until the tab is closed if that is wanted. */
export function useKey(value, keep) {
  key = value.trim();
  try {
    if (keep) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
  } catch { /* it is forgotten with the page */ }
}

/** The key that was kept. A browser that blocks all cookies throws where storage is but named. */
function kept() {
  try { return sessionStorage.getItem(KEPT) ?? ""; } catch { return ""; }
}

/** Whether a key can be kept at all. */
export function canKeep() {
  try { return Boolean(sessionStorage); } catch { return false; }
}

/** The names of the back ends; none where the server has one without a name. */
export async function backEnds() {
  const response = await ask(MODELS);
  if (response.status === 404) return [];
  const { data } = await accepted(response).then((each) => each.json());
  return Array.isArray(data) ? data.map((each) => String(each.id)) : [];
}

/** The relays that answers advertise: {udp, tcp, dataplane}; none where the server does not say. */
export async function relays() {
  try {
    const { data } = await accepted(await ask(RELAYS)).then((each) => each.json());
    return Array.isArray(data) ? data : [];
  } catch { return []; } // it is nice to know
}

/**
 * Offer a call.
 * @param {string} resume The token of the call whose conversation goes on; empty for a new one.
 * @returns {Promise<{answer: string, location: string, resume: string}>} The last is its own token.
 */
export async function place(offer, model, resume, signal) {
  const form = new FormData();
  form.append("sdp", offer);
  form.append("session", JSON.stringify({ type: "realtime", ...(model && { model }) }));
  const shown = { ...headers(), ...(resume && { [RESUME]: resume }) };
  const response = await accepted(await ask(CALLS, { method: "POST", body: form, headers: shown, signal }));
  const [location, own] = ["Location", RESUME].map((name) => response.headers.get(name));
  return { answer: await response.text(), location, resume: own ?? "" };
}

// Closing the connection ends a call, too; but the far end then has to guess why.
export async function hangUp(location, goesOn = false) {
  try {
    await fetch(`${location}/hangup${goesOn ? "?keep=true" : ""}`, {
      method: "POST", headers: headers(), keepalive: true, signal: AbortSignal.timeout(HANG_UP_LIMIT),
    });
  } catch { /* the connection is closed in any case */ }
}

function headers() {
  return hasKey() ? { Authorization: `Bearer ${key}` } : {};
}

async function ask(path, options = {}) {
  try {
    return await fetch(path, { headers: headers(), ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw silentServer(location.origin);
  }
}

async function accepted(response) {
  if (response.ok) return response;
  throw refused({
    status: response.status,
    body: await response.text(),
    retryAfter: seconds(response.headers.get("Retry-After")),
    hadKey: hasKey(),
  });
}

/** Retry-After (RFC 9110, section 10.2.3) is a number of seconds or a date. */
function seconds(retryAfter) {
  if (!retryAfter) return 0;
  const wait = /^\d+$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isFinite(wait) ? Math.max(0, Math.ceil(wait)) : 0;
}
