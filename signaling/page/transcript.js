/** Shows a conversation. */

const WHO = { user: "You", assistant: "Other side", tool: "Function", note: "" };
const PENDING = "…";
const UNWRITTEN = "(spoken)";
const NEAR_END = 60; // pixels

export class Transcript {
  #rows = new Map();
  #follows = true; // whoever reads further up is left there

  /**
   * @param {HTMLElement} view What scrolls.
   * @param {HTMLElement} list Where lines are shown.
   * @param {HTMLElement} empty What is shown where there are none.
   * @param {HTMLElement} said What a screen reader is told, one whole line at a time.
   */
  constructor(view, list, empty, said) {
    Object.assign(this, { view, list, empty, said });
    view.addEventListener("scroll", () => { this.#follows = this.#isNearEnd(); });
    new ResizeObserver(() => this.#follow()).observe(view); // such as of a phone that is turned
  }

  /** @param {import("./conversation.js").Line[]} changed */
  show(conversation, changed) {
    for (const line of changed) this.#show(conversation, line);
    for (const [line, row] of this.#rows) {
      if (conversation.lines.includes(line)) continue;
      row.remove();
      this.#rows.delete(line);
    }
    this.empty.hidden = this.#rows.size > 0;
    this.view.hidden = !this.empty.hidden;
    this.#follow();
  }

  #isNearEnd() {
    const { view } = this;
    return view.scrollHeight - view.scrollTop - view.clientHeight < NEAR_END;
  }

  #follow() {
    if (this.#follows) this.view.scrollTop = this.view.scrollHeight;
  }

  #show(conversation, line) {
    let row = this.#rows.get(line);
    if (!row) {
      row = document.createElement("li");
      row.append(document.createElement("b"), document.createElement("span"));
      row.firstChild.textContent = WHO[line.who];
      this.#rows.set(line, row);
      const next = conversation.lines[conversation.lines.indexOf(line) + 1];
      this.list.insertBefore(row, this.#rows.get(next) ?? null);
    }
    const before = row.dataset.state;
    row.className = line.who;
    row.dataset.state = line.state;
    row.lastChild.textContent = line.text.trim() || (line.state === "live" ? PENDING : UNWRITTEN);
    if (line.state === "cut") row.lastChild.append(" (interrupted)");
    if (line.state !== "live" && before !== line.state) this.#tell(line);
  }

  #tell(line) {
    const spoken = document.createElement("p");
    spoken.textContent = [WHO[line.who], line.text].filter(Boolean).join(": ");
    this.said.append(spoken);
    while (this.said.childElementCount > 5) this.said.firstChild.remove();
  }
}
