// Elements out of text, and a view brought up to date without losing focus, selection or what is open. Nothing here or
// elsewhere reads markup: what comes from outside is text.

const SVG = 'http://www.w3.org/2000/svg';
const HANDLERS = ['onclick', 'onchange', 'onsubmit', 'ontoggle'];

// h('button.small', {type: 'button', onclick}, 'text', element, null)
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split('.');
  return fill(document.createElement(name), classes, attributes, children);
}

// The same for pictures.
export function svg(tag, attributes, ...children) {
  const [name, ...classes] = tag.split('.');
  return fill(document.createElementNS(SVG, name), classes, attributes, children);
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute('class', classes.join(' '));
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (HANDLERS.includes(name)) element[name] = value;
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Makes `old` look like `fresh`, an element of the same tag. Children with a `data-key` are followed by it when they
// move; an element with `data-own` belongs to whoever made it.
export function morph(old, fresh) {
  if (old.hasAttribute('data-own')) return;
  attributes(old, fresh);
  for (const handler of HANDLERS) old[handler] = fresh[handler];
  const keyed = new Map();
  for (const child of old.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = next.dataset?.key;
    const match = key ? keyed.get(key) : at && alike(at, next) ? at : null;
    if (!match) {
      old.insertBefore(next, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    if (match.nodeType !== Node.TEXT_NODE) morph(match, next);
    else if (match.data !== next.data) match.data = next.data;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return one.nodeName === other.nodeName && !one.dataset?.key
    && one.getAttribute?.('class') === other.getAttribute?.('class');
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // Whether it is open is the reader's.
    if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && name !== 'open') old.setAttribute(name, value);
  }
}

// Brings the section `id` up to date with `children`.
export function show(id, ...children) {
  const old = document.getElementById(id);
  const fresh = old.cloneNode(false);
  fresh.append(...children.flat().filter(Boolean));
  morph(old, fresh);
}

// The head of a section: its title, something small beside it, and what can be done on the right.
export function head(title, aside, ...actions) {
  return h('div.head', null, h('h2', null, title), aside && h('span.aside', null, aside),
    h('div.actions', null, ...actions));
}

// A state in a word; its shape says the same as its colour. `tone` is ok, warn, bad or none.
export function state(tone, text, title) {
  return h(`span.state.${tone}`, { title }, text);
}

// A name and what it is.
export function fact(name, ...value) {
  return h('div.fact', null, h('dt', null, name), h('dd', null, ...value));
}

// How full something is, from 0 to 1.
export function meter(part) {
  const tone = part >= 0.95 ? 'bad' : part >= 0.8 ? 'warn' : 'ok';
  const bar = svg(`rect.${tone}`, { width: Math.max(0, Math.min(1, part)) * 100, height: 4, rx: 1 });
  return svg('svg.meter', { viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect.track', { width: 100, height: 4, rx: 1 }), bar);
}
