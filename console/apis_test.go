package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// author returns an administrator of a new organisation.
func (s *site) author() user {
	s.t.Helper()
	org := s.org("Rivermouth Foods")
	return s.user(org, "author@"+org+".example", administrator)
}

// makeAPI creates a classic API.
func (s *site) makeAPI(by user, id, name string, members ...string) {
	s.t.Helper()
	s.as(by, "POST", "/api/apis", `{"api_definition":{"api_id":"`+id+`","name":"`+name+`","proxy":{"listen_path":"/`+id+
		`/","target_url":"http://upstream.example/"}`+strings.Join(members, "")+`}}`, nil)
}

// storedAPI returns the text of a stored API.
func (s *site) storedAPI(by user, id string) string {
	s.t.Helper()
	var text json.RawMessage
	s.as(by, "GET", "/api/apis/"+id, nil, &text)
	return string(text)
}

// oasAPI is a Tyk OAS API.
func oasAPI(id, name string) string {
	return `{"openapi":"3.0.3","info":{"title":"` + name + `","version":"1"},"paths":{},"x-number":1.10,` +
		`"x-tyk-api-gateway":{"info":{"id":"` + id + `","name":"` + name + `","state":{"active":true}},` +
		`"upstream":{"url":"http://upstream.example/"},"server":{"listenPath":{"value":"/` + id + `/","strip":true}}}}`
}

func TestAPIsList(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	tab := s.openAs(author, "#/apis")
	tab.See("There is no API yet", "curl -sS "+s.url+"/api/apis")
	for i := range 12 {
		s.makeAPI(author, fmt.Sprintf("api%02d", i), fmt.Sprintf("Ferry %02d", i), `,"use_keyless":true`)
	}
	s.makeAPI(author, "tides", "Tides #harbour", `,"active":false,"enable_jwt":true`)
	s.as(author, "POST", "/api/apis/oas", oasAPI("piers", "Piers"), nil)
	tab.Do(chromedp.Reload())
	tab.See("Ferry 00", "Page 1 of 2", "/api00/", "keyless")
	tab.Press("Next")
	tab.See("Tides #harbour", "Piers", "REST, OAS", "JWT", "inactive")
	tab.Keys("/")
	tab.Keys("tides")
	tab.See("Tides #harbour")
	tab.SeeNot("Piers")
	tab.Fill("Search APIs", "")
	tab.See("Ferry 00")
	tab.Choose("Authentication", "jwt")
	tab.SeeNot("Ferry 00")
	tab.See("Tides #harbour")
	tab.Choose("Authentication", "all")
	tab.Choose("Type", "graphql")
	tab.See("No API is like this")
	tab.Press("Show all APIs")
	tab.See("Ferry 00")
	tab.Fill("Category", "harbour"+kb.Enter)
	tab.SeeNot("Ferry 00")
	tab.See("Tides #harbour")
	tab.Fill("Category", kb.Backspace+kb.Enter)
	tab.See("Ferry 00")
	tab.Choose("State", "inactive")
	tab.SeeNot("Ferry 00")
	tab.See("Tides #harbour")
	tab.Choose("State", "all")
	tab.Choose("Sort", "name")
	tab.See("Ferry 00")
}

func TestNewAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	tab := s.openAs(author, "#/apis")
	tab.Press("New API")
	tab.Fill("Name", "Tides")
	tab.Fill("Listen path", "/tides/")
	tab.Fill("Upstream", "http://upstream.example/")
	tab.Press("Open to everybody, without a key")
	tab.Press("Create")
	tab.See("The API is created", "http://upstream.example/", "keyless", "active")
}

// choose chooses the files of a folder in the page of imports.
func choose(t *testing.T, tab *browsertest.Tab, files map[string]string) {
	t.Helper()
	folder := t.TempDir()
	paths := make([]string, 0, len(files))
	for name, text := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		paths = append(paths, path)
	}
	tab.Do(chromedp.SetUploadFiles(`input[type=file]`, paths))
}

func TestImportOfKinds(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.makeAPI(author, "old", "Old")
	tab := s.openAs(author, "#/apis?do=import")
	tab.See("Drop files or folders here", "gatehouse apply")
	choose(t, tab, map[string]string{
		"classic.json":  `{"api_id":"bare","name":"Bare","proxy":{"listen_path":"/bare/"}}`,
		"replaced.yaml": "api_definition:\n  api_id: old\n  name: Replaced\n",
		"oas.json":      oasAPI("piers", "Piers"),
		"openapi.yaml":  "openapi: 3.0.3\ninfo: {title: Ferries, version: '1'}\nservers: [{url: http://upstream.example/}]\npaths: {}\n",
		"export.json":   `{"apis":[{"api_definition":{"api_id":"a","name":"A"}},{"api_definition":{"api_id":"b","name":"B"}}],"pages":1}`,
		"policy.json":   `{"id":"gold","name":"Gold","access_rights":{}}`,
		"numbers.json":  `{"api_definition":{"api_id":"numbers","name":"Numbers","config_data":{"z":1.0,"a":123456789012345678901234567890}}}`,
		"faulty.yaml":   "api_definition:\n  name: Faulty\n  active: maybe\n",
		"broken.json":   "{\n  \"api_definition\": {,}\n}",
	})
	tab.See("9 files: 7 can be imported, 2 with problems", "3:11", "/api_definition/active", "2:22", "exists, will be replaced")
	require.NotContains(t, s.storedAPI(author, "old"), "Replaced", "nothing is stored yet")
	tab.Press("Import 7 files")
	tab.See("9 files: 2 with problems, 7 imported", "replaced")
	require.Contains(t, s.storedAPI(author, "old"), `"name":"Replaced"`)
	require.Contains(t, s.storedAPI(author, "numbers"), `{"z":1.0,"a":123456789012345678901234567890}`)
	for _, id := range []string{"bare", "piers", "a", "b"} {
		require.Contains(t, s.storedAPI(author, id), `"`+id+`"`)
	}
	var policies struct{ Data []struct{ Name string } }
	s.as(author, "GET", "/api/portal/policies", nil, &policies)
	require.Equal(t, "Gold", policies.Data[0].Name)
	tab.Press("Only files with problems")
	tab.SeeNot("oas.json")
	tab.See("faulty.yaml", "broken.json")
}

// TestDroppedFiles drops a file, and one that is too large to be checked.
func TestDroppedFiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	tab := s.openAs(s.author(), "#/apis?do=import")
	tab.See("Drop files or folders here")
	browsertest.Eval[bool](tab, `(() => {
		const dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File(['{"api_definition":{"api_id":"dropped","name":"Dropped"}}'], 'dropped.json'));
		dataTransfer.items.add(new File(['{"a":"' + 'x'.repeat(16 << 20) + '"}'], 'large.json'));
		dataTransfer.items.add(new File(['{"api_definition":{"name":"' + 'x'.repeat(2 << 20) + '"}}'], 'long.json'));
		dataTransfer.items.add(new File(['ignored'], '.tyk.json'));
		document.querySelector('.drop').dispatchEvent(
			new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));
		return true;
	})()`)
	tab.See("3 files: 1 can be imported, 2 with problems", "The file is larger than 4 MiB", "is larger than 1048576 bytes")
	tab.Press("Import 1 file")
	tab.See("1 imported")
}

// TestImportOfAThousandFiles has ten files with faults among a thousand: they are named, and the others imported.
func TestImportOfAThousandFiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	files := map[string]string{}
	for i := range 1000 {
		name, text := fmt.Sprintf("api-%03d.json", i), fmt.Sprintf(`{"api_definition":{"api_id":"many%d","name":"Many %d"}}`, i, i)
		if i%100 == 50 {
			text = strings.Replace(text, `"name":`, "\n\"active\":7,\"name\":", 1)
		}
		files[name] = text
	}
	tab := s.openAs(author, "#/apis?do=import")
	begin := time.Now()
	choose(t, tab, files)
	tab.SeeFinally("1,000 files: 990 can be imported, 10 with problems")
	checked := time.Since(begin)
	for i := 50; i < 1000; i += 100 {
		tab.See(fmt.Sprintf("api-%03d.json", i))
	}
	tab.See("2:10")
	begin = time.Now()
	tab.Press("Import 990 files")
	tab.SeeFinally("1,000 files: 10 with problems, 990 imported")
	t.Logf("checked in %s, imported in %s", checked.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	require.Contains(t, s.storedAPI(author, "many999"), "Many 999")
}

func TestImportGoesOnWhenTheNetworkIsBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	tab := s.openAs(author, "#/apis?do=import")
	tab.Allow("ERR_INTERNET_DISCONNECTED")
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("%d.json", i)] = fmt.Sprintf(`{"api_definition":{"api_id":"n%d","name":"N %d"}}`, i, i)
	}
	choose(t, tab, files)
	tab.See("20 can be imported")
	tab.Offline(true)
	tab.Press("Import 20 files")
	tab.See("The server did not answer", "failed")
	tab.Offline(false)
	tab.Press("Check those that failed again")
	tab.See("20 files: 20 can be imported")
	tab.Press("Import 20 files")
	tab.See("20 files: 20 imported")
}

// typeInto puts the cursor at the beginning of the editor, and types.
func typeInto(tab *browsertest.Tab, keys string) {
	browsertest.Eventually(tab, true, `!!document.querySelector('.cm-content')`)
	browsertest.Eval[bool](tab, `(document.querySelector('.cm-content').focus(), true)`)
	tab.Keys(keys)
}

// setText replaces the text of the editor, by the clipboard.
func setText(tab *browsertest.Tab, text string) {
	quoted, _ := json.Marshal(text) // a string has no error
	browsertest.Eventually(tab, true, `!!document.querySelector('.cm-content')`)
	browsertest.Eval[bool](tab, `(() => {
		const content = document.querySelector('.cm-content');
		content.focus();
		document.execCommand('selectAll');
		const clipboardData = new DataTransfer();
		clipboardData.setData('text/plain', `+string(quoted)+`);
		return content.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true})) || true;
	})()`)
}

func TestAPIViews(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.makeAPI(author, "tides", "<img src=x onerror=alert(1)>", `,"tags":["a","b"],"config_data":{"deep":{"er":1.0}}`)
	tab := s.openAs(author, "#/apis/tides")
	tab.See("<img src=x onerror=alert(1)>", "http://upstream.example/", "/tides/")
	tab.Press("Tree")
	tab.See("api_definition", "tags")
	tab.SeeNot(`"a"`)
	browsertest.Eval[bool](tab, `([...document.querySelectorAll('.tree summary')].find((e) => e.innerText.startsWith('tags')).click(), true)`)
	tab.See(`"a"`, `"b"`)
	tab.Press("Text")
	tab.See(`"deep": {`, `"er": 1.0`)
	tab.Press("Search in the text")
	browsertest.Eventually(tab, true, `document.activeElement?.name === 'search'`)
	tab.Keys("listen_path" + kb.Enter)
	browsertest.Eventually(tab, "listen_path", `getSelection().toString() || document.querySelector('.cm-searchMatch-selected')?.innerText`)
}

// TestLargeDocuments shows a document of a megabyte.
func TestLargeDocuments(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	var many strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&many, `"member %d":{"a":[1,2],"b":"`+strings.Repeat("text ", 30)+`"},`, i)
	}
	s.as(author, "POST", "/api/apis", `{"api_definition":{"api_id":"large","name":"Large","config_data":{`+many.String()+`"last":1}}}`, nil)
	tab := s.openAs(author, "#/apis/large")
	tab.See("Large", "KB")
	watch(tab)
	tab.Press("Tree")
	tab.See("config_data")
	browsertest.Eval[bool](tab, `([...document.querySelectorAll('.tree summary')].find((e) => e.innerText.startsWith('config_data')).click(), true)`)
	tab.See("member 199", "Show more of 5001")
	require.Less(t, browsertest.Eval[int](tab, `document.querySelectorAll('.tree li').length`), 500)
	tab.Press("Text")
	tab.See(`"api_id": "large"`, "No problems")
	require.Less(t, browsertest.Eval[int](tab, `document.querySelectorAll('.cm-line').length`), 500)
	t.Logf("the page was busy for %d ms at most", longestPause(tab))
}

// watch notes for how long the page does nothing else.
func watch(tab *browsertest.Tab) {
	browsertest.Eval[bool](tab, `(() => {
		let last = performance.now();
		window.longestPause = 0;
		setInterval(() => {
			const now = performance.now();
			window.longestPause = Math.max(window.longestPause, now - last);
			last = now;
		}, 10);
		return true;
	})()`)
}

func longestPause(tab *browsertest.Tab) int {
	return browsertest.Eval[int](tab, `Math.round(window.longestPause)`)
}

// TestEditorOf16MB puts 16 MB into the editor: the page goes on, and tells that the text cannot be stored.
func TestEditorOf16MB(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.makeAPI(author, "tides", "Tides")
	tab := s.openAs(author, "#/apis/tides?view=text")
	tab.See(`"name": "Tides"`)
	watch(tab)
	browsertest.Eval[bool](tab, `(() => {
		const content = document.querySelector('.cm-content');
		content.focus();
		document.execCommand('selectAll');
		const clipboardData = new DataTransfer();
		clipboardData.setData('text/plain', '{"a": [\n' + '  "0123456789012345678901234567890123456789",\n'.repeat(370_000) + '  1]}');
		content.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
		return true;
	})()`)
	tab.See("The text is too large to be checked", "too large for the browser to keep")
	typeInto(tab, "typed")
	tab.See("typed")
	pause := longestPause(tab)
	t.Logf("the page was busy for %d ms at most", pause)
	require.Less(t, pause, 10_000)
	require.Contains(t, s.storedAPI(author, "tides"), `"name":"Tides"`)
	tab.Press("Discard changes")
	tab.See(`"name": "Tides"`, "Nothing is changed.")
}

// TestEditAPI changes one value of a document, all of whose other bytes stay.
func TestEditAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	const kept = `"config_data":{"z":1.0,"a":123456789012345678901234567890,"e":1E+2,"t":"\u00e9\/","n":null}`
	s.makeAPI(author, "tides", "Tides", `,`+kept)
	tab := s.openAs(author, "#/apis/tides?view=text")
	tab.See(`"z": 1.0`, `"a": 123456789012345678901234567890`, `"e": 1E+2`, `"t": "\u00e9\/"`, "No problems")
	text := browsertest.Eval[string](tab, `[...document.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n')`)

	setText(tab, strings.Replace(text, `"Tides"`, `5`, 1))
	tab.See("1 problem", "/api_definition/name", "value must be a string")
	browsertest.Eventually(tab, 1, `document.querySelectorAll('.cm-line.faulty').length`)
	setText(tab, strings.Replace(text, `"Tides"`, `"Tides",,`, 1))
	tab.See("not one JSON value in UTF-8")
	setText(tab, strings.Replace(text, `"Tides"`, `"Changed tides"`, 1))
	tab.See("No problems", "What you type is kept in this window")
	tab.Press("Review and save")
	tab.See("What you have changed", "Changed tides", `"name": "Tides"`, "unchanged lines")
	tab.Press("Save")
	tab.See("The API is saved", "Nothing is changed.")
	stored := s.storedAPI(author, "tides")
	require.Contains(t, stored, `"name":"Changed tides"`)
	require.Contains(t, stored, kept)

	t.Log("repeated names are told: only the last one is stored")
	setText(tab, strings.Replace(text, `"Tides"`, `"a", "name": "b"`, 1))
	tab.See("something to know", "is repeated: only the last one is stored")
}

// TestEditorShowsWhatIsStored opens a document of an import, which keeps repeated names.
func TestEditorShowsWhatIsStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	const odd = `"config_data":{"number":1.0,"twice":1,"twice":2,"first":"\u00E9"}`
	s.admin("POST", "/admin/apis/import", `{"apis":[{"api_definition":{"api_id":"odd","org_id":"`+author.orgID+`",`+odd+`}}]}`, nil)
	tab := s.openAs(author, "#/apis/odd?view=tree")
	tab.See("config_data")
	tab.Press("Text")
	tab.See(`"number": 1.0`, `"twice": 1,`, `"twice": 2,`, `"first": "\u00E9"`)
	tab.See("/api_definition/config_data/twice", "is repeated: only the last one is stored")
	require.Contains(t, s.storedAPI(author, "odd"), odd)
}

func TestEditOASAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.as(author, "POST", "/api/apis/oas", oasAPI("piers", "Piers"), nil)
	tab := s.openAs(author, "#/apis/piers?view=text")
	tab.See(`"x-number": 1.10`, "No problems")
	text := browsertest.Eval[string](tab, `[...document.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n')`)
	setText(tab, strings.Replace(text, `"strip"`, `"stripped"`, 1))
	tab.See("/x-tyk-api-gateway/server/listenPath/stripped")
	setText(tab, strings.Replace(text, `"title": "Piers"`, `"title": "New piers"`, 1))
	tab.See("No problems")
	tab.Press("Review and save")
	tab.Press("Save")
	tab.See("The API is saved")
	require.Contains(t, s.storedAPI(author, "piers"), `"title":"New piers"`)
	require.Contains(t, s.storedAPI(author, "piers"), `"x-number":1.10`)
}

// TestTwoEditTheSame has two people edit an API: the second is told, sees the difference, and loses nothing.
func TestTwoEditTheSame(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	other := s.user(author.orgID, "other@"+author.orgID+".example", administrator)
	s.makeAPI(author, "tides", "Tides", `,"tags":["one"]`)
	first, second := s.openAs(author, "#/apis/tides?view=text"), s.openAs(other, "#/apis/tides?view=text")
	second.Allow("status of 412")
	first.See("No problems")
	second.See("No problems")
	text := browsertest.Eval[string](first, `[...document.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n')`)
	setText(first, strings.Replace(text, `"Tides"`, `"Tides of the first"`, 1))
	first.Press("Review and save")
	first.Press("Save")
	first.See("The API is saved")

	setText(second, strings.Replace(text, `"one"`, `"typed by the second"`, 1))
	second.Press("Review and save")
	second.See("typed by the second")
	second.Press("Save")
	second.See("Somebody else has saved this API meanwhile", "Tides of the first", "typed by the second")
	require.NotContains(t, s.storedAPI(author, "tides"), "second")
	second.Press("Go on editing mine")
	second.SeeNot("Somebody else has saved")
	second.See("typed by the second")
	setText(second, strings.Replace(strings.Replace(text, `"one"`, `"typed by the second"`, 1), `"Tides"`, `"Tides of both"`, 1))
	second.Press("Review and save")
	second.See("Tides of the first")
	second.Press("Save")
	second.See("The API is saved")
	require.Contains(t, s.storedAPI(author, "tides"), `"Tides of both"`)
	require.Contains(t, s.storedAPI(author, "tides"), `typed by the second`)
}

// TestNothingTypedIsLost loads the page again, loses the network, and has the session end, in the middle of an edit.
func TestNothingTypedIsLost(t *testing.T) {
	t.Parallel()
	s := start(t)
	var down atomic.Bool
	s.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				panic(http.ErrAbortHandler) // closes the connection
			}
			next.ServeHTTP(w, r)
		})
	}
	author := s.author()
	s.makeAPI(author, "tides", "Tides")
	tab := s.openAs(author, "#/apis/tides?view=text")
	tab.See(`"name": "Tides"`)
	typeInto(tab, "typed earlier ")
	tab.See("What you type is kept in this window")
	tab.Do(chromedp.Reload())
	tab.See("typed earlier", "This is what you typed earlier, which was not saved.")

	t.Log("another version was stored before the page was loaded again")
	s.as(author, "PUT", "/api/apis/tides", `{"api_definition":{"name":"Theirs","proxy":{"listen_path":"/tides/","target_url":"http://upstream.example/"}}}`, nil)
	tab.Do(chromedp.Reload())
	tab.See("typed earlier")
	tab.Allow("status of 412", "ERR_INTERNET_DISCONNECTED")
	setText(tab, `{"api_definition":{"name":"Mine","proxy":{"listen_path":"/tides/","target_url":"http://upstream.example/"}}}`)
	tab.See("No problems")
	tab.Press("Review and save")
	tab.Press("Save")
	tab.See("Somebody else has saved this API meanwhile", "Theirs", "Mine")
	tab.Press("Go on editing mine")

	t.Log("the server is restarted")
	down.Store(true)
	tab.Allow("ERR_EMPTY_RESPONSE")
	typeInto(tab, " ")
	tab.See("The text could not be checked", "The server did not answer")
	tab.Press("Review and save")
	tab.Press("Save")
	browsertest.Eventually(tab, true, // what could not be checked says the same
		`!!document.querySelector('dialog .failure')?.innerText.includes('Check the connection, and try again')`)
	tab.Press("Go on editing")
	down.Store(false)
	typeInto(tab, " ")
	tab.See("No problems", "Mine")

	t.Log("the network is lost")
	tab.Offline(true)
	tab.Press("Review and save")
	tab.Press("Save")
	tab.See("The server did not answer")
	tab.Offline(false)

	t.Log("the session has ended")
	browsertest.Eval[int](tab, `fetch('../api/session', {method: 'DELETE'}).then((r) => r.status)`)
	tab.Press("Save")
	tab.See("Sign in again")
	signIn(tab, author.email, userPassword)
	tab.See("The API is saved")
	require.Contains(t, s.storedAPI(author, "tides"), `"name":"Mine"`)
}

func TestActivateDuplicateExportDelete(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.makeAPI(author, "tides", "Tides", `,"config_data":{"a":1.0}`)
	s.as(author, "POST", "/api/apis/oas", oasAPI("piers", "Piers"), nil)
	for _, api := range []struct{ id, name string }{{"tides", "Tides"}, {"piers", "Piers"}} {
		tab := s.openAs(author, "#/apis/"+api.id)
		// Files that are downloaded are noted in place of being stored.
		tab.See("Deactivate")
		browsertest.Eval[bool](tab, `(() => {
			window.files = {};
			const create = URL.createObjectURL;
			URL.createObjectURL = (blob) => { blob.text().then((text) => { window.last = text; }); return create(blob); };
			HTMLAnchorElement.prototype.click = function () { window.files[this.download] = true; };
			return true;
		})()`)
		tab.Press("Deactivate")
		tab.See("Gateways stop serving the API")
		require.Contains(t, s.storedAPI(author, api.id), `"active":false`)
		tab.Press("Activate")
		tab.See("Gateways serve the API")
		require.NotContains(t, s.storedAPI(author, api.id), `"active":false`)

		tab.Press("Export")
		tab.Press("As it is stored (JSON) what Import files reads, and tyk-sync writes")
		browsertest.Eventually(tab, s.storedAPI(author, api.id), `window.last`)
		if api.id == "piers" {
			tab.Press("Tyk OAS (YAML)")
			browsertest.Eventually(tab, true, `window.last.startsWith('openapi: ') && window.last.includes('x-number: 1.10')`)
			tab.Press("OpenAPI (JSON) without what only gateways need")
			browsertest.Eventually(tab, true, `window.last.startsWith('{"openapi"') && !window.last.includes('x-tyk')`)
		}
		tab.Press("Close")
		tab.Press("Duplicate")
		tab.Fill("Listen path", "/copy-of-"+api.id+"/")
		tab.PressCSS("dialog .primary")
		tab.See("Copy of "+api.name, "inactive", "/copy-of-"+api.id+"/")
		tab.Press("Delete")
		require.True(t, browsertest.Eval[bool](tab, `document.querySelector('dialog .danger').disabled`))
		tab.Fill("Type Copy of "+api.name+" to confirm", "Copy of "+api.name)
		tab.PressCSS("dialog .danger")
		tab.See("The API is deleted")
		tab.SeeNot("Copy of " + api.name)
		tab.See(api.name)
	}
}

func TestReaderOfAPIs(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	s.makeAPI(author, "tides", "Tides")
	reader := s.user(author.orgID, "reader@"+author.orgID+".example", map[string]string{"apis": "read"})
	tab := s.openAs(reader, "#/apis")
	tab.Press("Tides")
	tab.See("Export")
	for _, hidden := range []string{"Deactivate", "Duplicate", "Delete", "New API"} {
		tab.SeeNot(hidden)
	}
	tab.Press("Text")
	tab.See(`"name": "Tides"`)
	tab.SeeNot("Review and save")
	typeInto(tab, "typed")
	tab.SeeNot("typed")
}

// TestOperatorEditsAPIs has an operator import and edit in an organisation.
func TestOperatorEditsAPIs(t *testing.T) {
	t.Parallel()
	s := start(t)
	author := s.author()
	tab := s.openAsOperator("#/org/" + author.orgID + "/apis?do=import")
	tab.See("Drop files")
	choose(t, tab, map[string]string{"a.json": `{"api_definition":{"api_id":"a","name":"A","org_id":"another"}}`})
	tab.Press("Import 1 file")
	tab.See("1 file: 1 imported")
	require.Contains(t, s.storedAPI(author, "a"), author.orgID)
	tab.Press("A")
	tab.Press("Deactivate")
	tab.See("Gateways stop serving the API")
}

// viewsOfAPIs returns the views of an organisation's APIs.
func viewsOfAPIs(s *site, author user) []view {
	as := func(name, address string, show func(t *testing.T, tab *browsertest.Tab)) view {
		return view{name: name, dark: name == "apis" || name == "api-text", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(author, address)
			show(t, tab)
			return tab
		}}
	}
	text := func(tab *browsertest.Tab, replaced, by string) {
		tab.See("No problems")
		const lines = `[...document.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n')`
		setText(tab, strings.Replace(browsertest.Eval[string](tab, lines), replaced, by, 1))
	}
	return []view{
		as("apis", "#/apis", func(_ *testing.T, tab *browsertest.Tab) { tab.See("Tide tables", "Piers") }),
		as("api", "#/apis/tides", func(_ *testing.T, tab *browsertest.Tab) { tab.See("http://upstream.example/") }),
		as("api-tree", "#/apis/tides?view=tree", func(_ *testing.T, tab *browsertest.Tab) { tab.See("api_definition") }),
		as("api-text", "#/apis/tides?view=text", func(_ *testing.T, tab *browsertest.Tab) {
			text(tab, `"Tide tables"`, `5`)
			tab.See("1 problem", "/api_definition/name")
		}),
		as("api-difference", "#/apis/piers?view=text", func(_ *testing.T, tab *browsertest.Tab) {
			text(tab, `"Piers"`, `"All the piers"`)
			tab.See("What you type is kept")
			tab.Press("Review and save")
			tab.See("What you have changed", "unchanged lines")
		}),
		as("api-new", "#/apis", func(_ *testing.T, tab *browsertest.Tab) {
			tab.Press("New API")
			tab.See("Where requests go")
		}),
		as("apis-import", "#/apis?do=import", func(t *testing.T, tab *browsertest.Tab) {
			t.Helper()
			choose(t, tab, map[string]string{
				"tides.json":   `{"api_definition":{"api_id":"tides","name":"Tide tables"}}`,
				"ferries.yaml": "api_definition:\n  name: Ferries\n  active: maybe\n",
				"locks.json":   `{"api_definition":{"api_id":"locks","name":"Locks","tags":[],"tags":["x"]}}`,
			})
			tab.See("2 can be imported", "3:11", "is repeated")
		}),
	}
}
