/** Joins the page's elements, the phone and the conversation. */

import { Conversation } from "./conversation.js";
import { EventList } from "./eventlist.js";
import { STEPS, forwarder, inWords, verdict } from "./facts.js";
import { Phone } from "./phone.js";
import { backEnds, canKeep, relays, useKey } from "./server.js";
import { Transcript } from "./transcript.js";
import { Turns, newId } from "./turns.js";

const $ = (id) => document.getElementById(id);
const TOLD = 500; // ms between two values of a level for screen readers
const RECENT = 20; // looks at the statistics, which the verdict is of: 10 s
const SETTLED = 50; // packets: the first ones find no buffer that is filled
const FACTS = ["remote", "forwarder", "rtt", "lost", "lost-there", "concealed", "jitter", "packets"];

// What tests and the curious look at.
const icelane = window.icelane = {
  pc: null, channel: null, state: "idle", error: null, location: null,
  setup: {},      // ms since the call was begun, by step: see STEPS
  statistics: {}, // as of the last look: see readFacts
  events: [],     // the data channel's log: {time, direction, text}
  start, stop,
};
const conversation = new Conversation();
const transcript = new Transcript($("transcript"), $("lines"), $("transcript-empty"), $("said"));
const eventList = new EventList($("log"), $("event-count"));
const phone = new Phone({ state, step, stream, open, message, note, facts, lost });
const turns = new Turns(conversation, { send, microphone: () => phone.microphone, hint: note });
let began = performance.now(); // of events
let told = 0;
let readyAgain = 0;
let recent = []; // facts, oldest first
let session = null; // the id of the back end's session
let isNew = false; // the channel, on which the back end has not greeted yet
let known = []; // the relays, as the server tells of them

function start() {
  if (phone.busy) return;
  began = performance.now();
  eventList.clear();
  conversation.clear();
  session = null;
  show([]);
  clearFacts();
  icelane.statistics = {};
  phone.start($("model").value);
}

function stop() {
  phone.stop();
}

function state(text) {
  Object.assign(icelane, {
    state: phone.state, error: phone.trouble?.message ?? null, setup: phone.setup,
    pc: phone.call?.pc ?? null, channel: phone.call?.channel ?? null, location: phone.call?.location ?? null,
  });
  const { busy } = phone;
  const connected = phone.state === "connected";
  document.body.dataset.state = phone.state;
  $("state").textContent = connected ? invitation() : text;
  $("call").toggleAttribute("data-busy", busy);
  $("call-label").textContent = busy ? "Hang up" : "Talk";
  $("model").disabled = busy;
  $("controls").hidden = !busy;
  for (const id of ["hold", "interrupt", "text", "send"]) $(id).disabled = !connected;
  clearTimeout(readyAgain);
  complain(phone.trouble);
  if (phone.state === "connecting" || connected) turns.apply();
  if (busy) draw();
  else rest();
}

function invitation() {
  if (turns.hold) return "Connected: hold the button and speak";
  return turns.muted ? "Connected: your microphone is muted" : "Connected: say something";
}

function rest() {
  show(conversation.over());
  showLevels(0, 0);
  if (icelane.statistics.sent) $("verdict").textContent = "These were the figures of the last call.";
}

function lost() {
  show(conversation.over());
  $("verdict").textContent = "The connection was lost; these were its figures.";
  $("steps-title").textContent = "Time to connect";
  note("The connection was lost; calling again.");
}

function complain(trouble) {
  if (trouble?.kind === "key" || trouble?.kind === "forbidden") $("key-form").hidden = false;
  if (trouble && !trouble.remedy) { console.error(trouble); }
  $("message").replaceChildren(...[trouble?.what ?? trouble?.message, trouble?.said, trouble?.remedy].filter(Boolean).map((text) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return paragraph;
  }));
  if (trouble?.retryAfter) {
    readyAgain = setTimeout(() => { $("state").textContent = "You can try again now"; }, trouble.retryAfter * 1000);
  }
}

function step(name) {
  icelane.setup = phone.setup;
  icelane.location = phone.call?.location ?? null;
  $("id").textContent = icelane.location?.split("/").pop() ?? "–";
  showSteps(phone.setup);
  if (name !== "connected") return;
  recent = [];
  if (phone.again && session === null) note("Connected again.");
  relays().then((listed) => { known = listed; });
}

/** The back end has greeted a call: with the session of before, or with one that knows nothing. */
function greeted(id) {
  const before = session;
  session = id ?? null;
  if (!isNew) return; // the transceiver was connected to it again, and has told it
  isNew = false;
  if (!phone.again || before === null) return;
  if (id === before) return note("Connected again; the conversation goes on.");
  const said = conversation.begunAnew(newId);
  turns.tell(said);
  note(said.length ? "Connected again. The other side began anew, and was told what had been said." : "Connected again.");
}

function showSteps(setup) {
  const all = Math.max(1, ...Object.values(setup));
  let before = 0;
  $("steps").replaceChildren(...Object.entries(STEPS).filter(([name]) => name in setup).map(([name, words]) => {
    const row = document.createElement("li");
    const [label, bar, time] = ["span", "i", "span"].map((tag) => row.appendChild(document.createElement(tag)));
    label.textContent = words;
    time.textContent = `${setup[name] - before} ms`;
    bar.style.setProperty("--from", before / all);
    bar.style.setProperty("--share", (setup[name] - before) / all);
    before = setup[name];
    return row;
  }));
  if ("connected" in setup) {
    $("steps-title").textContent = `Time to connect: ${setup.connected - setup.microphone} ms`;
  }
}

function clearFacts() {
  for (const id of [...FACTS, "id"]) $(id).textContent = "–";
  $("verdict").textContent = "There are no figures yet.";
  $("steps-title").textContent = "Time to connect";
  $("steps").replaceChildren();
}

function facts(read) {
  icelane.statistics = read;
  for (const [id, words] of Object.entries(inWords(read))) $(id).textContent = words;
  $("forwarder").textContent = forwarder(read.remote, known);
  if (phone.state !== "connected") return;
  if (read.received >= SETTLED) recent = [...recent.slice(-RECENT), read];
  $("verdict").textContent = recent.length > 1 ? verdict(recent[0], read) : "Connected; there are no figures yet.";
}

function stream(heard) {
  $("audio").srcObject = heard;
}

function open() {
  log("·", "open");
  isNew = true;
  turns.begin();
  showHeld();
}

function message(data) {
  if (typeof data !== "string") return log("←", `${data.byteLength ?? data.size} bytes`);
  log("←", data);
  let event;
  try { event = JSON.parse(data); } catch { return; }
  if (typeof event?.type !== "string") return;
  if (event.type === "session.created") greeted(event.session?.id);
  if (!turns.isOwn(event)) show(conversation.take(event));
  turns.take(event);
  $("interrupt").toggleAttribute("data-useful", conversation.responding || conversation.speaking);
}

function send(event) {
  const text = JSON.stringify(event);
  const sent = phone.send(text);
  if (sent) log("→", text);
  return sent;
}

function log(direction, text) {
  eventList.add((performance.now() - began) / 1000, direction, text);
  icelane.events = eventList.events;
}

function note(text) {
  if (phone.state === "connected" || phone.state === "reconnecting") show([conversation.note(text)]);
}

function show(changed) {
  transcript.show(conversation, changed);
}

let frame = 0;
function draw() {
  cancelAnimationFrame(frame);
  if (!phone.busy) return;
  if (phone.levels) showLevels(phone.levels.level("spoken"), phone.levels.level("heard"));
  frame = requestAnimationFrame(draw);
}

function showLevels(spoken, heard) {
  $("spoken").style.setProperty("--level", spoken);
  $("heard").style.setProperty("--level", heard);
  $("call").style.setProperty("--heard", heard);
  if (performance.now() - told < TOLD && phone.busy) return;
  told = performance.now();
  $("spoken").ariaValueNow = Math.round(spoken * 100);
  $("heard").ariaValueNow = Math.round(heard * 100);
}

async function listBackEnds() {
  try {
    const names = await backEnds();
    const chosen = $("model").value;
    // Nobody says which one the server would take: to send no name leaves that to it.
    $("model").replaceChildren(new Option("The server's default", ""), ...names.map((name) => new Option(name, name, false, name === chosen)));
    $("back-ends").hidden = names.length < 2;
  } catch (error) {
    complain(error);
  }
}

function chooseMode() {
  const hold = $("mode-hold").checked;
  turns.choose(hold);
  $("hold").hidden = $("hold-hint").hidden = !hold;
  $("mute").hidden = hold;
  if (phone.state === "connected") $("state").textContent = invitation();
  showHeld();
}

function showHeld() {
  $("hold").ariaPressed = turns.held;
  $("hold").textContent = turns.held ? "Listening" : "Hold to talk";
}

function press() {
  turns.press();
  showHeld();
}

function release() {
  turns.release();
  showHeld();
}

function holdBy(button) {
  button.onpointerdown = (event) => {
    button.setPointerCapture(event.pointerId);
    press();
  };
  button.onpointerup = button.onpointercancel = release;
  button.oncontextmenu = (event) => event.preventDefault(); // a long touch
  button.onkeydown = (event) => {
    if (event.key === "Enter" && !event.repeat) press();
  };
  button.onkeyup = (event) => {
    if (event.key === "Enter") release();
  };
  // Screen readers and switches click, and cannot hold.
  button.onclick = ({ detail, pointerType }) => {
    if (detail === 0 && !pointerType && !fromKey) (turns.held ? release : press)();
  };
}

// The space bar is the button from wherever it has no other meaning.
let fromKey = false;
const TAKES_SPACE = "input, select, textarea, summary, button:not(#hold), a";
document.addEventListener("keydown", (event) => {
  fromKey = event.key === " " || event.key === "Enter";
  if (event.key !== " " || !turns.hold || phone.state !== "connected" || event.target.closest(TAKES_SPACE)) return;
  event.preventDefault();
  if (!event.repeat) press();
});
document.addEventListener("keyup", (event) => {
  if (event.key === " " && turns.held) release();
  setTimeout(() => { fromKey = false; }); // a key's click comes with it
});
window.addEventListener("blur", release);

$("call").onclick = () => (phone.busy ? stop() : start());
$("mode-free").onchange = $("mode-hold").onchange = chooseMode;
holdBy($("hold"));
$("mute").onclick = () => {
  turns.mute(!turns.muted);
  $("mute").ariaPressed = turns.muted;
  $("mute").textContent = turns.muted ? "Muted" : "Mute";
  if (phone.state === "connected") $("state").textContent = invitation();
};
$("interrupt").onclick = () => turns.interrupt();
$("text-form").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  const id = text && turns.write(text);
  if (!id) return;
  show([conversation.wrote(id, text)]);
  $("text").value = "";
};
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  useKey($("key").value, $("key-keep").checked);
  $("key").value = "";
  $("key-form").hidden = true;
  complain(null);
  $("call").focus();
  listBackEnds();
};
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(eventList.lines);
    $("copied").textContent = "The events have been copied.";
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy all"; }, 2000);
  } catch {
    $("copied").textContent = "The browser does not let this page copy.";
    $("copy").textContent = "Not allowed";
  }
};
window.addEventListener("pagehide", stop);
$("key-keep").parentElement.hidden = !canKeep();
chooseMode();
listBackEnds();
