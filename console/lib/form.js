// Forms: fields with labels and errors, what is typed kept as a draft, the server's errors at the fields that they are of.
//
//   const form = useForm('policy ' + id, policy);
//   <${Form} form=${form} onSave=${async (value) => { … }} action="Save">
//     <${Field} form=${form} name="name" label="Name" required />
//   <//>
import { useDraft } from './drafts.js';
import { Failure } from './feedback.js';
import { html, useId, useState } from './html.js';

/**
 * @typedef {object} FormState
 * @property {any} value
 * @property {(value: any) => void} set
 * @property {(value?: any) => void} discard
 * @property {boolean} restored
 * @property {any} error
 * @property {(error: any) => void} setError
 * @property {boolean} busy
 * @property {(busy: boolean) => void} setBusy
 */

/**
 * @param {string} name of the draft, '' keeps none
 * @param {any} initial an object with a member for each field
 * @returns {FormState}
 */
export function useForm(name, initial) {
  const draft = useDraft(name, initial);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  return { ...draft, error, setError, busy, setBusy };
}

/**
 * Form saves once at a time. What was typed is forgotten once it is saved.
 * @param {{form: FormState, onSave: (value: any) => Promise<unknown>, action: string, onCancel?: () => void,
 *   cancel?: string, label?: string, children?: any}} props
 */
export function Form({ form, onSave, action, onCancel, cancel: cancelText = 'Cancel', label, children }) {
  const save = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (form.busy) return;
    form.setBusy(true);
    form.setError(null);
    try {
      await onSave(form.value);
      form.discard(form.value);
    } catch (error) {
      form.setError(error);
    } finally {
      form.setBusy(false);
    }
  };
  const cancel = () => {
    form.discard();
    onCancel?.();
  };
  return html`
    <form class="form" onSubmit=${save} aria-label=${label}>
      ${form.restored && html`
        <p class="notice" role="status">This is what you typed earlier, which was not saved.${' '}
          <button type="button" class="link" onClick=${() => form.discard()}>Discard it</button></p>`}
      ${children}
      <${Failure} error=${form.error} />
      <footer>
        ${onCancel && html`<button type="button" onClick=${cancel}>${cancelText}</button>`}
        <button class="primary" disabled=${form.busy}>${form.busy ? 'Working…' : action}</button>
      </footer>
    </form>`;
}

/**
 * Field is an input (type text, password, email, number, checkbox, textarea), or a select if it has options. It is the
 * member name of the form's value, and shows the problem that the server has with /name.
 * @param {{form: FormState, name: string, label: string, hint?: string, type?: string,
 *   options?: {value: string, text: string}[], [attribute: string]: any}} props
 */
export function Field({ form, name, label, hint, type = 'text', options, ...attributes }) {
  const id = useId();
  const problem = form.error?.problems?.find((/** @type {any} */ each) => each.path === '/' + name)?.reason;
  const described = [hint && id + '-hint', problem && id + '-problem'].filter(Boolean).join(' ');
  const value = form.value[name];
  const set = (/** @type {any} */ event) => form.set({ ...form.value, [name]: valueOf(event.target, type) });
  const common = {
    ...attributes, id, name, 'aria-describedby': described || undefined, 'aria-invalid': problem ? 'true' : undefined,
  };
  const notes = html`
    ${hint && html`<p class="hint" id=${id + '-hint'}>${hint}</p>`}
    ${problem && html`<p class="problem" id=${id + '-problem'}>${problem}</p>`}`;
  if (type === 'checkbox') {
    return html`<div class="field check">
      <label for=${id}><input type="checkbox" ...${common} checked=${value} onChange=${set} />${label}</label>${notes}</div>`;
  }
  return html`<div class="field"><label for=${id}>${label}</label>${inputOf(type, options, { ...common, value, onInput: set })}${notes}</div>`;
}

/**
 * @param {string} type
 * @param {{value: string, text: string}[] | undefined} options
 * @param {any} props
 */
function inputOf(type, options, props) {
  if (options) {
    return html`<select ...${props}>${options.map(({ value, text }) => html`
      <option value=${value} selected=${value === props.value}>${text}</option>`)}</select>`;
  }
  return type === 'textarea' ? html`<textarea rows="4" ...${props} />` : html`<input type=${type} ...${props} />`;
}

/**
 * @param {HTMLInputElement} input
 * @param {string} type
 */
function valueOf(input, type) {
  if (type === 'checkbox') return input.checked;
  if (type === 'number') return input.value === '' ? '' : Number(input.value);
  return input.value;
}
