package server_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"gatehouse/apiserver"
	"gatehouse/conformance"
	"gatehouse/pgtest"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/notes/migrations"
	"example.com/notes/server"
	"example.com/notes/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, migrations.All.Up)) }

// start starts a server on a database. Its responses are those of the contract, or failures.
func start(t *testing.T, database string, limits apiserver.Limits) (url string, _ *store.Store) {
	t.Helper()
	notes, err := store.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := server.New(server.Config{
		Store: notes, Limits: limits, CheckResponses: apiserver.DeparturesRefused, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(handler)
	t.Cleanup(func() { listening.Close(); notes.Close() })
	return listening.URL, notes
}

// TestContract makes each outcome of the contract happen.
func TestContract(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	healthy, _ := start(t, database, apiserver.DefaultLimits())
	hasty := apiserver.DefaultLimits()
	hasty.BodyTimeout = 100 * time.Millisecond
	slow, _ := start(t, database, hasty)
	broken, closed := start(t, database, apiserver.DefaultLimits())
	closed.Close()
	targets := map[string]conformance.Target{
		"": {URL: healthy}, "slow": {URL: slow, Prepare: healthy}, "broken-database": {URL: broken, Prepare: healthy},
	}
	spec, err := conformance.ReadSpec("../openapi/notes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	suite, err := conformance.Load(spec, os.DirFS("../openapi/scenarios"), "openapi/scenarios")
	if err != nil {
		t.Fatal(err) // it names each outcome that has no scenario
	}
	runner := conformance.NewRunner(conformance.RunnerConfig{
		Suite: suite, Client: http.DefaultClient, Run: "test", Random: rand.Reader, Now: time.Now,
		CleanupTimeout: time.Minute,
	})
	for _, scenario := range suite.Scenarios {
		t.Run(scenario.ID(), func(t *testing.T) {
			t.Parallel()
			result := runner.Run(t.Context(), scenario, targets[strings.Join(scenario.Needs, " ")])
			if result.Status != conformance.StatusDriven {
				t.Errorf("%s: %s\n%s", scenario.Position, result.Description(), result.Script())
			}
		})
	}
}

// client sends requests as an owner.
type client struct {
	t        *testing.T
	url, key string
}

// newClient returns a client of a server on a database of its own.
func newClient(t *testing.T) (c client, database string) {
	t.Helper()
	database = pgtest.Database(t)
	url, notes := start(t, database, apiserver.DefaultLimits())
	owner, err := notes.CreateOwner(t.Context(), "Ines")
	if err != nil {
		t.Fatal(err)
	}
	return client{t, url, owner.AccessKey}, database
}

func (c client) send(method, path, body string) (status int, text string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Access-Key", c.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(received)
}

func (c client) upload(notes ...string) (status int, text string) {
	c.t.Helper()
	return c.send(http.MethodPost, "/notes/upload", `{"notes": [`+strings.Join(notes, ",")+`]}`)
}

func note(title string, tags ...string) string {
	return fmt.Sprintf(`{"title": %q, "text": "", "tags": [%s]}`, title, strings.Join(tags, ","))
}

// TestUploadIsAllOrNothing: the scenarios do not see what is stored after an upload was refused.
func TestUploadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	c, database := newClient(t)
	const stored = `SELECT count(*) FROM notes`
	for _, bad := range []string{note(""), note("b", `"nowhere"`), `7`, `{`} {
		status, text := c.upload(note("a"), bad)
		if n := pgtest.Value[int](t, database, stored); status < 400 || n != 0 {
			t.Errorf("%s: status %d, %d notes are stored: %s", bad, status, n, text)
		}
	}
	if status, text := c.upload(note("a"), note("b")); status != http.StatusCreated {
		t.Errorf("status %d: %s", status, text)
	}
	if n := pgtest.Value[int](t, database, stored); n != 2 {
		t.Errorf("%d notes are stored", n)
	}
}

// TestPages: each note is on one page, in the order in which they were stored.
func TestPages(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t)
	if status, text := c.upload(note("a"), note("b"), note("c")); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	titles := regexp.MustCompile(`"title":"(\w)"`)
	for page, want := range []string{"a b", "c", ""} {
		_, text := c.send(http.MethodGet, fmt.Sprintf("/notes?size=2&page=%d", page+1), "")
		var got []string
		for _, match := range titles.FindAllStringSubmatch(text, -1) {
			got = append(got, match[1])
		}
		if strings.Join(got, " ") != want || !strings.HasSuffix(text, `"total":3}`) {
			t.Errorf("page %d: %s", page+1, text)
		}
	}
}

// TestKeysAreHashed: who reads the database learns no access key.
func TestKeysAreHashed(t *testing.T) {
	t.Parallel()
	c, database := newClient(t)
	const stored = `SELECT bool_or(o::text LIKE '%' || $1 || '%' OR position($1::bytea IN key_hash) > 0) FROM owners o`
	if pgtest.Value[bool](t, database, stored, c.key) {
		t.Error("the database has the access key")
	}
}

// TestOwnerIsDeletedMeanwhile: a request whose owner is deleted after it was authenticated is no failure.
func TestOwnerIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/notes": note("a"), "/notes/upload": `{"notes": [` + note("a") + `]}`, "/tags": `{"name": "a"}`,
	} {
		c, database := newClient(t)
		pgtest.With(t, database, func(ctx context.Context, conn *pgx.Conn) {
			deleting, err := conn.Begin(ctx)
			if err == nil {
				_, err = deleting.Exec(ctx, `DELETE FROM owners`)
			}
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan int)
			go func() {
				status, _ := c.send(http.MethodPost, path, body)
				answered <- status
			}()
			const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
			for pgtest.Value[int](t, database, waiting) == 0 {
				time.Sleep(time.Millisecond)
			}
			if err := deleting.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if status := <-answered; status < 400 || status >= 500 {
				t.Errorf("%s: status %d", path, status)
			}
		})
	}
}

// TestNoteIsDeletedMeanwhile: who stores a note gets it as it was stored, whatever others do with it then.
func TestNoteIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	c, database := newClient(t)
	pgtest.Exec(t, database, `CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN DELETE FROM notes WHERE id = NEW.id; RETURN NULL; END $$`)
	pgtest.Exec(t, database, `CREATE CONSTRAINT TRIGGER away AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION away()`)
	if status, text := c.send(http.MethodPost, "/notes", note("a")); status != http.StatusCreated {
		t.Errorf("status %d: %s", status, text)
	}
}

// TestSearchIsText: a parameter that Postgres cannot read is refused, and is no failure.
func TestSearchIsText(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t)
	for _, query := range []string{"search=%ff", "tag=%c0%80", "search=%ed%a0%80", "search=%zz", "tag=a;b"} {
		if status, text := c.send(http.MethodGet, "/notes?"+query, ""); status != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", query, status, text)
		}
	}
}
