// Putting the page together: tabs, keys, theme.

const TABS = ["program", "passes", "cost", "memory", "time"];
const drawn = new Set(["program"]);
const DRAW = { passes: drawPasses, cost: () => { drawCosts(); drawRegions(); }, memory: () => { drawMemory(); drawHeld(); listenToMemory(); }, time: drawTime };

function openTab(name) {
  for (const each of TABS) {
    const tab = byId(`tab-${each}`), open = each === name;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    byId(each).hidden = !open;
  }
  if (!drawn.has(name)) { drawn.add(name); DRAW[name](); }
  if (name === "program") repaint();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  repaint();
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
let themeChosen = false;
darkness.addEventListener("change", () => { if (!themeChosen) setTheme(darkness.matches ? "dark" : "light"); });

function switchTheme() {
  themeChosen = true;
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

function summarise() {
  const stages = TRACKS[0].stages, first = stages[0], last = stages[stages.length - 1];
  byId("name").textContent = DATA.name;
  const fact = (value, unit) => element("li", {}, element("b", { text: value }), ` ${unit}`);
  const compiling = DATA.phases.reduce((sum, phase) => sum + phase[1], 0);
  const { arguments: given, results, peak } = DATA.memory;
  byId("facts").replaceChildren(
    fact(first.equations === last.equations ? whole(last.equations) : `${whole(first.equations)} → ${whole(last.equations)}`, "equations"),
    fact(first.flops === last.flops ? flops(last.flops) : `${flops(first.flops)} → ${flops(last.flops)}`, ""),
    fact(whole(DATA.kernels), "kernels"),
    fact(bytes(given + results + peak), "of memory at the peak"),
    fact(duration(compiling), DATA.xla ? "to compile" : "to trace and optimise"),
    fact(DATA.device, ""));
}

function start() {
  summarise();
  const tracks = byId("track");
  tracks.replaceChildren(...TRACKS.map((track, k) => element("option", { value: k, text: k ? `before: ${track.name}` : "the whole program" })));
  byId("track-label").hidden = TRACKS.length < 2;
  tracks.addEventListener("change", () => { const track = TRACKS[Number(tracks.value)]; showStage(track, track.stages.length - 1); });
  const files = byId("file");
  files.replaceChildren(...DATA.files.map((file, k) => element("option", { value: k, text: file.name, title: file.path })));
  files.hidden = DATA.files.length < 2;
  files.addEventListener("change", () => showFile(Number(files.value)));
  if (DATA.files.length === 1) byId("source-title").textContent = DATA.files[0].name;
  byId("stage").addEventListener("input", (event) => showStage(view.track, Number(event.target.value)));
  byId("stage-before").addEventListener("click", () => step(-1, false));
  byId("stage-after").addEventListener("click", () => step(1, false));
  byId("changes").addEventListener("change", (event) => { view.changes = event.target.checked; showStage(view.track, view.stage); });
  byId("next-change").addEventListener("click", () => nextChange(1));
  byId("search").addEventListener("input", () => { look(); repaint(true); });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") { event.target.value = ""; look(); repaint(true); byId("ir").focus(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  byId("theme").addEventListener("click", switchTheme);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  TABS.forEach((name, k) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => openTab(name));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const next = TABS[(k + by + TABS.length) % TABS.length];
      openTab(next);
      byId(`tab-${next}`).focus();
      event.preventDefault();
    });
  });
  document.addEventListener("keydown", keys);
  setTheme(darkness.matches ? "dark" : "light");
  showFile(0);
  showStage(TRACKS[0], TRACKS[0].stages.length - 1);
  document.documentElement.dataset.ready = "true";
}

const KEYS = {
  "[": () => step(-1, false), "]": () => step(1, false), "{": () => step(-1, true), "}": () => step(1, true),
  d: () => { byId("changes").click(); }, s: () => byId("source").focus(), p: () => byId("ir").focus(),
  c: () => nextChange(1), C: () => nextChange(-1), n: () => nextMatch(1), N: () => nextMatch(-1),
  "/": () => { byId("search").focus(); byId("search").select(); },
};

function keys(event) {
  const typing = event.target.matches("input[type=search], select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || typing || byId("keys").open) return;
  const tab = TABS[Number(event.key) - 1];
  if (tab) { openTab(tab); byId(`tab-${tab}`).focus(); }
  else if (event.key in KEYS) { openTab("program"); KEYS[event.key](); }
  else if (event.key === "Escape") letGo();
  else if (event.key === "t") switchTheme();
  else if (event.key === "?") byId("keys").showModal();
  else return;
  event.preventDefault();
}

start();
