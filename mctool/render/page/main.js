// State, and what moves it: buttons, keys, pointer.
const map = new FocusMap($("map"), $("overview"));
const PLAY_MS = 1100;
const SMALLEST_ITEM = 6;  // pixels; without a question, the map shows the finest level whose nodes are as wide
const state = { question: DATA.questions[0] ?? null, step: 0, selected: null, timer: null };

function currentItems() {
  if (state.question) return entriesOf(state.question.steps[state.step]);
  return nodesOf(state.level ?? levelOfView());
}

function levelOfView() {
  const perToken = map.width / (map.view.to - map.view.from);
  const known = [0, 1, 2, 3, 4].filter((lod) => nodesOf(lod).length);
  if (perToken * BLOCK > 70) return 0;
  return known.find((lod) => lod > 0 && perToken * BLOCK ** lod >= SMALLEST_ITEM) ?? known.at(-1) ?? 0;
}

function lanesOfQuestion() {
  if (!state.question) return [0, 1, 2, 3, 4].filter((lod) => nodesOf(lod).length > (lod > 2 ? 1 : 0));
  const lods = new Set([0]);
  for (const step of state.question.steps) for (const lod of step.lods) lods.add(lod);
  return [...lods].sort();
}

function draw() {
  const { question, step } = state, items = currentItems();
  const changes = question && step ? changesOf(entriesOf(question.steps[step - 1]), items) : [];
  const citations = question ? question.citations.map((one, at) => ({ ...one, number: at + 1 })) : [];
  map.show({ items, lods: lanesOfQuestion(), changes, citations, selected: state.selected, hasSteps: Boolean(question) });
  map.draw();
  const from = Math.round(map.view.from), to = Math.round(map.view.to);
  $("range").textContent = `tokens ${number(from)}-${number(to)} of ${number(TOTAL)}`;
  $("map").setAttribute("aria-label", `Map of the timeline, tokens ${from} to ${to}. `
    + (state.selected ? `Selected: ${spoken(state.selected)}` : "Nothing is selected."));
}

function spoken(item) {
  const score = item.score === null ? "" : `, score ${item.score.toFixed(2)}`;
  return `${levelName(item.lod)}, ${placeOf(item.start, item.end)}, ${item.end - item.start} tokens${score}`;
}

function say(text) { $("said").textContent = text; }

function select(item, isClose = false) {
  state.selected = item;
  if (item) {
    if (isClose) {
      state.level = null;
      const room = Math.max((item.end - item.start) * 0.6, item.lod === 0 ? 2 * BLOCK : 0);
      map.look(item.start - room, item.end + room);
    } else map.reveal(item);
    say(spoken(item));
  }
  showEntry(item);
  draw();
  fillText(item);
}

/** Show text that a live page lacks once it is here. */
async function fillText(item) {
  if (!item || textOf(item.start, item.end).shown === textOf(item.start, item.end).all) return;
  if (await fetchText(item.start, item.end) && state.selected === item) {
    showEntry(item);
    draw();
  }
}

/** Select an item of any lane; without a question, the arrow keys then stay on its level until the view changes. */
function pick(item) {
  state.level = item?.lod ?? null;
  select(item);
}

/** Look closer by a factor, around the selected item where it is in view. */
function zoom(factor) {
  state.level = null;
  map.zoom(factor, centre());
  draw();
}

/** Select what is now at a place; a place is anything with start and end, or a citation. */
function goTo(place) {
  const start = place.start ?? place.start_token, end = place.end ?? place.end_token;
  state.level = null;
  if (start >= end) { say("This passage is not in the window of this step."); return; }
  map.look(start - Math.max((end - start) * 0.3, 48), end + Math.max((end - start) * 0.3, 48));
  const items = currentItems(), item = items[indexAt(items, start)];
  select(item && start < item.end ? item : null);
  $("map").focus();
}

function goToStep(step) {
  if (!state.question) return;
  state.step = Math.min(Math.max(step, 0), state.question.steps.length - 1);
  showStep(state.question, state.step);
  const items = currentItems();
  showSummary(state.question, items, state.step === state.question.steps.length - 1);
  if (state.selected) {
    state.selected = items[indexAt(items, state.selected.start)] ?? null;
    showEntry(state.selected);
  }
  showTable(items, goTo);
  draw();
  if (!state.timer) say($("step-title").textContent);
}

function play(on = !state.timer) {
  clearInterval(state.timer);
  state.timer = null;
  const last = state.question.steps.length - 1;
  if (on) {
    goToStep(state.step === last ? 0 : state.step + 1);
    state.timer = setInterval(() => {
      if (state.step >= last) play(false); else goToStep(state.step + 1);
    }, PLAY_MS);
  }
  $("play").textContent = state.timer ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", String(Boolean(state.timer)));
}

function selectBeside(direction, isWanted = () => true) {
  const items = currentItems();
  if (!items.length) return;
  let at = state.selected ? indexAt(items, state.selected.start) : -1;
  at = at < 0 ? Math.max(indexAt(items, map.view.from), 0) : items[at].lod === state.selected.lod ? at + direction : at;
  for (let tried = 0; tried < items.length; tried++, at += direction) {
    const item = items[(at + 2 * items.length) % items.length];
    if (isWanted(item)) { select(item); return; }
  }
}

function nextCitation() {
  const cited = (state.question?.citations ?? []).filter((one) => one.end_token > one.start_token);
  if (!cited.length) return;
  state.citation = ((state.citation ?? -1) + 1) % cited.length;
  goTo(cited[state.citation]);
}

function chooseQuestion(at) {
  if (state.timer) play(false);
  state.question = DATA.questions[at];
  state.citation = undefined;
  state.selected = null;
  showQuestion(state.question, (place) => { goToStep(state.question.steps.length - 1); goTo(place); });
  showLegend(lanesOfQuestion(), state.question);
  goToStep(state.question.steps.length - 1);
  const first = state.question.citations.find((one) => one.end_token > one.start_token);
  const items = currentItems();
  state.selected = first ? items[indexAt(items, first.start_token)] : items.find((item) => item.lod === 0) ?? null;
  showEntry(state.selected);
  draw();
}

const KEYS = {
  ArrowLeft: () => selectBeside(-1), ArrowRight: () => selectBeside(1),
  "+": () => zoom(2), "=": () => zoom(2),
  "-": () => zoom(0.5),
  Enter: () => state.selected && select(state.selected, true),
  Escape: () => { $("tip").hidden = true; whole(); }, 0: whole, Home: () => { map.look(0, map.view.to - map.view.from); draw(); },
  End: () => { map.look(TOTAL - (map.view.to - map.view.from), TOTAL); draw(); },
  r: () => selectBeside(1, (item) => item.lod === 0), c: nextCitation,
  n: () => goToStep(state.step + 1), p: () => goToStep(state.step - 1), " ": () => state.question && play(),
};

function centre() {
  const item = state.selected;
  return item && item.start < map.view.to && item.end > map.view.from ? (item.start + item.end) / 2 : undefined;
}

function whole() { state.level = null; map.look(0, TOTAL); draw(); }

function wireMap() {
  const canvas = $("map");
  let drag = null;
  canvas.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null
      : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) { event.preventDefault(); act(); }
  });
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, view: { ...map.view }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) { placeTip(map.itemAt(event.offsetX, event.offsetY), event); return; }
    if (Math.abs(event.offsetX - drag.x) < 4 && !drag.moved) return;
    drag.moved = true;
    const tokens = (drag.x - event.offsetX) / map.width * (drag.view.to - drag.view.from);
    map.look(drag.view.from + tokens, drag.view.to + tokens);
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) pick(map.itemAt(event.offsetX, event.offsetY));
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
  canvas.addEventListener("dblclick", (event) => { const item = map.itemAt(event.offsetX, event.offsetY); if (item) select(item, true); });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    map.zoom(2 ** (-event.deltaY / 200), map.token(event.offsetX));
    draw();
  }, { passive: false });
  $("overview").addEventListener("pointerdown", (event) => {
    const width = $("overview").clientWidth - GUTTER, half = (map.view.to - map.view.from) / 2;
    const token = (event.offsetX - GUTTER) / width * TOTAL;
    map.look(token - half, token + half);
    draw();
  });
}

function wire() {
  wireMap();
  const on = (id, act, kind = "click") => $(id).addEventListener(kind, act);
  on("step-back", () => goToStep(state.step - 1));
  on("step-on", () => goToStep(state.step + 1));
  on("step", () => goToStep(Number($("step").value)), "input");
  on("play", () => play());
  on("zoom-in", () => zoom(2));
  on("zoom-out", () => zoom(0.5));
  on("pan-left", () => { map.pan(-0.5); draw(); });
  on("pan-right", () => { map.pan(0.5); draw(); });
  on("whole", whole);
  on("zoom-selected", () => state.selected && select(state.selected, true));
  on("search", () => showFound($("search").value, goTo), "input");
  on("table-details", () => showTable(currentItems(), goTo), "toggle");
  on("table-all", () => showTable(currentItems(), goTo), "change");
  on("questions", () => chooseQuestion($("questions").selectedIndex), "change");
  on("theme", toggleTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); draw(); });
  new ResizeObserver(draw).observe($("map").parentElement);
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheme() { $("theme").setAttribute("aria-pressed", String(isDark())); }

function toggleTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  draw();
}

function start() {
  showHeader();
  nameTheme();
  wire();
  if (state.question) {
    $("question-choice").hidden = DATA.questions.length < 2;
    $("questions").replaceChildren(...DATA.questions.map((one, at) => element("option", {}, `${at + 1}. ${one.question.slice(0, 80)}`)));
    chooseQuestion(0);
  } else {
    $("summary").textContent = TOTAL ? "Every block of every document, and the gists above them. Ask with `mctool inspect --query TEXT "
      + "--html FILE` to see what focus does with it." : "The tree is empty.";
    showLegend(lanesOfQuestion(), null);
    showEntry(null);
    draw();
  }
}

start();
performance.measure("first draw", { start: 0 });  // from the moment the page was asked for; for tests, and developer tools
