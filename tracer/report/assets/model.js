"use strict";
// The data of the report, decoded: programs of stages with their differences, places, numbers with units.

const DATA = JSON.parse(document.getElementById("data").textContent);

// Numbers ------------------------------------------------------------------------------------------

function digits(value) {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function counted(value) {
  if (value < 1000) return Number.isInteger(value) ? `${value} ` : `${digits(value)} `;
  let power = 0;
  while (value >= 999.5 && power < 6) { value /= 1000; power += 1; }
  return `${digits(value)} ${["", "k", "M", "G", "T", "P", "E"][power]}`;
}

const bytes = (value) => `${counted(value)}B`;
const flops = (value) => `${counted(value)}flop`;
const whole = (value) => value.toLocaleString("en");

function duration(seconds) {
  for (const [scale, unit] of [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]) {
    if (seconds >= 0.9995 * scale) return `${digits(seconds / scale)} ${unit}`;
  }
  return `${digits(seconds / 1e-9)} ns`;
}

function signed(difference, unit) {
  return difference === 0 ? "" : `${difference < 0 ? "−" : "+"}${unit(Math.abs(difference))}`;
}

// Programs -----------------------------------------------------------------------------------------

// The lines of each stage of a track, as numbers of texts; made when first asked for, from the stage before.
class Track {
  constructor(data) {
    this.name = data.name;
    this.stages = data.stages;
    this.known = [];
  }

  lines(stage) {
    for (let k = this.known.length; k <= stage; k += 1) {
      this.known.push(k === 0 ? applied([], this.stages[0].hunks) : applied(this.known[k - 1], this.stages[k].hunks));
    }
    return this.known[stage];
  }

  // Rows to show: [number of a text, 0 as it was, 1 added, -1 removed].
  rows(stage, changes) {
    const now = this.lines(stage);
    const out = [];
    if (stage === 0 || !changes) {
      for (const line of now) out.push([line, 0]);
      return out;
    }
    const before = this.lines(stage - 1);
    let at = 0;
    for (const [position, removed, inserted] of this.stages[stage].hunks) {
      for (; at < position; at += 1) out.push([before[at], 0]);
      for (; at < position + removed; at += 1) out.push([before[at], -1]);
      for (const line of inserted) out.push([line, 1]);
    }
    for (; at < before.length; at += 1) out.push([before[at], 0]);
    return out;
  }

  // How many lines a stage adds and removes.
  changed(stage) {
    let added = 0, removed = 0;
    if (stage > 0) for (const [, gone, inserted] of this.stages[stage].hunks) { added += inserted.length; removed += gone; }
    return [added, removed];
  }
}

function applied(before, hunks) {
  const out = [];
  let at = 0;
  for (const [position, removed, inserted] of hunks) {
    for (; at < position; at += 1) out.push(before[at]);
    for (const line of inserted) out.push(line);
    at = position + removed;
  }
  for (; at < before.length; at += 1) out.push(before[at]);
  return out;
}

const TRACKS = DATA.tracks.map((track) => new Track(track));

// Places -------------------------------------------------------------------------------------------

// The rows of a source file: {line, text}, or {gap} between stretches.
function sourceRows(file) {
  const out = [];
  for (const [begin, text] of file.parts) {
    if (begin > 1 && (out.length === 0 || out[out.length - 1].line !== begin - 1)) out.push({ line: 0, text: "⋯" });
    text.forEach((line, i) => out.push({ line: begin + i, text: line }));
  }
  return out;
}

const FILE_OF = new Map(DATA.files.map((file, k) => [file.path, k]));

function placeText(place) {
  const [file, line, name] = DATA.places[place];
  if (!line) return "no place in your source";
  const path = FILE_OF.has(file) ? DATA.files[FILE_OF.get(file)].name : file;
  return name && name !== "<module>" ? `${path}:${line} (${name})` : `${path}:${line}`;
}

// Elements -----------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

// An element with properties (class, text, and attributes) and children.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function drawing(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Text of a docstring, with `names` as code.
function prose(text) {
  return text.split("`").map((part, k) => (k % 2 ? element("code", { text: part }) : part)).filter((part) => part !== "");
}
