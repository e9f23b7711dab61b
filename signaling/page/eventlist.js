/** The events of the data channel, as they came. */

const MOST = 300;
const MOST_SHOWN = 20000; // characters of an event that are shown; copying takes all

export class EventList {
  /** @type {{time: number, direction: string, text: string}[]} */
  events = [];

  /** @param {HTMLElement} list @param {HTMLElement} count */
  constructor(list, count) {
    Object.assign(this, { list, count });
  }

  clear() {
    this.events.length = 0;
    this.list.replaceChildren();
    this.count.textContent = "0";
  }

  /** @param {number} time Seconds. @param {"→" | "←" | "·"} direction @param {string} text */
  add(time, direction, text) {
    this.events.push({ time, direction, text });
    this.list.prepend(row(time, direction, text));
    if (this.events.length > MOST) {
      this.events.shift();
      this.list.lastChild.remove();
    }
    this.count.textContent = String(this.events.length);
  }

  /** All of them as lines of JSON. */
  get lines() {
    return this.events.map((each) => JSON.stringify(each)).join("\n");
  }
}

function row(time, direction, text) {
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  for (const content of [`${time.toFixed(2)} s`, direction, kind(text)]) {
    summary.appendChild(document.createElement("span")).textContent = content;
  }
  details.append(summary);
  // Most are never opened.
  details.addEventListener("toggle", () => {
    const whole = document.createElement("pre");
    whole.tabIndex = 0;
    whole.textContent = pretty(text).slice(0, MOST_SHOWN);
    details.append(whole);
  }, { once: true });
  item.append(details);
  return item;
}

function kind(text) {
  try { return String(JSON.parse(text).type ?? text); } catch { return text.slice(0, 200); }
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
