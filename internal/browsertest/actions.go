package browsertest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// See waits until the page shows texts.
func (tab *Tab) See(texts ...string) {
	tab.t.Helper()
	for _, text := range texts {
		tab.wait(true, text)
	}
}

// SeeFinally waits until the page shows a text, for as long as the page goes on changing: what it shows is progress.
func (tab *Tab) SeeFinally(text string) {
	tab.t.Helper()
	shown, deadline := tab.text(), time.Now().Add(patience)
	for !strings.Contains(shown, text) {
		require.False(tab.t, time.Now().After(deadline), "%q is not shown, and nothing has changed for %s; "+
			"the browser's complaints: %q; the page:\n%s", text, patience, tab.Complaints(), shown)
		time.Sleep(pollEvery)
		if now := tab.text(); now != shown {
			shown, deadline = now, time.Now().Add(patience)
		}
	}
}

// SeeNot waits until the page does not show a text, any more.
func (tab *Tab) SeeNot(text string) {
	tab.t.Helper()
	tab.wait(false, text)
}

func (tab *Tab) wait(shown bool, text string) {
	tab.t.Helper()
	ok := assert.Eventually(tab.t, func() bool { return strings.Contains(tab.text(), text) == shown }, patience, pollEvery)
	if !ok {
		require.FailNow(tab.t, "wrong page", "shown is not %t: %q; the browser's complaints: %q; the page:\n%s",
			shown, text, tab.Complaints(), tab.text())
	}
}

// named finds what a person would call by a name: it returns an expression for the first visible element that a
// selector matches and whose label, text or title is that name. In a dialog, nothing outside it counts.
func named(selector, name string) string {
	return `(() => {
		const labelOf = (e) => {
			const label = e.labels?.[0]?.cloneNode(true); // which may contain the field
			label?.querySelectorAll('select, textarea, kbd').forEach((inner) => inner.remove());
			return label?.textContent;
		};
		const place = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
		return [...place.querySelectorAll(` + quote(selector) + `)].find((e) => e.checkVisibility() &&
			[labelOf(e), e.getAttribute('aria-label'), e.innerText, e.title]
			.some((text) => text?.trim().replace(/\s+/g, ' ') === ` + quote(name) + `));
	})()`
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string has no error
	return string(quoted)
}

const (
	pressable = `button, a, summary, [role=tab], [role=button], input[type=checkbox], input[type=radio]`
	fillable  = `input, select, textarea`
)

// Press clicks a button, a link, a tab or a checkbox by its name, once it is there and enabled. It does so in the page,
// in one step: between finding an element and a click of the mouse, the page may have replaced it.
func (tab *Tab) Press(name string) {
	tab.t.Helper()
	tab.act("press", name, `const e = `+named(pressable, name)+`;
		if (!e || e.disabled) return false;
		e.focus(); e.click(); return true`)
}

// PressCSS clicks what is visible and matches a selector.
func (tab *Tab) PressCSS(selector string) {
	tab.t.Helper()
	tab.act("press", selector, `
		const e = [...document.querySelectorAll(`+quote(selector)+`)].find((e) => e.checkVisibility());
		if (!e || e.disabled) return false; e.click(); return true`)
}

// act runs the body of a function in the page until it returns true.
func (tab *Tab) act(what, name, body string) {
	tab.t.Helper()
	ok := assert.Eventually(tab.t, func() bool {
		done, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](`(() => { `+body+` })()`))
		return err == nil && done
	}, patience, pollEvery)
	if !ok {
		require.FailNow(tab.t, "nothing to "+what, "%q; the browser's complaints: %q; the page:\n%s",
			name, tab.Complaints(), tab.text())
	}
}

// Fill replaces the text of a field by its label, by the keyboard.
func (tab *Tab) Fill(label, text string) {
	tab.t.Helper()
	tab.act("fill", label, `const e = `+named(fillable, label)+`;
		if (!e || e.disabled) return false;
		e.focus(); e.select?.(); return true`)
	if text == "" {
		text = kb.Backspace
	}
	tab.Keys(text)
}

// Choose chooses an option of a select by its label and the option's text.
func (tab *Tab) Choose(label, option string) {
	tab.t.Helper()
	tab.act("choose", label, `const e = `+named("select", label)+`;
		const option = e && [...e.options].find((o) => o.text.trim() === `+quote(option)+`);
		if (!option) return false;
		e.value = option.value;
		for (const type of ['input', 'change']) e.dispatchEvent(new Event(type, {bubbles: true}));
		return true`)
}

// Keys types into what has the focus. It may contain keys of package kb.
func (tab *Tab) Keys(keys string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(keys, asKeyboard))
}

// asKeyboard has a key pressed as a keyboard does it: after a raw event that the page has cancelled, no text is typed.
func asKeyboard(event *input.DispatchKeyEventParams) {
	if event.Type == kb.KeyDown {
		event.Type = kb.KeyRawDown
	}
}

// Value returns the value of a field by its label.
func (tab *Tab) Value(label string) string {
	tab.t.Helper()
	tab.act("read", label, `return !!`+named(fillable, label))
	return Eval[string](tab, named(fillable, label)+`.value`)
}
