package apiserver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/apiserver/internal/boats"
)

const (
	// bound ends a test that waits for what will not happen.
	bound = time.Minute
	tick  = time.Millisecond
)

// strict is a harbour that imports all boats of an upload, 3 at most, or none.
type strict struct{ *harbour }

// ImportBoats implements boats.Handlers.
func (s strict) ImportBoats(r *request) boats.ImportBoatsReply {
	var reply boats.ImportBoatsReplies
	all, err := apiserver.AllElements[boats.NewBoat](r, 3)
	return apiserver.ReplyResult(reply, boats.Imported{Registered: len(all), Problems: []boats.Problem{}}, err,
		append(apiserver.OnBody(reply), apiserver.On(reply.TooLarge, apiserver.ErrTooManyElements))...)
}

// ListBoats implements boats.Handlers.
func (s strict) ListBoats(r *request, _ boats.ListBoatsParams) boats.ListBoatsReply {
	return apiserver.ReplyList(r, boats.ListBoatsReplies{}, apiserver.List[boats.Boat]{
		Name: "boats", Rows: apiserver.Rows(s.some(r.Header("Fail") != "")),
	})
}

var errHarbour = errors.New("the harbour is closed")

func (s strict) some(fail bool) ([]boats.Boat, error) {
	if fail {
		return s.boats, errHarbour
	}
	return s.boats, nil
}

func startStrict(t *testing.T) running {
	t.Helper()
	return start(t, func(h *faulty, cfg *config) {
		cfg.Routes = func(routes *apiserver.Routes) {
			boats.RegisterHandlersWithOptions(routes.Echo,
				boats.Serve(strict{h.harbour}, apiserver.RequestOf[*request], routes.Send),
				boats.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
		}
	})
}

// TestAllElements: an upload of which one element is wrong is refused as a whole, with what is wrong.
func TestAllElements(t *testing.T) {
	t.Parallel()
	s := startStrict(t)
	const eel = `{"name":"Eel","length":7}`
	list := func(elements ...string) string { return `{"boats":[` + strings.Join(elements, ",") + `]}` }
	wrong := make([]string, 3)
	for i := range wrong {
		wrong[i] = `{}`
	}
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"all":                 {list(eel, eel, eel), 200, `"registered":3`},
		"none":                {list(), 200, `"registered":0`},
		"one too many":        {list(eel, eel, eel, eel), 413, "The body is too large"},
		"one is wrong":        {list(eel, `{"name":"Fin"}`), 400, `"path":"/boats/1","reason":"property \"length\" is missing"`},
		"wrong, then not one": {list(`{"name":"Fin"}`, `{`), 400, "an element is not JSON"},
		"all are wrong":       {list(wrong...), 400, `"path":"/boats/2"`},
		"ends early":          {`{"boats":[` + eel, 400, "The body is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, _ := s.send("PUT", "/boats", c.body)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.says)
		})
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	s := startStrict(t)
	status, body, _ := s.send("GET", "/boats", "")
	require.Equal(t, 200, status)
	require.Equal(t, listed, body)
	status, body, _ = s.send("GET", "/boats", "", "Fail", "yes")
	require.Equal(t, 500, status, body)
	require.Contains(t, s.log.String(), errHarbour.Error())
}

// TestListenAndServe: the requests that run are served to their end, and no more are accepted.
func TestListenAndServe(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	arrived, released := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-released
		_, _ = io.WriteString(w, "served")
	})
	log, ended := &logBuffer{}, make(chan error, 1)
	go func() {
		ended <- apiserver.ListenAndServe(ctx, "127.0.0.1:0", handler, slog.New(slog.NewTextHandler(log, nil)))
	}()
	var address string
	require.Eventually(t, func() bool {
		_, after, found := strings.Cut(log.String(), "url=http://")
		address = strings.TrimSpace(after)
		return found
	}, bound, tick)
	answer := make(chan string, 1)
	go func() {
		response, err := http.Get("http://" + address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answer <- string(text)
	}()
	<-arrived
	stop()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, bound, tick, "it accepts no more connections")
	require.Empty(t, ended, "a request still runs")
	close(released)
	require.Equal(t, "served", <-answer)
	require.NoError(t, <-ended)

	require.Error(t, apiserver.ListenAndServe(t.Context(), "127.0.0.1:nope", handler, slog.New(slog.DiscardHandler)))
}
