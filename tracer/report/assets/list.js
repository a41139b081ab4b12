// A list of very many lines of one height, of which only those in view are elements; and the strip beside it.

const ROW = 20; // pixels, as in the style
const SPARE = 12; // rows above and below the view

class Lines {
  // draw(index, element) fills a row, style(index, element) says what it is just now; marks() gives [index, colour name] for the strip; choose(index, again) is
  // called for a row that is clicked or entered, hover(index or -1) for one that is pointed at.
  constructor(host, { draw, style, marks, choose, hover }) {
    Object.assign(this, { host, draw, style, marks, choose, hover });
    this.count = 0;
    this.kept = new Map(); // rows that are elements now, by index
    this.active = 0;
    this.body = element("div", { class: "rows", role: "presentation" });
    this.strip = element("canvas", { class: "strip", "aria-hidden": "true" });
    host.append(this.body);
    host.after(this.strip);
    host.addEventListener("scroll", () => this.show());
    host.addEventListener("mousemove", (event) => this.point(this.at(event)));
    host.addEventListener("mouseleave", () => this.point(-1));
    host.addEventListener("click", (event) => {
      if (String(getSelection())) return; // text was selected
      const index = this.at(event);
      if (index >= 0) { this.go(index); this.choose(index, false); }
    });
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("focus", () => this.show());
    this.strip.addEventListener("click", (event) => {
      const box = this.strip.getBoundingClientRect();
      this.reveal(Math.floor(((event.clientY - box.top) / box.height) * this.count));
    });
    new ResizeObserver(() => this.show()).observe(host);
  }

  fill(count, widest) {
    this.count = count;
    this.active = Math.max(0, Math.min(this.active, count - 1));
    this.body.style.height = `${count * ROW}px`;
    this.body.style.minWidth = `calc(${widest}ch + 7.5em)`;
    this.pointed = -1;
    this.show(true);
  }

  at(event) {
    const index = Math.floor((event.clientY - this.body.getBoundingClientRect().top) / ROW);
    return index >= 0 && index < this.count ? index : -1;
  }

  point(index) {
    if (index === this.pointed) return;
    this.pointed = index;
    this.hover(index);
  }

  // Rows stay elements while they are in view, so that what is selected in them stays selected; unless `anew`.
  show(anew = false) {
    const top = this.host.scrollTop, height = this.host.clientHeight;
    const first = Math.max(0, Math.floor(top / ROW) - SPARE);
    const last = Math.min(this.count, Math.ceil((top + height) / ROW) + SPARE);
    for (const [index, row] of this.kept) {
      if (anew || index < first || index >= last) { row.remove(); this.kept.delete(index); }
    }
    for (let i = first; i < last; i += 1) {
      let row = this.kept.get(i);
      if (!row) {
        row = element("div", { class: "row", role: "option", id: `${this.host.id}-${i}`, style: `top:${i * ROW}px`, "aria-posinset": i + 1, "aria-setsize": this.count });
        this.draw(i, row);
        this.kept.set(i, row);
        this.body.append(row);
      }
      row.classList.toggle("active", i === this.active);
      row.setAttribute("aria-selected", i === this.active ? "true" : "false");
      this.style(i, row);
    }
    if (this.active >= first && this.active < last) this.host.setAttribute("aria-activedescendant", `${this.host.id}-${this.active}`);
    else this.host.removeAttribute("aria-activedescendant");
    this.paint();
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.strip;
    const scale = window.devicePixelRatio || 1;
    this.strip.width = width * scale;
    this.strip.height = height * scale;
    const pen = this.strip.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const view = Math.max(1, this.count * ROW);
    pen.fillStyle = style.getPropertyValue("--shade");
    if (this.count * ROW > this.host.clientHeight) {
      pen.fillRect(0, (this.host.scrollTop / view) * height, width, Math.max(8, (this.host.clientHeight / view) * height));
    }
    for (const [index, colour, lane] of this.marks()) {
      pen.fillStyle = style.getPropertyValue(`--${colour}`);
      const tall = Math.max(2, height / Math.max(1, this.count));
      pen.fillRect(lane ? width / 2 : 0, (index / this.count) * height, width / 2, Math.min(tall, ROW));
    }
  }

  reveal(index) {
    const top = index * ROW, { scrollTop, clientHeight } = this.host;
    if (top < scrollTop + ROW || top > scrollTop + clientHeight - 2 * ROW) {
      this.host.scrollTop = Math.max(0, top - clientHeight / 3);
    }
    this.show();
  }

  go(index) {
    if (this.count === 0) return;
    this.active = Math.max(0, Math.min(index, this.count - 1));
    const top = this.active * ROW, { scrollTop, clientHeight } = this.host;
    if (top < scrollTop) this.host.scrollTop = top;
    else if (top + 2 * ROW > scrollTop + clientHeight) this.host.scrollTop = top + 2 * ROW - clientHeight;
    this.show();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.host.clientHeight / ROW) - 2);
    const steps = { ArrowUp: -1, k: -1, ArrowDown: 1, j: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key in steps) { this.go(this.active + steps[event.key]); this.hover(this.active); }
    else if (event.key === "Enter" || event.key === " ") this.choose(this.active, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
