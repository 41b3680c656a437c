// What the page knows: documents, entries, text, and where each stands. Tokens are positions in the timeline.
const DATA = JSON.parse(document.getElementById("data").textContent);
const BLOCK = 32;
const TOTAL = DATA.tree.tokens;
/** The directory that all documents share; the page names them without it. */
const SHARED = (() => {
  const paths = DATA.documents.paths;
  if (paths.length < 2) return "";
  let shared = paths[0].slice(0, paths[0].lastIndexOf("/") + 1);
  for (const path of paths) while (!path.startsWith(shared)) shared = shared.slice(0, shared.lastIndexOf("/", shared.length - 2) + 1);
  return shared;
})();
const shortened = (path) => (SHARED && path.startsWith(SHARED) ? path.slice(SHARED.length) : path);
const DOCUMENTS = DATA.documents.paths.map((path, at) => ({
  path, name: shortened(path), start: DATA.documents.starts[at], end: DATA.documents.starts[at] + DATA.documents.tokens[at],
  firstBlock: DATA.documents.first_blocks[at], lineSteps: DATA.documents.line_steps[at],
}));
const BLOCK_TEXT = new Map();  // first token of a block -> its text, the line on which it begins, characters of its tokens
function keepTexts(runs) {
  for (const run of runs) {
    let line = run.start_line;
    run.blocks.forEach((text, at) => {
      BLOCK_TEXT.set(run.start_token + at * BLOCK, { text, line, tokens: run.tokens[at] ?? [] });
      line += text.split("\n").length - 1;
    });
  }
}
keepTexts(DATA.texts);

const IS_LIVE = document.documentElement.dataset.live === "true";
const MOST_FETCHED = 64 * BLOCK;
const ASKED = new Set();
/** Ask the server for the text of a range, where there is one; true when that brought something new. */
async function fetchText(start, end) {
  if (!IS_LIVE) return false;
  const asked = `text?start=${Math.floor(start)}&end=${Math.min(Math.ceil(end), Math.floor(start) + MOST_FETCHED)}`;
  if (ASKED.has(asked)) return false;
  ASKED.add(asked);
  const answer = await fetch(asked);
  if (!answer.ok) return false;
  const runs = await answer.json();
  keepTexts(runs);
  DATA.texts.push(...runs);
  return true;
}

const number = (value) => value.toLocaleString("en-US");
const counted = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
const levelName = (lod) => (lod === 0 ? "raw text" : `LOD${lod}`);

/** Index of the last item that starts at or before a token; -1 where none does. */
function indexAt(items, token) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].start <= token) low = middle + 1; else high = middle;
  }
  return low - 1;
}

/** The named document in which a token lies; null where the page names none. */
function documentAt(token) {
  const found = DOCUMENTS[indexAt(DOCUMENTS, token)];
  return found && token < found.end ? found : null;
}

/** Items of [lod, tokens, score] columns with their place in the timeline. */
function laid(lods, tokens, scores) {
  let start = 0;
  return tokens.map((size, at) => {
    const item = { lod: lods[at], start, end: start + size, score: scores ? scores[at] : null };
    item.cost = item.lod === 0 ? size : 1;
    start += size;
    return item;
  });
}

function entriesOf(step) {
  step.entries ??= laid(step.lods, step.tokens, step.scores);
  return step.entries;
}

const NODES = {};
/** All nodes of a level, where the page knows them: blocks come from the documents it names. */
function nodesOf(lod) {
  if (!NODES[lod]) {
    const sizes = DATA.levels[lod];
    if (lod >= 2) NODES[lod] = sizes ? laid(sizes.map(() => lod), sizes, null) : [];
    else NODES[lod] = DOCUMENTS.flatMap((one) => blocksOf(one.start, one.end).map((block) => ({ ...block, lod, score: null, cost: lod ? 1 : block.end - block.start })));
  }
  return NODES[lod];
}

/** Blocks of a token range, by document; where no document is named, none. */
function blocksOf(start, end, most = Infinity) {
  const blocks = [];
  for (let at = Math.max(indexAt(DOCUMENTS, start), 0); at < DOCUMENTS.length && DOCUMENTS[at].start < end; at++) {
    const { start: first, end: last } = DOCUMENTS[at];
    const skipped = Math.max(Math.floor((start - first) / BLOCK), 0);
    for (let token = first + skipped * BLOCK; token < Math.min(end, last); token += BLOCK) {
      if (blocks.length === most) return blocks;
      blocks.push({ start: token, end: Math.min(token + BLOCK, last) });
    }
  }
  return blocks;
}

/** Line on which the block of a token begins; null where it is unknown. */
function lineAt(token) {
  const found = documentAt(token);
  if (!found) return null;
  const block = Math.floor((token - found.start) / BLOCK);
  const text = BLOCK_TEXT.get(found.start + block * BLOCK);
  if (text) return text.line;
  return found.lineSteps ? found.lineSteps.slice(0, block).reduce((line, step) => line + step, 1) : null;
}

/** Where a range stands in the sources: path and lines, or the documents from the first to the last. */
function placeOf(start, end) {
  const first = documentAt(start), last = documentAt(end - 1);
  if (!first && !last) return "documents that this page does not name";
  if (first !== last) {
    const between = indexAt(DOCUMENTS, end - 1) - indexAt(DOCUMENTS, start) + 1;
    return `${first ? first.name : "…"} to ${last ? last.name : "…"} (${number(between)} documents)`;
  }
  const from = lineAt(start), block = lastBlock(first, end);
  if (from === null) return first.name;
  const text = BLOCK_TEXT.get(block);
  const to = text ? text.line + text.text.replace(/\n$/, "").split("\n").length - 1
    : block + BLOCK < first.end ? lineAt(block + BLOCK) : null;
  return to === null ? `${first.name}:${from}-` : `${first.name}:${from}-${Math.max(to, from)}`;
}

function lastBlock(found, end) {
  return found.start + Math.floor((end - 1 - found.start) / BLOCK) * BLOCK;
}

/** Text of a range as far as the page has it: {text, shown, all} with counts of blocks. */
function textOf(start, end, most = 64) {
  const blocks = blocksOf(start, end);
  const pieces = blocks.slice(0, most).map((block) => BLOCK_TEXT.get(block.start)?.text);
  const shown = pieces.filter((text) => text !== undefined).length;
  let gap = false;
  const text = pieces.map((piece) => {
    const joint = piece === undefined && !gap ? "\n[…]\n" : "";
    gap = piece === undefined;
    return piece ?? joint;
  }).join("");
  return { text: shown ? text : "", shown, all: blocks.length };
}

/** The tokens of a block as {start, text}, in order; none where the page does not know them. */
function tokensOf(start) {
  const block = BLOCK_TEXT.get(start);
  let at = 0;
  return (block?.tokens ?? []).map((size, place) => {
    at += size;
    return { start: start + place, text: block.text.slice(at - size, at) };
  });
}

/** The name LOD:INDEX of an item, as `mctool inspect --node` takes it; null without a tree. */
function nodeOf(item) {
  const found = documentAt(item.start);
  if (!found || found.firstBlock === undefined) return null;
  const block = found.firstBlock + Math.floor((item.start - found.start) / BLOCK);
  return `${item.lod}:${Math.floor(block / BLOCK ** Math.max(item.lod - 1, 0))}`;
}

/** Token ranges at which two tilings differ in level; finer where the second shows more. */
function changesOf(before, after) {
  const changes = [];
  for (let old = 0, now = 0, at = 0; now < after.length;) {
    const end = Math.min(before[old].end, after[now].end);
    if (before[old].lod !== after[now].lod) changes.push({ start: at, end, finer: after[now].lod < before[old].lod });
    old += before[old].end === end;
    now += after[now].end === end;
    at = end;
  }
  return changes;
}

/** Adjacent raw entries of one document, as one: {start, end, score}. */
function rawRunsOf(items) {
  const runs = [];
  for (const item of items) {
    if (item.lod) continue;
    const last = runs.at(-1);
    if (last && last.end === item.start && documentAt(last.start) === documentAt(item.start)) {
      last.end = item.end;
      last.score = Math.max(last.score, item.score);
    } else runs.push({ start: item.start, end: item.end, score: item.score });
  }
  return runs;
}
