// Everything around the map. All text of documents goes in as text nodes, never as HTML.
const MOST_FOUND = 60;
const MOST_ROWS = 2000;
const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function showHeader() {
  const tree = DATA.tree;
  $("tree-facts").textContent = `${tree.path}: ${counted(tree.tokens, "token")} in ${counted(tree.documents, "document")}`
    + (SHARED ? `, all below ${SHARED}` : "")
    + (tree.is_open ? "" : " (from the trace alone; the tree is gone or has changed)");
  const left = [];
  if (tree.is_open) {
    left.push(DATA.text_blocks < tree.blocks
      ? `This page holds the text of ${number(DATA.text_blocks)} of ${counted(tree.blocks, "block")}: those in focus, what `
        + "stands around them, and others while there was room. `mctool inspect --node LOD:INDEX` shows any."
      : "This page holds the whole text of the tree.");
    if (IS_LIVE) left.push("The text of any other entry comes from the tree when it is selected.");
  } else left.push("This page holds the text of the citations alone.");
  if (DATA.documents.left_out) left.push(`${counted(DATA.documents.left_out, "document")} are not named.`);
  if (DATA.touched.left_out) left.push(`${counted(DATA.touched.left_out, "node")} that focus touched less often are left out.`);
  if (DATA.questions_left_out) left.push(`${counted(DATA.questions_left_out, "question")} of the trace are left out.`);
  $("left-out").textContent = `${left.join(" ")} Made by ${DATA.made_by}.`;
}

function showQuestion(question, goTo) {
  $("answer-part").hidden = false;
  $("question").textContent = question.question;
  $("answer").hidden = !question.answer && question.answer !== null;
  $("answer").textContent = question.answer ?? "The trace ends before an answer.";
  const most = Math.max(...question.citations.map((one) => one.delta_nats ?? 0), 1e-9);
  $("sources-title").textContent = question.supported && question.answer ? "Where the answer came from"
    : question.answer ? "The nearest passages, which do not hold an answer" : "Passages that focus found";
  $("citations").replaceChildren(...question.citations.map((one, at) => {
    const place = `[${at + 1}] ${shortened(one.path)}:${one.start_line}-${one.end_line}`;
    const button = element("button", { type: "button", title: one.path, onclick: () => goTo(one) }, place);
    const item = element("li", {}, button);
    if (one.delta_nats !== null) {
      const bar = element("i");
      bar.style.width = `${Math.max(one.delta_nats / most, 0) * 6}rem`;
      item.append(element("span", { class: "worth" }, bar,
        `worth ${one.delta_nats.toFixed(2)} nats: so much likelier is the answer with this passage than without`));
    }
    item.append(element("pre", { tabindex: 0, "aria-label": `Text of citation ${at + 1}` }, one.text));
    return item;
  }));
  if (!question.citations.length) $("citations").replaceChildren(element("li", {}, "No passage is cited."));
}

/** What the model was given, and what was left out, in a sentence. */
function showSummary(question, items, isLast) {
  const raw = items.filter((item) => item.lod === 0), tokens = raw.reduce((sum, item) => sum + item.end - item.start, 0);
  const documents = new Set(raw.map((item) => documentAt(item.start)?.path));
  const share = tokens / Math.max(TOTAL, 1) * 100;
  $("map-title").textContent = isLast ? "What was read, and what was left out" : "On the way: what was looked at";
  const rest = items.length - raw.length;
  $("summary").textContent = (isLast ? "The model is given the words of " : "At this step, raw text shows ")
    + `${counted(tokens, "token")} (${counted(raw.length, "block")}) from ${counted(documents.size, "document")}: `
    + `${share >= 0.1 || !share ? share.toFixed(1) : share.toPrecision(1)}% of the tree. The words of everything else are left out; `
    + `${rest === 1 ? "one coarser entry stands" : `${number(rest)} coarser entries stand`} for it.`;
}

function showStep(question, at) {
  const step = question.steps[at], last = question.steps.length - 1;
  $("player").hidden = !last;
  $("step").max = last;
  $("step").value = at;
  const title = at ? `Refocus ${step.iteration}: ${step.expanded} expanded, ${step.collapsed} collapsed, swap rate `
    + `${step.swap_rate.toFixed(2)}, ${(step.seconds * 1000).toFixed(0)} ms` : "The first cover";
  $("step").setAttribute("aria-valuetext", title);
  $("step-title").textContent = `${at} of ${last}. ${title}`;
  const share = step.cost / question.w_max;
  $("budget-bar").firstElementChild.style.width = `${Math.min(share, 1) * 100}%`;
  $("budget-text").textContent = `${number(step.cost)} of ${number(question.w_max)} tokens (${Math.round(share * 100)}%)`;
  $("step-back").disabled = !at;
  $("step-on").disabled = at === last;
}

function showEntry(item) {
  $("zoom-selected").disabled = !item;
  if (!item) {
    $("entry-title").textContent = "Entry";
    $("entry-facts").replaceChildren();
    $("entry-text").textContent = "";
    $("entry-note").textContent = "Nothing is selected. Click the map, or focus it and press an arrow key.";
    return;
  }
  const node = nodeOf(item), facts = [["place", placeOf(item.start, item.end)]];
  facts.push(["level", item.lod === 0 ? "LOD0, raw text" : `LOD${item.lod}, one gist for all of it`]);
  facts.push(["tokens", `${number(item.start)}-${number(item.end)} (${number(item.end - item.start)}), cost ${number(item.cost)}`]);
  if (item.score !== null) facts.push(["focus score", item.score.toFixed(3)]);
  if (node) facts.push(["node", node]);
  const touched = node && DATA.touched.nodes.find((row) => `${row[0]}:${row[1]}` === node);
  if (touched) facts.push(["touched", `expanded ${touched[4]}, collapsed ${touched[5]}, cited ${touched[6]} times`]);
  $("entry-title").textContent = node ? `Entry ${node}` : "Entry";
  $("entry-facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  const { text, shown, all } = textOf(item.start, item.end);
  $("entry-text").textContent = text;
  $("entry-note").textContent = shown === all ? "" : shown
    ? `Text of ${number(shown)} of ${counted(all, "block")}; […] marks what is not shown.` : "Its text is not in this page.";
}

function placeTip(item, event) {
  const tip = $("tip");
  tip.hidden = !item;
  if (!item) return;
  const score = item.score === null ? "" : `, score ${item.score.toFixed(2)}`;
  const { text } = textOf(item.start, item.end, 2);
  tip.textContent = `${placeOf(item.start, item.end)}\n${levelName(item.lod)}, ${number(item.end - item.start)} tokens${score}`
    + (text ? `\n${text.trim().slice(0, 240)}` : "");
  const left = Math.min(event.pageX + 14, window.scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${event.pageY + 18}px`;
}

/** Documents by name, then blocks by text. */
function find(words) {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return [];
  const found = DOCUMENTS.filter((one) => one.path.toLowerCase().includes(wanted))
    .map((one) => ({ start: one.start, end: one.end, title: one.path, note: counted(one.end - one.start, "token") }));
  for (const run of DATA.texts) {
    run.blocks.forEach((text, at) => {
      const place = text.toLowerCase().indexOf(wanted);
      if (place < 0) return;
      const start = run.start_token + at * BLOCK, from = Math.max(place - 50, 0);
      const line = BLOCK_TEXT.get(start).line + text.slice(0, place).split("\n").length - 1;
      found.push({ start, end: Math.min(start + BLOCK, documentAt(start)?.end ?? start + BLOCK), text: text.slice(from, place + wanted.length + 60),
        at: place - from, length: wanted.length, note: `${documentAt(start)?.name ?? ""}:${line}` });
    });
  }
  return found;
}

function showFound(words, goTo) {
  const found = find(words);
  $("found-count").textContent = words.trim() ? `${counted(found.length, "place")} in names and the text of this page`
    + (found.length > MOST_FOUND ? `; the first ${MOST_FOUND}` : "") : "";
  $("found").replaceChildren(...found.slice(0, MOST_FOUND).map((one) => {
    const label = one.text === undefined ? [element("strong", {}, one.title)]
      : [one.text.slice(0, one.at), element("mark", {}, one.text.slice(one.at, one.at + one.length)), one.text.slice(one.at + one.length)];
    return element("li", {}, element("button", { type: "button", onclick: () => goTo(one) }, ...label, element("small", {}, one.note)));
  }));
}

function showTable(items, goTo) {
  if (!$("table-details").open) return;
  const chosen = items.filter((item) => $("table-all").checked || item.lod === 0);
  const shown = chosen.slice(0, MOST_ROWS);
  $("table-caption").textContent = `${number(shown.length)} of ${number(items.length)} entries, in the order of the timeline`;
  $("table").replaceChildren(...shown.map((item) => element("tr", {},
    element("td", {}, levelName(item.lod)),
    element("td", {}, `${number(item.start)}-${number(item.end)}`),
    element("td", {}, element("button", { type: "button", onclick: () => goTo(item) }, placeOf(item.start, item.end))),
    element("td", {}, item.score === null ? "" : item.score.toFixed(2)),
    element("td", {}, number(item.cost)))));
}

function showLegend(lods, question) {
  const style = (name) => { const box = element("i"); box.style.background = `var(--${name})`; return box; };
  const line = (text, ...names) => element("span", {}, ...names.map(style), text);
  const kinds = lods.map((lod) => (lod === 0 ? "raw text: the model reads its words"
    : `LOD${lod}: one gist for ${number(BLOCK ** lod)} tokens`));
  const parts = [...kinds.map((text) => line(text))];
  if (question) {
    parts.push(line("focus score: below 0", "below"), line("none", "gist"), line("low to high", "low", "mid", "high"),
      line("changed: upper half, expanded", "expanded"), line("lower half, collapsed", "collapsed"), line("cited", "cited"));
  }
  if (DATA.touched.nodes.length) parts.push(line("touched: how often focus was here, over all questions", "heat"));
  $("legend").replaceChildren(...parts);
}
