// The fields of limits, quotas and durations, which policies and keys have in common.
import { Field } from './form.js';
import { html, useId, useState } from './html.js';
import { isNumber, limitPart } from './jsonedit.js';

/** limitParts are the fields of a rate limit and a quota, as members of a policy or a session. */
export const limitParts = {
  rate: limitPart('0', 'rate'),
  per: limitPart('0', 'per'),
  quota_max: limitPart('-1', 'quota_max'),
  quota_renewal_rate: limitPart('-1', 'quota_renewal_rate'),
};

/** numeric are the attributes of a field for a number that is kept as it is written. */
export const numeric = {
  inputmode: 'decimal', autocomplete: 'off', placeholder: 'no limit',
  pattern: isNumber.source.replace(/^\^|\$$/g, ''), title: 'A number, such as 100',
};

/** @param {{form: import('./form.js').FormState}} props */
export function LimitFields({ form }) {
  const { rate, quota_max: most } = form.value;
  return html`
    <fieldset><legend>Rate limit</legend>
      <div class="pair">
        <${Field} form=${form} name="rate" label="Requests" ...${numeric} />
        <${Duration} form=${form} name="per" label="Interval" placeholder="" required=${Boolean(rate)} />
      </div>
      <p class="hint">How many requests a key may send in each interval. Empty is no limit.</p>
    </fieldset>
    <fieldset><legend>Quota</legend>
      <div class="pair">
        <${Field} form=${form} name="quota_max" label="Requests of the quota" ...${numeric} />
        <${Duration} form=${form} name="quota_renewal_rate" label="Renewed after" placeholder="never" required=${Boolean(most)} />
      </div>
      <p class="hint">How many requests a key may send until its quota is renewed. Empty is no limit.</p>
    </fieldset>`;
}

const units = [
  { seconds: 1, name: 'seconds' }, { seconds: 60, name: 'minutes' }, { seconds: 3600, name: 'hours' },
  { seconds: 86400, name: 'days' },
];

/**
 * unitOf returns the largest unit that a number of seconds, as text, is a multiple of.
 * @param {string} seconds
 */
const unitOf = (seconds) => units.findLast((unit) => /^\d{1,15}$/.test(seconds) && Number(seconds) % unit.seconds === 0 && Number(seconds) > 0) ?? units[0];

/**
 * Duration is a field for a number of seconds, which may be typed in another unit. The form has it as text.
 * @param {{form: import('./form.js').FormState, name: string, label: string, hint?: string, placeholder?: string,
 *   required?: boolean}} props
 */
export function Duration({ form, name, label, hint, placeholder = 'no limit', required }) {
  const id = useId();
  const seconds = form.value[name] ?? '';
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const unit = units.find((each) => each.seconds === chosen) ?? unitOf(seconds);
  const problem = form.error?.problems?.find((/** @type {any} */ each) => each.path === '/' + name)?.reason;
  const described = [hint && id + '-hint', problem && id + '-problem'].filter(Boolean).join(' ');
  const set = (/** @type {string} */ amount, /** @type {number} */ of) => {
    setChosen(of);
    form.set({ ...form.value, [name]: of === 1 || !isNumber.test(amount) ? amount : String(Number(amount) * of) });
  };
  const amount = unit.seconds === 1 || !isNumber.test(seconds) ? seconds : String(Number(seconds) / unit.seconds);
  return html`
    <div class="field"><label for=${id}>${label}</label>
      <div class="amount">
        <input id=${id} name=${name} value=${amount} required=${required} ...${{ ...numeric, placeholder }}
          aria-describedby=${described || undefined} aria-invalid=${problem ? 'true' : undefined}
          onInput=${(/** @type {any} */ event) => set(event.target.value, unit.seconds)} />
        <select aria-label=${`Unit of ${label}`} value=${String(unit.seconds)}
          onChange=${(/** @type {any} */ event) => set(amount, Number(event.target.value))}>
          ${units.map((each) => html`<option value=${String(each.seconds)} selected=${each === unit}>${each.name}</option>`)}
        </select>
      </div>
      ${hint && html`<p class="hint" id=${id + '-hint'}>${hint}</p>`}
      ${problem && html`<p class="problem" id=${id + '-problem'}>${problem}</p>`}
    </div>`;
}

/**
 * inWords returns a number of seconds as people say it: 3600 is "1 hour".
 * @param {number | string} seconds
 */
export function inWords(seconds) {
  const unit = unitOf(String(seconds));
  const amount = Number(seconds) / unit.seconds;
  return `${amount.toLocaleString()} ${amount === 1 ? unit.name.slice(0, -1) : unit.name}`;
}

/**
 * rateInWords says how many requests may be sent in which time, of a policy or a session.
 * @param {{rate?: number, per?: number}} limits
 */
export const rateInWords = ({ rate, per }) =>
  rate && per && rate > 0 && per > 0 ? `${rate.toLocaleString()} in ${inWords(per)}` : html`<span class="hint">no limit</span>`;

/**
 * quotaInWords is the same for the quota.
 * @param {{quota_max?: number, quota_renewal_rate?: number}} limits
 */
export function quotaInWords({ quota_max: most, quota_renewal_rate: seconds }) {
  if (!most || most <= 0) return html`<span class="hint">no limit</span>`;
  return seconds && seconds > 0 ? `${most.toLocaleString()} in ${inWords(seconds)}` : `${most.toLocaleString()}, never renewed`;
}
