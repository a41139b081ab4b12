// Tables and charts: passes, cost by line, memory, time.

// A table whose columns are {title, unit text in the title, number: right-aligned, sort: value of a row}.
function table(columns, rows, caption) {
  const head = element("tr");
  const body = element("tbody");
  const made = element("table", { "aria-label": caption }, element("thead", {}, head), body);
  let by = -1, down = true;
  const fill = (list) => body.replaceChildren(...list.map((row) => row.element));
  columns.forEach((column, k) => {
    const cell = element("th", { scope: "col", class: column.number ? "number" : null });
    if (column.sort) {
      cell.append(element("button", { type: "button", text: column.title, title: "Sort by this column", on: { click: () => {
        down = by === k ? !down : Boolean(column.number);
        by = k;
        [...head.children].forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => column.sort(row.data);
        fill([...rows].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (down ? -1 : 1)));
      } } }));
    } else cell.textContent = column.title;
    head.append(cell);
  });
  fill(rows);
  return made;
}

const numberCell = (text, extra) => element("td", { class: "number", text }, extra || null);

function differenceCell(now, before, unit) {
  const cell = element("td", { class: "number", text: unit(now) });
  if (before !== null && before !== now) cell.append(element("small", { class: now < before ? "less" : "more", text: signed(now - before, unit) }));
  else if (before !== null) cell.classList.add("same");
  return cell;
}

// Passes -------------------------------------------------------------------------------------------

function drawPasses() {
  const rows = [];
  TRACKS.forEach((track, t) => track.stages.forEach((stage, k) => {
    const before = k ? track.stages[k - 1] : null;
    const [added, removed] = track.changed(k);
    const name = element("td", {}, element("button", { class: "link", type: "button", text: stage.name, title: "Show the program of this stage", on: { click: () => { openTab("program"); showStage(track, k); } } }));
    if (t) name.append(element("small", { class: "numbers", text: track.name }));
    const what = element("td", {}, ...prose(stage.doc));
    if (stage.rules.length) {
      const total = stage.rules.reduce((sum, rule) => sum + rule[1], 0);
      const list = element("ul", { class: "rules" }, ...stage.rules.map(([rule, count, why, places]) => element("li", {},
        element("code", { text: rule }), ` × ${whole(count)}: `, ...prose(`${why} `), ...places.slice(0, 5).flatMap((place, i) => [i ? ", " : "at ", placeLink(place)]), places.length > 5 ? ` and ${whole(places.length - 5)} more places` : "")));
      what.append(element("details", { open: stage.rules.length <= 3 }, element("summary", { text: `${whole(total)} rewrites by ${whole(stage.rules.length)} rules` }), list));
    }
    for (const each of stage.remarks) what.append(remarkElement(each, "div"));
    const difference = (key, unit) => differenceCell(stage[key], before && before[key], unit);
    rows.push({ data: stage, element: element("tr", { class: before && !stage.hunks.length && !stage.remarks.length ? "still" : null },
      name, numberCell(duration(stage.seconds)),
      numberCell(added || removed ? `+${whole(added)} −${whole(removed)}` : ""),
      difference("equations", whole), difference("flops", flops), difference("bytes", bytes), difference("peak", bytes), what) });
  }));
  byId("pass-table").replaceChildren(table([
    { title: "stage" }, { title: "time", number: true, sort: (s) => s.seconds }, { title: "lines changed", number: true },
    { title: "equations", number: true, sort: (s) => s.equations }, { title: "flops", number: true, sort: (s) => s.flops },
    { title: "bytes moved", number: true, sort: (s) => s.bytes }, { title: "live bytes", number: true, sort: (s) => s.peak }, { title: "what and why" },
  ], rows, "Stages of compilation"));
  const host = byId("remarks");
  host.replaceChildren(...DATA.remarks.map((each) => remarkElement(each, "li")));
  if (!DATA.remarks.length) host.append(element("li", { text: "The passes had nothing to say: no loops were found, nothing was declined." }));
  if (DATA.leftOut) host.append(element("li", { text: `${whole(DATA.leftOut)} programs from before differentiation are left out of this page for their size.` }));
}

function remarkElement([by, text, place, declined], tag) {
  return element(tag, {}, element("code", { text: by }), ": ", element("span", { class: declined ? "declined" : null, text: declined ? `declined: ${text}` : text }), " ", placeLink(place));
}

function placeLink(place) {
  if (!FILE_OF.has(DATA.places[place][0])) return element("span", { class: "numbers", text: placeText(place) });
  return element("button", { class: "link", type: "button", text: placeText(place), on: { click: () => goToPlace(place) } });
}

// Cost by line -------------------------------------------------------------------------------------

function codeAt(place) {
  const [path, line] = DATA.places[place];
  const file = FILE_OF.get(path);
  if (file === undefined) return "";
  for (const [begin, text] of DATA.files[file].parts) if (line >= begin && line < begin + text.length) return text[line - begin].trim();
  return "";
}

function drawCosts() {
  const total = DATA.costs.reduce((sum, cost) => sum + cost[4], 0) || 1;
  const most = Math.max(1e-30, ...DATA.costs.map((cost) => cost[4]));
  const unknown = DATA.costs.some((cost) => !cost[6]);
  byId("cost-says").textContent = `${duration(total)} in ${whole(DATA.kernels)} kernels by the roofline model of a machine with ${counted(DATA.machine.flops)}flop/s and ${bytes(DATA.machine.bandwidth)}/s: a line takes as long as its operations or its memory traffic, whichever is longer, and its kernels some time to start. Fused values are not read or written.${unknown ? " ≥ marks lines in loops whose trips are not known; one trip is counted." : ""}`;
  const rows = DATA.costs.map((cost) => {
    const [place, equations, work, moved, seconds, bound, known] = cost;
    const least = known ? "" : "≥ ";
    return { data: cost, element: element("tr", {},
      element("td", {}, placeLink(place)), element("td", {}, element("span", { class: "code", text: codeAt(place) })),
      numberCell(least + duration(seconds)),
      element("td", { class: "meter" }, element("i", { class: bound, style: `width:${((100 * seconds) / most).toFixed(2)}%`, title: `${((100 * seconds) / total).toFixed(1)} % of the whole` })),
      element("td", { text: bound }), numberCell(least + flops(work)), numberCell(least + bytes(moved)), numberCell(whole(equations))) };
  });
  byId("cost-table").replaceChildren(table([
    { title: "line", sort: (c) => DATA.places[c[0]][1] }, { title: "code" }, { title: "time", number: true, sort: (c) => c[4] }, { title: "share" },
    { title: "bound by", sort: (c) => c[5] }, { title: "flops", number: true, sort: (c) => c[2] }, { title: "bytes moved", number: true, sort: (c) => c[3] },
    { title: "equations", number: true, sort: (c) => c[1] },
  ], rows, "Cost by line of your source"));
}

function drawRegions() {
  const most = Math.max(1e-30, ...DATA.regions.map((region) => region[5]));
  const total = DATA.regions.reduce((sum, region) => sum + region[5], 0) || 1;
  const rows = DATA.regions.map((region, k) => {
    const [name, place, equations, work, moved, seconds] = region;
    return { data: region, element: element("tr", {},
      element("td", {}, element("button", { class: "link code", type: "button", text: name, title: "Show its equations and its lines", on: { click: () => chooseRegion(k) } })),
      element("td", {}, placeLink(place)), numberCell(duration(seconds)),
      element("td", { class: "meter" }, element("i", { style: `width:${((100 * seconds) / most).toFixed(2)}%`, title: `${((100 * seconds) / total).toFixed(1)} % of the whole` })),
      numberCell(flops(work)), numberCell(bytes(moved)), numberCell(whole(equations))) };
  });
  byId("region-table").replaceChildren(table([
    { title: "region", sort: (r) => r[0] }, { title: "line", sort: (r) => DATA.places[r[1]][1] }, { title: "time", number: true, sort: (r) => r[5] }, { title: "share" },
    { title: "flops", number: true, sort: (r) => r[3] }, { title: "bytes moved", number: true, sort: (r) => r[4] }, { title: "equations", number: true, sort: (r) => r[2] },
  ], rows, "Cost by region"));
}

// Memory -------------------------------------------------------------------------------------------

const chart = { at: null };
const MARGIN = { left: 74, right: 14, top: 14, bottom: 34 };

function ticks(most, count) {
  const rough = most / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((each) => each >= rough);
  const out = [];
  for (let at = 0; at <= most + step / 1e6; at += step) out.push(at);
  return out;
}

function drawMemory() {
  const memory = DATA.memory, xla = DATA.xla;
  const total = memory.arguments + memory.results + memory.peak;
  const shared = xla && xla.shared ? xla.shared : 0;
  const measured = xla && xla.temporary !== null ? xla.arguments + xla.results + xla.temporary - shared : null;
  byId("memory-says").textContent = `${bytes(total)} at the peak: ${bytes(memory.arguments)} of arguments and ${bytes(memory.results)} of results, held throughout, and at most ${bytes(memory.peak)} of temporaries. An estimate of what XLA holds: fused values take no memory, results take the place of operands that are not needed any more.`;
  const host = byId("memory-chart");
  const width = Math.max(320, host.clientWidth), height = host.clientHeight || 300;
  const count = memory.temporary.length;
  const base = memory.arguments + memory.results;
  const top = Math.max(total, measured || 0, 1) * 1.06;
  const x = (i) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * i) / Math.max(1, count);
  const y = (value) => height - MARGIN.bottom - ((height - MARGIN.top - MARGIN.bottom) * value) / top;
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const box = (value, from, colour) => svg.append(drawing("rect", { x: x(0), width: x(count) - x(0), y: y(from + value), height: y(from) - y(from + value), fill: `var(--${colour})`, opacity: 0.55 }));
  box(memory.arguments, 0, "f");
  box(memory.results, memory.arguments, "b");
  // Each column of pixels has the greatest of its equations.
  const stretch = Math.max(1, Math.floor(count / (width - MARGIN.left - MARGIN.right)));
  let path = `M${x(0)} ${y(base)}`;
  for (let i = 0; i < count; i += stretch) {
    let most = 0;
    const end = Math.min(count, i + stretch);
    for (let k = i; k < end; k += 1) most = Math.max(most, memory.temporary[k]);
    path += `V${y(base + most).toFixed(1)}H${x(end).toFixed(1)}`;
  }
  svg.append(drawing("path", { d: `${path}V${y(base)}Z`, fill: "var(--a)", opacity: 0.75 }));
  for (const tick of ticks(top, 5)) {
    svg.append(drawing("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick), stroke: "var(--line)" }));
    const label = drawing("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" });
    label.textContent = bytes(tick);
    svg.append(label);
  }
  for (const tick of ticks(count, Math.min(8, count || 1)).filter((each) => Number.isInteger(each) && each <= count)) {
    const label = drawing("text", { x: x(tick), y: height - 16, "text-anchor": "middle" });
    label.textContent = whole(tick);
    svg.append(label);
  }
  const axis = drawing("text", { x: (x(0) + x(count)) / 2, y: height - 2, "text-anchor": "middle" });
  axis.textContent = "equation of the optimised program";
  svg.append(axis);
  if (measured !== null) svg.append(drawing("line", { x1: x(0), x2: x(count), y1: y(measured), y2: y(measured), stroke: "var(--e)", "stroke-width": 2, "stroke-dasharray": "6 5" }));
  if (memory.position !== null) {
    svg.append(drawing("line", { x1: x(memory.position + 0.5), x2: x(memory.position + 0.5), y1: y(0), y2: y(total), stroke: "var(--ink)", "stroke-dasharray": "2 3" }));
    svg.append(drawing("circle", { cx: x(memory.position + 0.5), cy: y(total), r: 4, fill: "var(--ink)" }));
  }
  const cursor = drawing("line", { y1: MARGIN.top, y2: height - MARGIN.bottom, stroke: "var(--accent)", "stroke-width": 1.5, visibility: "hidden" });
  svg.append(cursor);
  host.replaceChildren(svg);
  chart.draw = (index) => {
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(index + 0.5));
    cursor.setAttribute("x2", x(index + 0.5));
    readMemory(index);
  };
  chart.indexAt = (event) => {
    const inside = svg.getBoundingClientRect();
    const at = ((event.clientX - inside.left) / inside.width) * width;
    return Math.max(0, Math.min(count - 1, Math.floor(((at - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * count)));
  };
  host.setAttribute("aria-valuemin", "1");
  host.setAttribute("aria-valuemax", String(count));
  if (chart.at !== null) chart.draw(chart.at);
  else if (memory.position !== null) readMemory(memory.position, "Peak");
  const legend = [["f", "arguments"], ["b", "results"], ["a", "temporaries (estimate)"]].map(([colour, text]) => element("li", {}, element("i", { style: `background:var(--${colour})` }), text));
  if (measured !== null) legend.push(element("li", {}, element("i", { class: "dashed" }), `XLA's own total, ${bytes(measured)}`));
  byId("memory-legend").replaceChildren(...legend);
}

function readMemory(index, what) {
  const { temporary, arguments: given, results, lines } = DATA.memory;
  const line = TRACKS[0].lines(TRACKS[0].stages.length - 1)[lines[index]];
  const text = DATA.texts[line].trim();
  byId("memory-readout").replaceChildren(
    `${what || "Equation"} ${what ? "at equation " : ""}${whole(index + 1)}: ${bytes(given + results + temporary[index])}, of it ${bytes(temporary[index])} temporary: `,
    element("code", { text: text.length > 90 ? `${text.slice(0, 90)}…` : text }));
  const host = byId("memory-chart");
  host.setAttribute("aria-valuenow", String(index + 1));
  host.setAttribute("aria-valuetext", `equation ${index + 1}, ${bytes(given + results + temporary[index])}`);
}

function listenToMemory() {
  const host = byId("memory-chart");
  const count = DATA.memory.temporary.length;
  if (!count) return;
  host.addEventListener("mousemove", (event) => { chart.at = chart.indexAt(event); chart.draw(chart.at); });
  host.addEventListener("click", (event) => goToLine(DATA.memory.lines[chart.indexAt(event)]));
  host.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.floor(count / 20));
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: far, PageUp: -far, Home: -Infinity, End: Infinity };
    if (event.key === "Enter") goToLine(DATA.memory.lines[chart.at ?? DATA.memory.position ?? 0]);
    else if (event.key in steps) {
      chart.at = Math.max(0, Math.min(count - 1, (chart.at ?? DATA.memory.position ?? 0) + steps[event.key]));
      chart.draw(chart.at);
    } else return;
    event.preventDefault();
  });
  new ResizeObserver(() => { if (host.clientWidth) drawMemory(); }).observe(host);
}

function drawHeld() {
  const most = Math.max(1, ...DATA.memory.held.map((held) => held[1]));
  const rows = DATA.memory.held.map((held) => {
    const [name, size, line, place] = held;
    return { data: held, element: element("tr", {},
      element("td", {}, element("button", { class: "link code", type: "button", text: name, title: "Show the equation", on: { click: () => goToLine(line) } })),
      numberCell(bytes(size)), element("td", { class: "meter" }, element("i", { style: `width:${((100 * size) / most).toFixed(2)}%` })), element("td", {}, placeLink(place))) };
  });
  byId("held-table").replaceChildren(rows.length
    ? table([{ title: "value" }, { title: "size", number: true, sort: (h) => h[1] }, { title: "share" }, { title: "made at" }], rows, "Values held at the peak")
    : element("p", { text: "No temporaries: everything is fused into the results." }));
  const xla = DATA.xla, memory = DATA.memory;
  if (!xla) { byId("xla-table").replaceChildren(element("p", { text: "The program was not compiled: compile=False." })); return; }
  const known = (value, unit) => (value === null ? "not told" : unit(value));
  const line = (name, ours, theirs) => ({ data: name, element: element("tr", {}, element("td", { text: name }), numberCell(ours), numberCell(theirs)) });
  const last = TRACKS[0].stages[TRACKS[0].stages.length - 1];
  byId("xla-table").replaceChildren(table([{ title: "" }, { title: "this report", number: true }, { title: "XLA", number: true }], [
    line("arguments", bytes(memory.arguments), known(xla.arguments, bytes)),
    line("results", bytes(memory.results), known(xla.results, bytes)),
    line("temporaries at the peak", bytes(memory.peak), known(xla.temporary, bytes)),
    line("results in the memory of arguments", "", known(xla.shared, bytes)),
    line("flops (XLA counts loops once)", flops(last.flops), known(xla.flops, flops)),
    line("bytes moved (ours one equation at a time)", bytes(last.bytes), known(xla.bytes, bytes)),
  ], "The report beside XLA"));
}

// Time ---------------------------------------------------------------------------------------------

const KINDS = [["trace", "tracing", "a"], ["before", "before and during differentiation", "d"], ["pass", "passes", "b"], ["lower", "lowering", "c"], ["compile", "XLA", "f"]];

function drawTime() {
  const total = DATA.phases.reduce((sum, phase) => sum + phase[1], 0) || 1;
  const colour = Object.fromEntries(KINDS.map(([kind, , name]) => [kind, `var(--${name})`]));
  const spent = KINDS.map(([kind, title]) => [kind, title, DATA.phases.reduce((sum, phase) => sum + (phase[2] === kind ? phase[1] : 0), 0)]).filter((each) => each[2] > 0);
  const bar = byId("time-bar");
  bar.replaceChildren(...spent.map(([kind, title, seconds]) => element("i", { style: `flex:${seconds / total} 0 0;background:${colour[kind]}`, title: `${title}: ${duration(seconds)}` })));
  bar.setAttribute("aria-label", `Compiling took ${duration(total)}: ${spent.map(([, title, seconds]) => `${title} ${duration(seconds)}`).join(", ")}.`);
  byId("time-legend").replaceChildren(...spent.map(([kind, title, seconds]) => element("li", {}, element("i", { style: `background:${colour[kind]}` }), `${title} ${duration(seconds)} (${((100 * seconds) / total).toFixed(1)} %)`)));
  const most = Math.max(...DATA.phases.map((phase) => phase[1]), 1e-30);
  const rows = DATA.phases.map((phase) => ({ data: phase, element: element("tr", {},
    element("td", {}, element("i", { class: "dot", style: `background:${colour[phase[2]]}` }), phase[0]),
    numberCell(duration(phase[1])), numberCell(`${((100 * phase[1]) / total).toFixed(1)} %`),
    element("td", { class: "meter" }, element("i", { style: `width:${((100 * phase[1]) / most).toFixed(2)}%;background:${colour[phase[2]]}` }))) }));
  byId("time-table").replaceChildren(table([
    { title: "phase" }, { title: "time", number: true, sort: (p) => p[1] }, { title: "share", number: true }, { title: "" },
  ], rows, "Phases of compiling"));
}
