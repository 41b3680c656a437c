// The map: lanes over the timeline, drawn on a canvas. It knows the view and the selection, and nothing of panels.
const GUTTER = 76;
const HEIGHTS = { cited: 22, documents: 24, gist: 16, raw: 104, changed: 14, touched: 16, axis: 20 };
const SMALLEST_VIEW = 8;
const SCORE_STRIP = 6;
const WIDE_TOKEN = 18;  // pixels from which tokens are told apart

class FocusMap {
  constructor(canvas, overview) {
    this.canvas = canvas;
    this.overview = overview;
    this.view = { from: 0, to: Math.max(TOTAL, 1) };
    this.show({ items: [], lods: [0], changes: [], citations: [], selected: null });
  }

  /** Take what is to be seen: items of one tiling, the levels that get a lane, changes, citations, the selected item. */
  show(scene) {
    this.scene = scene;
    this.lanes = [];
    let top = 0;
    const add = (name, height, lod) => { this.lanes.push({ name, top, height, lod }); top += height; };
    if (scene.citations.length) add("cited", HEIGHTS.cited);
    add("documents", HEIGHTS.documents);
    for (const lod of [...scene.lods].sort((a, b) => b - a)) {
      add(levelName(lod), lod === 0 ? HEIGHTS.raw : HEIGHTS.gist, lod);
    }
    if (scene.hasSteps) add("changed", HEIGHTS.changed);
    if (DATA.touched.nodes.length) add("touched", HEIGHTS.touched);
    add("tokens", HEIGHTS.axis);
    this.height = top;
  }

  get width() { return this.canvas.clientWidth - GUTTER; }
  x(token) { return GUTTER + (token - this.view.from) / (this.view.to - this.view.from) * this.width; }
  token(x) { return this.view.from + (x - GUTTER) / this.width * (this.view.to - this.view.from); }

  /** Look at [from, to), moved and widened to what there is. */
  look(from, to) {
    const size = Math.min(Math.max(to - from, Math.min(SMALLEST_VIEW, TOTAL)), Math.max(TOTAL, 1));
    const start = Math.min(Math.max((from + to) / 2 - size / 2, 0), Math.max(TOTAL, 1) - size);
    this.view = { from: start, to: start + size };
  }

  zoom(factor, around = (this.view.from + this.view.to) / 2) {
    const { from, to } = this.view;
    this.look(around - (around - from) / factor, around + (to - around) / factor);
  }

  pan(share) {
    const step = (this.view.to - this.view.from) * share;
    this.look(this.view.from + step, this.view.to + step);
  }

  /** Keep the view, or move it so that an item is in it. */
  reveal(item) {
    const { from, to } = this.view;
    if (item.start >= from && item.end <= to) return;
    const size = Math.max(to - from, item.end - item.start), middle = (item.start + item.end) / 2;
    this.look(middle - size / 2, middle + size / 2);
  }

  draw() {
    const context = this.prepare(this.canvas, this.height);
    this.colours = readColours();
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const lane of this.lanes) {
      context.fillStyle = this.colours.faint;
      context.fillText(lane.name, 4, lane.top + Math.min(lane.height, 24) / 2);
      context.save();
      context.beginPath();
      context.rect(GUTTER, lane.top, this.width, lane.height);
      context.clip();
      this.drawLane(context, lane);
      context.restore();
      context.fillStyle = this.colours.line;
      context.fillRect(0, lane.top + lane.height - 0.5, this.canvas.clientWidth, 0.5);
    }
    this.drawSelected(context);
    this.drawOverview();
  }

  prepare(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  }

  drawLane(context, lane) {
    if (lane.lod !== undefined) this.drawItems(context, lane);
    else ({ cited: () => this.drawCited(context, lane), documents: () => this.drawDocuments(context, lane),
      changed: () => this.drawChanged(context, lane), touched: () => this.drawTouched(context, lane),
      tokens: () => this.drawAxis(context, lane) })[lane.name]();
  }

  visible(items) {
    return items.slice(Math.max(indexAt(items, this.view.from), 0), indexAt(items, this.view.to) + 1);
  }

  drawItems(context, lane) {
    const all = this.scene.hasSteps ? this.scene.items : nodesOf(lane.lod);
    const perToken = this.width / (this.view.to - this.view.from);
    if (!this.scene.hasSteps && BLOCK ** Math.max(lane.lod, 1) * perToken < 3) {  // too many to tell apart
      context.fillStyle = this.colours.document;
      context.fillRect(GUTTER, lane.top + 1, this.width, lane.height - 3);
      context.fillStyle = this.colours.faint;
      context.fillText(`${counted(all.length, lane.lod ? "node" : "block")}: zoom in to see them`, GUTTER + 6, lane.top + lane.height / 2);
      return;
    }
    const items = this.visible(all).filter((item) => item.lod === lane.lod);
    const top = this.scene.items.reduce((most, item) => Math.max(most, item.score ?? 0), 1e-9);
    items.sort((a, b) => (a.score ?? 0) - (b.score ?? 0));  // the highest scores are drawn last
    for (const item of items) {
      const x = this.x(item.start), width = Math.max(this.x(item.end) - x, lane.lod === 0 ? 2.5 : 0.75);
      const isRead = lane.lod === 0 && width > 60, room = width > 4 ? width - 1 : width;
      context.fillStyle = scoreColour(item.score, top, this.colours);
      context.fillRect(x, lane.top + 1, room, isRead ? SCORE_STRIP : lane.height - 3);
      if (isRead) {  // words need a calm ground: the score is in a strip above them
        context.fillStyle = this.colours.panel;
        context.fillRect(x, lane.top + 1 + SCORE_STRIP, room, lane.height - 3 - SCORE_STRIP);
        this.drawText(context, item, lane, x, width);
      }
      else if (width > 70) {
        context.fillStyle = this.colours.text;
        context.fillText(nodeOf(item) ?? "", Math.max(x, GUTTER) + 4, lane.top + lane.height / 2, width - 6);
      }
    }
    if (lane.lod === 0 && this.scene.hasSteps) this.drawRunNames(context, lane);
  }

  /** The place of each raw run beside it, those with the highest scores first, as far as there is room. */
  drawRunNames(context, lane) {
    const bars = rawRunsOf(this.scene.items).filter((run) => run.end > this.view.from && run.start < this.view.to)
      .map((run) => ({ ...run, left: this.x(run.start), right: Math.max(this.x(run.end), this.x(run.start) + 3) }));
    const names = [];
    const isFree = (left, right, row) => left > GUTTER && right < GUTTER + this.width
      && bars.every((bar) => left > bar.right || right < bar.left)
      && names.every((name) => name.row !== row || left > name.right || right < name.left);
    context.fillStyle = this.colours.text;
    for (const bar of [...bars].sort((a, b) => b.score - a.score)) {
      if (bar.right - bar.left > 60) continue;  // its text is drawn in it
      const cited = this.scene.citations.find((one) => one.start_token < bar.end && bar.start < one.end_token);
      const text = `${cited ? `[${cited.number}] ` : ""}${placeOf(bar.start, bar.end)}`, width = context.measureText(text).width;
      const after = bars.filter((other) => other.left >= bar.left && other.left < bar.right + 60).map((other) => other.right + 5);
      const places = [...after, bar.left - width - 5].flatMap((left) => [0, 1, 2, 3, 4, 5, 6].map((row) => ({ left, row })));
      const place = places.find(({ left, row }) => isFree(left, left + width, row));
      if (!place) continue;
      context.fillText(text, place.left, lane.top + 9 + place.row * 14);
      names.push({ left: place.left - 3, right: place.left + width + 6, row: place.row });
    }
  }

  /** The text of a raw block, in lines that fit its rectangle. */
  drawText(context, item, lane, x, width) {
    const text = textOf(item.start, item.end).text;
    if (!text) return;
    const tokens = tokensOf(item.start);
    if (tokens.length && width / tokens.length > WIDE_TOKEN) {
      this.drawTokens(context, tokens, lane);
      return;
    }
    context.font = "11px ui-monospace, monospace";
    context.fillStyle = this.colours.text;
    const columns = Math.max(Math.floor((width - 9) / context.measureText("m").width), 1);
    const lines = text.split("\n").flatMap((line) => line.match(new RegExp(`.{1,${columns}}`, "gu")) ?? [""]);
    lines.slice(0, Math.floor((lane.height - 12) / 13)).forEach((line, at) => {
      context.fillText(line, x + 4, lane.top + 16 + at * 13);
    });
    context.font = "11px system-ui, sans-serif";
  }

  /** Each token of a block in a column of its own; spaces, tabs and line ends are shown. */
  drawTokens(context, tokens, lane) {
    context.font = "12px ui-monospace, monospace";
    context.fillStyle = this.colours.document;
    for (const token of tokens.filter((_, at) => at % 2)) {
      context.fillRect(this.x(token.start), lane.top + 1 + SCORE_STRIP, this.x(token.start + 1) - this.x(token.start),
        lane.height - 3 - SCORE_STRIP);
    }
    context.fillStyle = this.colours.text;
    tokens.forEach((token, at) => {
      const x = this.x(token.start), shown = token.text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
      context.fillText(shown, x + 3, lane.top + 22 + (at % 3) * 28, 3 * (this.x(token.start + 1) - x) - 6);
    });
    context.font = "11px system-ui, sans-serif";
  }

  drawDocuments(context, lane) {
    const first = Math.max(indexAt(DOCUMENTS, this.view.from), 0);
    this.visible(DOCUMENTS).forEach((one, at) => {
      const x = this.x(one.start), width = Math.max(this.x(one.end) - x, 0.5);
      context.fillStyle = this.colours[(first + at) % 2 ? "document" : "document-2"];
      context.fillRect(x, lane.top + 2, width, lane.height - 5);
      const left = Math.max(x, GUTTER), room = Math.min(x + width, GUTTER + this.width) - left - 8;
      if (room > 26) {
        context.fillStyle = this.colours.text;
        context.fillText(fitted(context, one.name, room), left + 4, lane.top + lane.height / 2);
      }
    });
  }

  drawCited(context, lane) {
    let free = -Infinity;
    const cited = this.scene.citations.filter((one) => one.end_token > one.start_token);
    for (const one of [...cited].sort((a, b) => a.start_token - b.start_token)) {
      const x = this.x(one.start_token), width = Math.max(this.x(one.end_token) - x, 2);
      context.fillStyle = this.colours.cited;
      context.fillRect(x, lane.top + lane.height - 6, width, 5);
      const left = Math.max(x + width / 2 - 9, free);
      if (x + width < GUTTER || x > GUTTER + this.width || left > x + width / 2 + 30) continue;
      context.font = "bold 11px system-ui, sans-serif";
      context.fillText(`[${one.number}]`, Math.max(Math.min(left, GUTTER + this.width - 20), GUTTER), lane.top + 8);
      context.font = "11px system-ui, sans-serif";
      free = left + 20;
    }
  }

  /** Upper half: expanded; lower half: collapsed. Told by place, not by colour alone. */
  drawChanged(context, lane) {
    for (const change of this.scene.changes) {
      if (change.end <= this.view.from || change.start >= this.view.to) continue;
      const x = this.x(change.start), width = Math.max(this.x(change.end) - x, 1);
      context.fillStyle = this.colours[change.finer ? "expanded" : "collapsed"];
      context.fillRect(x, lane.top + (change.finer ? 1 : lane.height / 2), width, lane.height / 2 - 2);
    }
  }

  drawTouched(context, lane) {
    const sum = (row) => row[4] + row[5] + row[6];
    const most = Math.log1p(Math.max(...DATA.touched.nodes.map(sum)));
    context.fillStyle = this.colours.heat;
    for (const row of [...DATA.touched.nodes].sort((a, b) => b[0] - a[0])) {  // coarse nodes first, fine ones upon them
      if (row[3] <= this.view.from || row[2] >= this.view.to) continue;
      const x = this.x(row[2]);
      context.globalAlpha = (row[0] > 1 ? 0.25 : 1) * Math.log1p(sum(row)) / most;
      context.fillRect(x, lane.top + 2, Math.max(this.x(row[3]) - x, 1), lane.height - 5);
    }
    context.globalAlpha = 1;
  }

  drawAxis(context, lane) {
    const rough = (this.view.to - this.view.from) / Math.max(this.width / 110, 1);
    const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const step = Math.max([1, 2, 5, 10].map((part) => part * power).find((size) => size >= rough), 1);
    context.fillStyle = this.colours.faint;
    for (let token = Math.ceil(this.view.from / step) * step; token <= this.view.to; token += step) {
      context.fillRect(this.x(token), lane.top, 1, 4);
      context.fillText(number(token), this.x(token) + 3, lane.top + 12);
    }
  }

  drawSelected(context) {
    const item = this.scene.selected;
    const lane = item && this.lanes.find((one) => one.lod === item.lod);
    if (!lane || item.end <= this.view.from || item.start >= this.view.to) return;
    const x = Math.max(this.x(item.start), GUTTER - 2), end = Math.min(this.x(item.end), GUTTER + this.width + 2);
    context.lineWidth = 2;
    context.strokeStyle = this.colours.focus;
    const middle = (Math.max(x, GUTTER) + Math.min(end, GUTTER + this.width)) / 2;
    if (end - x > 7) context.strokeRect(x - 1, lane.top + 1, end - x + 1, lane.height - 3);
    context.fillStyle = this.colours.focus;
    context.beginPath();  // a pointer below the lane, which hides nothing
    context.moveTo(middle, lane.top + lane.height - 9);
    context.lineTo(middle + 6, lane.top + lane.height);
    context.lineTo(middle - 6, lane.top + lane.height);
    context.fill();
  }

  drawOverview() {
    const context = this.prepare(this.overview, 20), width = this.overview.clientWidth - GUTTER;
    const at = (token) => GUTTER + token / Math.max(TOTAL, 1) * width;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = this.colours.faint;
    context.fillText("overview", 4, 14);
    DOCUMENTS.forEach((one, place) => {
      context.fillStyle = this.colours[place % 2 ? "document" : "document-2"];
      context.fillRect(at(one.start), 0, at(one.end) - at(one.start), 20);
    });
    context.fillStyle = this.colours.high;
    for (const item of this.scene.items) {
      if (item.lod === 0 && item.score !== null) context.fillRect(at(item.start), 3, Math.max(at(item.end) - at(item.start), 1.5), 14);
    }
    context.lineWidth = 2;
    context.strokeStyle = this.colours.focus;
    context.strokeRect(at(this.view.from) + 1, 1, Math.max(at(this.view.to) - at(this.view.from) - 2, 3), 18);
  }

  /** The item at a point of the canvas: a raw one that is near, else the one at the token. */
  itemAt(x, y) {
    const lane = this.lanes.find((one) => one.lod !== undefined && y >= one.top && y < one.top + one.height);
    const token = this.token(x), items = this.scene.hasSteps || !lane ? this.scene.items : nodesOf(lane.lod);
    const near = items.filter((item) => item.lod === 0 && item.score !== null && Math.abs(this.x((item.start + item.end) / 2) - x) < 4);
    const found = items[indexAt(items, token)];
    if (found && found.lod === 0) return found;
    return near[0] ?? (x >= GUTTER && found && token < found.end ? found : null);
  }
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["text", "faint", "line", "focus", "gist", "below", "low", "mid", "high", "expanded", "collapsed", "cited",
    "document", "document-2", "heat", "panel"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function scoreColour(score, top, colours) {
  if (!score) return colours.gist;
  if (score < 0) return colours.below;
  return score / top > 2 / 3 ? colours.high : score / top > 1 / 3 ? colours.mid : colours.low;
}

/** A path that fits: as it is, without directories, or none at all, for a piece of a name tells nothing. */
function fitted(context, path, room) {
  const parts = path.split("/");
  const names = [path, ...parts.slice(1).map((_, at) => `…/${parts.slice(at + 1).join("/")}`), parts.at(-1)];
  return names.find((name) => context.measureText(name).width <= room) ?? "";
}
