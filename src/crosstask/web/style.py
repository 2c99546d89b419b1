"""Style and script of the web page; no outside fonts, no outside code."""

CSS = """
.gradio-container { width: 100% !important; max-width: 1280px !important; margin: 0 auto !important; }
.gradio-container main { width: 100%; }
@media (max-width: 500px) { .gradio-container main { padding: 4px !important; } }
footer { display: none !important; }
.ct-head h1 { font-size: 1.4rem; margin: 0; }
.ct-head p, .ct-soft, .ct-note { color: var(--body-text-color); opacity: 0.72; font-size: 0.85rem; margin: 0.15rem 0; }
.ct-error { border-left: 4px solid #c0392b; background: #fdecea; color: #7b1d13; padding: 0.5rem 0.7rem;
  margin: 0.2rem 0; overflow-wrap: anywhere; }
.ct-examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); gap: 6px; }
.ct-example { padding: 0; border: 2px solid transparent; border-radius: 6px; overflow: hidden; cursor: pointer;
  line-height: 0; background: none; }
.ct-example:hover, .ct-example:focus-visible { border-color: var(--color-accent); }
.ct-example img { width: 100%; border-radius: 4px; }
.ct-bar { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; align-items: center; font-size: 0.9rem; margin: 0.3rem 0; }
.ct-bar label { display: inline-flex; gap: 0.35rem; align-items: center; cursor: pointer; }
.ct-bar kbd, .ct-soft kbd { font: inherit; font-size: 0.75rem; padding: 0 0.3rem; border: 1px solid var(--border-color-primary);
  border-radius: 4px; opacity: 0.75; }
@media (hover: none) { .ct-bar kbd { display: none; } }
.ct-strip { display: flex; gap: 6px; overflow-x: auto; padding: 2px; }
.ct-item { flex: 0 0 auto; width: 96px; padding: 0; border: 2px solid transparent; border-radius: 6px; overflow: hidden;
  cursor: pointer; line-height: 0; background: none; }
.ct-item img { width: 100%; height: 60px; object-fit: cover; border-radius: 4px; }
.ct-item[aria-pressed=true], .ct-item:focus-visible { border-color: var(--color-accent); }
.ct-split { width: 100%; margin: 2px 0; }
.ct-ends { justify-content: space-between; }
.ct-compared.ct-hidden { display: none; }
.ct-compared img { width: 100%; }
.ct-compared .ct-legend { width: 360px; }
.ct-over { position: absolute; inset: 0; height: 100%; clip-path: inset(0 0 0 50%); }
.ct-line { position: absolute; top: 0; bottom: 0; left: 50%; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 0 1px #000; pointer-events: none; }
.ct-help { font-size: 0.85rem; margin: 0.3rem 0 0.6rem; }
.ct-help summary { cursor: pointer; }
.ct-help dt { font-weight: 600; margin-top: 0.4rem; }
.ct-help dd { margin: 0; max-width: 60rem; }
.ct-away { position: absolute !important; width: 1px; height: 1px; overflow: hidden; opacity: 0; pointer-events: none; }
.ct-range input { width: 140px; }
.ct-pick { position: relative; cursor: crosshair; line-height: 0; overflow: hidden; border-radius: 4px; }
.ct-pick img { width: 100%; display: block; margin: 0; user-select: none; -webkit-user-drag: none; }
.ct-layer { position: absolute; inset: 0; height: 100%; opacity: 0.5; }
.ct-layer.ct-hidden { display: none !important; }
.ct-mark { position: absolute; width: 16px; height: 16px; margin: -8px 0 0 -8px; border-radius: 50%;
  border: 2px solid #fff; box-shadow: 0 0 0 1.5px #000, inset 0 0 0 1.5px #000; pointer-events: none; }
.ct-mark::before, .ct-mark::after { content: ""; position: absolute; background: #fff; box-shadow: 0 0 0 1px #000; }
.ct-mark::before { left: 5.5px; top: -22px; width: 1px; height: 14px; }
.ct-mark::after { top: 5.5px; left: -22px; height: 1px; width: 14px; }
.ct-pick:focus-visible { outline: 3px solid var(--color-accent); outline-offset: 2px; }
.ct-grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 12px; margin-top: 12px; }
.ct-grid.ct-small { grid-template-columns: repeat(auto-fit, minmax(min(100%, 130px), 1fr)); margin: 4px 0 14px; }
.ct-card { margin: 0; padding: 8px; background: #fff; color: #26282e; border: 1px solid #dfe1e6; border-radius: 8px; }
.ct-card figcaption { color: #26282e !important; font-weight: 600; font-size: 0.9rem; margin-bottom: 4px; }
.ct-card p { color: #26282e; }
.ct-legend { width: 360px; max-width: 100%; display: block; margin: 6px auto 0; }
.ct-reading { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 8px; }
.ct-reading > div { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 3px 10px; }
.ct-reading dt { font-size: 0.72rem; opacity: 0.72; }
.ct-reading dd { margin: 0; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
"""

# `element` is the component and stays when its content changes, so every listener sits on it.
CLICKS = """
const clamp = (x, top) => Math.max(0, Math.min(top - 1, Math.floor(x)));
const choice = { task: null, opacity: 50, compared: null, split: 50 };
const compare = () => {
  const radios = [...element.querySelectorAll('input[name=ct-compared]')];
  if (!radios.length) return;
  const wanted = radios.find(r => r.value === choice.compared) || radios[1];
  wanted.checked = true;
  element.querySelector('.ct-split').value = choice.split;
  element.querySelectorAll('.ct-compared').forEach(pair => {
    pair.classList.toggle('ct-hidden', pair.dataset.task !== wanted.value);
  });
  element.querySelectorAll('.ct-over').forEach(map => {
    map.style.clipPath = `inset(0 0 0 ${choice.split}%)`;
  });
  element.querySelectorAll('.ct-line').forEach(line => { line.style.left = choice.split + '%'; });
};
const apply = () => {
  compare();
  const radios = [...element.querySelectorAll('input[name=ct-overlay]')];
  if (!radios.length) return;
  const wanted = radios.find(r => r.value === choice.task) || radios[1];
  wanted.checked = true;
  const range = element.querySelector('.ct-opacity');
  range.value = choice.opacity;
  element.querySelectorAll('.ct-layer').forEach(layer => {
    layer.classList.toggle('ct-hidden', layer.dataset.task !== wanted.value);
    layer.style.opacity = choice.opacity / 100;
  });
};
element.addEventListener('input', event => {
  if (event.target.name === 'ct-overlay') choice.task = event.target.value;
  else if (event.target.name === 'ct-compared') choice.compared = event.target.value;
  else if (event.target.classList.contains('ct-split')) choice.split = Number(event.target.value);
  else if (event.target.classList.contains('ct-opacity')) choice.opacity = Number(event.target.value);
  else return;
  apply();
});
const place = (row, column) => document.querySelectorAll('.ct-pick').forEach(pick => {
  pick.dataset.row = row;
  pick.dataset.column = column;
  const mark = pick.querySelector('.ct-mark');
  mark.style.left = 100 * (column + 0.5) / Number(pick.dataset.width) + '%';
  mark.style.top = 100 * (row + 0.5) / Number(pick.dataset.height) + '%';
});
// Arrow keys move the mark at once; the pixel is read when they rest, or with Enter.
const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
let resting = null, focused = -1;
element.addEventListener('keydown', event => {
  const pick = event.target.closest('.ct-pick');
  if (!pick || event.ctrlKey || event.altKey || event.metaKey) return;
  const move = arrows[event.key];
  if (!move && event.key !== 'Enter' && event.key !== ' ') return;
  event.preventDefault();
  const by = event.shiftKey ? 10 : 1, [down, right] = move || [0, 0];
  const row = clamp(Number(pick.dataset.row) + by * down, Number(pick.dataset.height));
  const column = clamp(Number(pick.dataset.column) + by * right, Number(pick.dataset.width));
  place(row, column);
  clearTimeout(resting);
  const read = () => {
    focused = [...element.querySelectorAll('.ct-pick')].indexOf(pick);
    trigger('click', { row, column });
  };
  if (move) resting = setTimeout(read, 250); else read();
});
// New content takes the focus away from the image that the keys are in.
const refocus = () => {
  const pick = element.querySelectorAll('.ct-pick')[focused];
  if (pick && document.activeElement === document.body) pick.focus({ preventScroll: true });
  focused = -1;
};
// Keys of the whole page, once: 0, 1, 2 ... choose a task, N and P the next and the previous image.
if (!window.ctKeys) {
  window.ctKeys = true;
  const seen = thing => thing.offsetParent !== null;
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const to = event.target;
    const writes = to.tagName === 'INPUT' && !['radio', 'range', 'checkbox'].includes(to.type);
    if (writes || to.tagName === 'TEXTAREA' || to.isContentEditable) return;
    if (/^[0-9]$/.test(event.key)) {
      const radios = [...document.querySelectorAll('input[name=ct-overlay], input[name=ct-compared]')].filter(seen);
      if (radios[Number(event.key)]) radios[Number(event.key)].click();
    }
    const step = { n: 1, p: -1 }[event.key.toLowerCase()];
    if (!step) return;
    const items = [...document.querySelectorAll('.ct-item')].filter(seen);
    const now = items.findIndex(item => item.getAttribute('aria-pressed') === 'true');
    if (items[now + step]) items[now + step].click();
  });
}
element.addEventListener('click', event => {
  const item = event.target.closest('.ct-item');
  if (item) return trigger('click', { item: Number(item.dataset.item) });
  const example = event.target.closest('.ct-example');
  if (example) return trigger('click', { example: Number(example.dataset.example) });
  const pick = event.target.closest('.ct-pick');
  if (!pick) return;
  const box = pick.getBoundingClientRect();
  const width = Number(pick.dataset.width), height = Number(pick.dataset.height);
  const column = clamp((event.clientX - box.left) / box.width * width, width);
  const row = clamp((event.clientY - box.top) / box.height * height, height);
  place(row, column);
  trigger('click', { row, column });
});
watch('value', () => { apply(); requestAnimationFrame(refocus); });
"""
