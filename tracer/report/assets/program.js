// The user's source and the program side by side: highlighting both ways, stages, changes, search.

const view = {
  track: TRACKS[0], stage: 0, changes: true, rows: [], rowsOf: new Map(), defined: new Map(),
  file: 0, source: [], placesAt: [], sourceAt: new Map(),
  chosen: null, pointed: null, // {pane, index, places: Set}
  query: "", matches: [], match: -1,
};

// Highlighting of text -----------------------------------------------------------------------------

const IR_TOKENS = /(?<key>\b(?:def|return)\b)|(?<type>\b(?:bool|key<\w+>|[a-z]+\d\w*)\[[\d,]*\])|= (?<op>\w+)(?=\()|(?<attr>\{.*\}\s*$)/dg;
const SOURCE_TOKENS = /(?<attr>#.*$)|(?<type>(?:\b[rbfRBF]{1,2})?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))|(?<key>\b(?:def|return|for|while|if|elif|else|in|not|and|or|is|import|from|as|class|lambda|with|yield|try|except|finally|raise|pass|break|continue|None|True|False|global|nonlocal|del|assert|async|await)\b)|(?<number>\b\d[\d_.]*(?:e[+-]?\d+)?\b)/dg;

function pieces(text, tokens) {
  const out = [];
  for (const found of text.matchAll(tokens)) {
    for (const [kind, range] of Object.entries(found.indices.groups)) if (range) out.push([range[0], range[1], kind]);
  }
  return out;
}

// Text with its tokens coloured and what is searched for marked.
function paintText(host, text, tokens, query, isNow) {
  const marks = [];
  if (query) {
    const low = text.toLowerCase();
    for (let at = low.indexOf(query); at >= 0; at = low.indexOf(query, at + query.length)) marks.push([at, at + query.length]);
  }
  const cuts = new Set([0, text.length]);
  const kinds = pieces(text, tokens);
  for (const [begin, end] of [...kinds, ...marks]) { cuts.add(begin); cuts.add(end); }
  const ends = [...cuts].sort((a, b) => a - b);
  for (let i = 0; i + 1 < ends.length; i += 1) {
    const [begin, end] = [ends[i], ends[i + 1]];
    const kind = kinds.find(([from, to]) => from <= begin && end <= to);
    const marked = marks.some(([from, to]) => from <= begin && end <= to);
    const classes = [kind ? `t-${kind[2]}` : "", marked ? (isNow ? "found now" : "found") : ""].join(" ").trim();
    host.append(classes ? element("span", { class: classes, text: text.slice(begin, end) }) : text.slice(begin, end));
  }
}

// The two lists ------------------------------------------------------------------------------------

const longest = Math.max(1e-30, ...DATA.profile.map((each) => (each ? each[2] : 0)));

function profileOf(index) {
  const final = view.track === TRACKS[0] && view.stage === view.track.stages.length - 1;
  return final ? DATA.profile[view.lineOf[index]] : null;
}

function drawEquation(index, row) {
  const [text, state] = view.rows[index];
  const profile = state < 0 ? null : profileOf(index);
  row.append(element("span", { class: "gutter", text: state < 0 ? "" : String(view.lineOf[index] + 1) }));
  if (state > 0) row.classList.add("added");
  if (state < 0) row.classList.add("removed");
  row.append(element("span", { class: "sign" }));
  const line = element("span", { class: "text" });
  const full = DATA.texts[text];
  paintText(line, full, IR_TOKENS, view.query, isMatch("ir", index));
  row.append(line);
  if (profile) {
    if (profile[4]) row.append(element("span", { class: "fused", text: "  ┆", title: "fused into a later equation" }));
    const share = profile[2] / longest;
    if (share > 0.004) row.append(element("span", { class: "bar", style: `width:${(3.4 * share).toFixed(2)}em`, title: `${duration(profile[2])} (estimate)` }));
  }
  if (state !== 0) row.setAttribute("aria-label", `${state > 0 ? "added" : "removed"}: ${full.trim()}`);
}

function drawSource(index, row) {
  const { line, text } = view.source[index];
  const has = view.placesAt[index].length > 0;
  row.append(element("span", { class: has ? "gutter has" : "gutter", text: line ? String(line) : "" }));
  const code = element("span", { class: "text" });
  paintText(code, text, SOURCE_TOKENS, view.query, isMatch("source", index));
  row.append(code);
}

// Whether a row is chosen or pointed at, or belongs to one that is; and beside the program, what it has to do with it.
function style(pane, index, row) {
  const chosen = view.chosen, pointed = view.pointed;
  row.classList.toggle("chosen", Boolean(chosen) && chosen.pane === pane && chosen.index === index);
  row.classList.toggle("hit", [chosen, pointed].some((each) => each && belongs(each, pane, index)));
  if (pane !== "ir") return;
  const role = view.related ? view.related.get(index) : undefined;
  row.classList.toggle("defines", role === "defines");
  row.classList.toggle("uses", role === "uses");
  const state = view.rows[index][1];
  const sign = row.querySelector(".sign");
  const text = role === "defines" ? "◂" : role === "uses" ? "▸" : state > 0 ? "+" : state < 0 ? "−" : " ";
  if (sign.textContent !== text) sign.textContent = text;
}

function belongs(each, pane, index) {
  if (each.pane === "region" && pane === "ir") return inRegion(each.region, index);
  if (each.pane === pane) return each.index === index;
  const places = pane === "ir" ? DATA.textPlaces[view.rows[index][0]] : view.placesAt[index];
  return places.some((place) => each.places.has(place));
}

function hits(each, pane) {
  if (!each || each.pane === pane) return [];
  if (each.pane === "region" && pane === "ir") return [...view.rows.keys()].filter((index) => inRegion(each.region, index));
  const found = new Set();
  for (const place of each.places) for (const index of (pane === "ir" ? view.rowsOf : view.sourceAt).get(place) || []) found.add(index);
  return [...found].sort((a, b) => a - b);
}

function marksOf(pane) {
  const out = [];
  if (pane === "ir" && view.changes) view.rows.forEach(([, state], index) => { if (state) out.push([index, state > 0 ? "added" : "removed", 1]); });
  for (const each of [view.pointed, view.chosen]) for (const index of hits(each, pane)) out.push([index, "accent", 0]);
  for (const match of view.matches) if (match.pane === pane) out.push([match.index, "found-strong", 0]);
  return out;
}

const lists = {};
lists.source = new Lines(byId("source"), {
  draw: drawSource, style: (index, row) => style("source", index, row), marks: () => marksOf("source"), choose: (index, again) => choose("source", index, again), hover: (index) => point("source", index),
});
lists.ir = new Lines(byId("ir"), {
  draw: drawEquation, style: (index, row) => style("ir", index, row), marks: () => marksOf("ir"), choose: (index, again) => choose("ir", index, again), hover: (index) => point("ir", index),
});

function repaint(anew = false) { lists.source.show(anew); lists.ir.show(anew); }

function selection(pane, index) {
  if (index < 0) return null;
  const places = pane === "ir" ? DATA.textPlaces[view.rows[index][0]] : view.placesAt[index];
  return { pane, index, places: new Set(places) };
}

function point(pane, index) {
  view.pointed = selection(pane, index);
  repaint();
  if (!view.chosen) describe(view.pointed);
}

// Keep a row highlighted, and bring what belongs to it into view; the next of it if it is kept already.
function choose(pane, index, again) {
  const held = view.chosen;
  const same = held && held.pane === pane && held.index === index;
  if (same && !again) { letGo(); return; }
  view.chosen = same ? held : selection(pane, index);
  view.related = pane === "ir" ? related(index) : null;
  const other = pane === "ir" ? "source" : "ir";
  if (pane === "ir" && hits(view.chosen, "source").length === 0) showFileOf(view.chosen);
  const found = hits(view.chosen, other);
  if (found.length) {
    view.chosen.at = same ? ((view.chosen.at ?? -1) + 1) % found.length : 0;
    lists[other].reveal(found[view.chosen.at]);
  }
  repaint();
  describe(view.chosen);
}

// Regions are those of the last stage.
function regionOf(index) {
  const final = view.track === TRACKS[0] && view.stage === view.track.stages.length - 1;
  return final && view.rows[index][1] >= 0 ? DATA.regionOf[view.lineOf[index]] : -1;
}

const inRegion = (region, index) => regionOf(index) === region;

// Keep the equations of a region and the lines that they come from highlighted.
function chooseRegion(region) {
  openTab("program");
  view.chosen = null;
  showStage(TRACKS[0], TRACKS[0].stages.length - 1);
  const rows = [...view.rows.keys()].filter((index) => inRegion(region, index));
  const places = new Set([DATA.regions[region][1], ...rows.flatMap((index) => DATA.textPlaces[view.rows[index][0]])]);
  view.chosen = { pane: "region", region, index: -1, places };
  view.related = null;
  showFileOf(view.chosen);
  for (const [list, found] of [["ir", rows], ["source", hits(view.chosen, "source")]]) if (found.length) { lists[list].go(found[0]); lists[list].reveal(found[0]); }
  repaint();
  describe(view.chosen);
}

function letGo() {
  view.chosen = null;
  view.related = null;
  repaint();
  describe(view.pointed);
}

function showFileOf(each) {
  for (const place of each.places) {
    const file = FILE_OF.get(DATA.places[place][0]);
    if (file !== undefined) { showFile(file); return; }
  }
}

// Rows that define what a row uses, and rows that use what it defines. Values have one name in all of a report.
function related(index) {
  const found = new Map();
  const text = DATA.texts[view.rows[index][0]];
  const [left, right] = halves(text);
  for (const name of left) for (const row of view.usedBy.get(name) || []) if (row !== index) found.set(row, "uses");
  for (const name of right) { const row = view.defined.get(name); if (row !== undefined && row !== index) found.set(row, "defines"); }
  return found;
}

// Names that a line defines, and names that it uses.
function halves(text) {
  const line = text.trim();
  if (line.startsWith("def ")) return [[...line.slice(0, line.lastIndexOf(") -> ")).matchAll(/(\w+): /g)].map((m) => m[1]), []];
  if (line.startsWith("return ")) return [[], line.slice(7).split(", ")];
  const found = line.match(/^(?<left>.*?) = \w+\((?<right>[^)]*)\)/) || line.match(/^(?<left>.*?) = /) || line.match(/^\w+\((?<right>[^)]*)\)/);
  const { left = "", right = "" } = found ? found.groups : {};
  return [[...left.matchAll(/(\w+): /g)].map((m) => m[1]), right ? right.split(", ") : []];
}

// What is selected ---------------------------------------------------------------------------------

const COSTS = new Map(DATA.costs.map((cost) => [cost[0], cost]));

function describe(each) {
  const host = byId("detail");
  host.replaceChildren();
  if (!each) {
    host.append(element("p", { class: "numbers", text: "Point at a line to see what belongs to it; click or press Enter to keep it. ? shows all keys." }));
    return;
  }
  if (each.pane === "region") {
    const [name, , equations, work, moved, seconds] = DATA.regions[each.region];
    host.append(element("code", { text: name }), placesOf(each, `region of ${whole(equations)} ${equations === 1 ? "equation" : "equations"}, from `));
    host.append(element("p", { class: "numbers", text: `${flops(work)}, ${bytes(moved)} moved, ${duration(seconds)} by the roofline model` }));
    return;
  }
  if (each.pane === "ir") {
    const text = DATA.texts[view.rows[each.index][0]].trim();
    host.append(element("code", { text }));
    const places = placesOf(each, each.places.size ? "from " : "");
    const region = regionOf(each.index);
    if (region >= 0) places.append(each.places.size ? "; in region " : "in region ", element("button", { class: "link code", type: "button", text: DATA.regions[region][0], title: "Show the region", on: { click: () => chooseRegion(region) } }));
    host.append(places);
    const profile = view.rows[each.index][1] < 0 ? null : profileOf(each.index);
    if (profile) {
      const [work, moved, seconds, times, fused, bound] = profile;
      const often = times === 1 ? "" : `, ${whole(times)} times`;
      host.append(element("p", { class: "numbers", text: `${flops(work)}, ${bytes(moved)} moved, ${duration(seconds)} by the roofline model (bound by ${bound})${often}${fused ? "; fused into a later equation, without memory of its own" : ""}` }));
    }
    return;
  }
  const { line, text } = view.source[each.index];
  if (!line) return;
  host.append(element("code", { text: `${DATA.files[view.file].name}:${line}  ${text.trim()}` }));
  const found = hits(each, "ir").filter((index) => view.rows[index][1] >= 0).length;
  host.append(element("p", { text: found === 1 ? "1 equation of this stage" : `${whole(found)} equations of this stage` }));
  const cost = [...each.places].map((place) => COSTS.get(place)).filter(Boolean);
  if (cost.length) {
    const sum = (k) => cost.reduce((total, c) => total + c[k], 0);
    host.append(element("p", { class: "numbers", text: `after all passes: ${whole(sum(1))} equations, ${flops(sum(2))}, ${bytes(sum(3))} moved, ${duration(sum(4))} by the roofline model` }));
  }
}

// The places of a selection, as links.
function placesOf(each, before) {
  const made = element("p", { text: before });
  [...each.places].filter((place) => DATA.places[place][1]).forEach((place, i) => {
    if (i) made.append(", ");
    made.append(element("button", { class: "link", type: "button", text: placeText(place), on: { click: () => goToPlace(place) } }));
  });
  return made;
}

function goToPlace(place) {
  const [path, line] = DATA.places[place];
  if (!FILE_OF.has(path)) return;
  openTab("program");
  showFile(FILE_OF.get(path));
  const index = view.source.findIndex((row) => row.line === line);
  if (index < 0) return;
  view.chosen = null;
  lists.source.go(index);
  lists.source.reveal(index);
  choose("source", index, false);
}

function goToLine(line) {
  openTab("program");
  showStage(TRACKS[0], TRACKS[0].stages.length - 1);
  const index = view.lineOf.indexOf(line);
  view.chosen = null;
  lists.ir.go(index);
  lists.ir.reveal(index);
  choose("ir", index, false);
}

// Stages and files ---------------------------------------------------------------------------------

function showFile(file) {
  view.file = file;
  const held = DATA.files[file];
  view.source = held ? sourceRows(held) : [{ line: 0, text: "(no line of yours made an equation)" }];
  const placesOn = new Map();
  DATA.places.forEach(([path, line], place) => {
    if (held && path === held.path) { if (!placesOn.has(line)) placesOn.set(line, []); placesOn.get(line).push(place); }
  });
  view.placesAt = view.source.map(({ line }) => (line && placesOn.get(line)) || []);
  view.sourceAt = new Map();
  view.placesAt.forEach((places, index) => { for (const place of places) view.sourceAt.set(place, [index]); });
  if (view.chosen && view.chosen.pane === "source") view.chosen = null;
  view.pointed = null;
  byId("file").value = String(file);
  byId("source").setAttribute("title", held ? held.path : "");
  lists.source.fill(view.source.length, widest(view.source.map((row) => row.text)));
  const first = view.placesAt.findIndex((places) => places.length > 0);
  if (first >= 0) { lists.source.active = first; lists.source.host.scrollTop = Math.max(0, (first - 6) * ROW); lists.source.show(); }
  look();
}

const widest = (texts) => texts.reduce((most, text) => Math.max(most, text.length), 0);

function showStage(track, stage) {
  const held = view.chosen && view.chosen.pane === "ir" ? view.rows[view.chosen.index][0] : null;
  const top = view.rows.length ? firstInView() : null;
  view.track = track;
  view.stage = Math.max(0, Math.min(stage, track.stages.length - 1));
  view.rows = track.rows(view.stage, view.changes);
  view.lineOf = [];
  view.rowsOf = new Map();
  view.defined = new Map();
  view.usedBy = new Map();
  let line = 0;
  view.rows.forEach(([text, state], index) => {
    view.lineOf.push(state < 0 ? -1 : line);
    if (state >= 0) line += 1;
    for (const place of DATA.textPlaces[text]) {
      if (!view.rowsOf.has(place)) view.rowsOf.set(place, []);
      view.rowsOf.get(place).push(index);
    }
    if (state < 0) return;
    const [left, right] = halves(DATA.texts[text]);
    for (const name of left) view.defined.set(name, index);
    for (const name of right) { if (!view.usedBy.has(name)) view.usedBy.set(name, []); view.usedBy.get(name).push(index); }
  });
  if (held !== null) {
    const index = view.rows.findIndex(([text]) => text === held);
    view.chosen = index < 0 ? null : selection("ir", index);
  }
  if (view.chosen && view.chosen.pane === "region") view.chosen = null;
  view.related = view.chosen && view.chosen.pane === "ir" ? related(view.chosen.index) : null;
  view.pointed = null;
  lists.ir.fill(view.rows.length, widest(view.rows.map(([text]) => DATA.texts[text])));
  if (top !== null) keepInView(top);
  sayStage();
  look();
  repaint();
  describe(view.chosen);
}

// The line at the top of the view stays there where the next stage has it too.
function firstInView() {
  const index = Math.floor(lists.ir.host.scrollTop / ROW);
  return { text: view.rows[Math.min(index, view.rows.length - 1)][0], offset: lists.ir.host.scrollTop - index * ROW };
}

function keepInView({ text, offset }) {
  const index = view.rows.findIndex(([each]) => each === text);
  if (index >= 0) lists.ir.host.scrollTop = index * ROW + offset;
}

function sayStage() {
  const { track, stage } = view;
  const now = track.stages[stage];
  const slider = byId("stage");
  slider.max = String(track.stages.length - 1);
  slider.value = String(stage);
  slider.setAttribute("aria-valuetext", `${now.name}, ${stage + 1} of ${track.stages.length}`);
  byId("stage-before").disabled = stage === 0;
  byId("stage-after").disabled = stage === track.stages.length - 1;
  byId("next-change").disabled = !view.changes || stage === 0 || now.hunks.length === 0;
  byId("track").value = String(TRACKS.indexOf(track));
  const host = byId("stage-says");
  host.replaceChildren(element("b", { text: `${stage + 1}/${track.stages.length} ${now.name}` }), " ");
  if (stage > 0) {
    const [added, removed] = track.changed(stage);
    host.append(added || removed
      ? element("span", {}, element("span", { class: "less", text: `+${whole(added)}` }), " ", element("span", { class: "more", text: `−${whole(removed)}` }), " lines ")
      : element("span", { class: "said", text: "changed nothing " }));
  }
  host.append(element("span", { class: "said", text: `${duration(now.seconds)} ` }));
  for (const [name, count, why] of now.rules) host.append(element("span", { class: "chip", title: why, text: count === 1 ? name : `${name} × ${whole(count)}` }), " ");
  if (now.doc) host.append(element("span", { class: "said" }, ...prose(now.doc)));
  byId("ir-count").textContent = `after ${now.name}: ${whole(now.equations)} equations, ${flops(now.flops)}`;
}

function step(by, changing) {
  let stage = view.stage + by;
  if (changing) while (stage > 0 && stage < view.track.stages.length - 1 && view.track.stages[stage].hunks.length === 0) stage += by;
  showStage(view.track, stage);
}

function nextChange(by) {
  const starts = [];
  view.rows.forEach(([, state], index) => { if (state && !(index && view.rows[index - 1][1])) starts.push(index); });
  if (!starts.length) return;
  const at = lists.ir.active;
  const next = by > 0 ? starts.find((index) => index > at) ?? starts[0] : starts.findLast((index) => index < at) ?? starts[starts.length - 1];
  lists.ir.go(next);
  lists.ir.reveal(next);
  lists.ir.host.focus();
}

// Search -------------------------------------------------------------------------------------------

function look() {
  const query = byId("search").value.trim().toLowerCase();
  view.query = query;
  view.matches = [];
  view.match = -1;
  if (query) {
    view.rows.forEach(([text], index) => { if (DATA.texts[text].toLowerCase().includes(query)) view.matches.push({ pane: "ir", index }); });
    view.source.forEach(({ text }, index) => { if (text.toLowerCase().includes(query)) view.matches.push({ pane: "source", index }); });
  }
  sayFound();
}

function isMatch(pane, index) {
  const now = view.matches[view.match];
  return Boolean(now) && now.pane === pane && now.index === index;
}

function nextMatch(by) {
  if (!view.matches.length) return;
  const count = view.matches.length;
  view.match = view.match < 0 ? (by > 0 ? 0 : count - 1) : (view.match + by + count) % count;
  const { pane, index } = view.matches[view.match];
  lists[pane].go(index);
  lists[pane].reveal(index);
  sayFound();
  repaint(true);
}

function sayFound() {
  const count = view.matches.length;
  byId("found").textContent = !view.query ? "" : !count ? "nothing found" : view.match < 0 ? `${whole(count)} found` : `${whole(view.match + 1)} of ${whole(count)}`;
}
