// Questions to the reader, one at a time.

import { h } from './dom.js';
import { t } from './words.js';

// By title, those that are open or wait for one that is.
const questions = new Map();
let last = Promise.resolve();

// The same question twice is asked once, and both get its answer; any other waits.
function ask(title, text, label, field) {
  if (!questions.has(title)) {
    last = last.then(() => put(title, text, label, field));
    questions.set(title, last);
  }
  return questions.get(title);
}

function put(title, text, label, field) {
  return new Promise((answered) => {
    const dialog = h('dialog', { 'aria-labelledby': 'question' });
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      questions.delete(title);
      answered(answer);
    };
    const submit = (event) => {
      event.preventDefault();
      end(field ? field.value.trim() || null : true);
    };
    dialog.append(h('form', { method: 'dialog', onsubmit: submit },
      h('h2', { id: 'question' }, title),
      h('p', null, text),
      field,
      h('div.buttons', null,
        h('button', { type: 'button', onclick: () => end(null) }, t('cancel')),
        h('button.primary', { type: 'submit' }, label))));
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// The key that is typed, or null.
export function askKey(title, text, again) {
  const field = h('input', { type: 'password', name: 'key', autocomplete: 'off', 'aria-label': title, autofocus: true });
  return ask(title, again ? `${t('key_wrong')} ${text}` : text, t('go_on'), field);
}

// Whether to go on.
export async function confirm(title, text) {
  return (await ask(title, text, title, null)) === true;
}
