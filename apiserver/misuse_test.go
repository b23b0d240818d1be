package apiserver_test

import (
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/apiserver/internal/boats"
)

// TestMiddlewaresAreRequired: New fails if the routes of an operation that authenticates were registered without the
// middleware that does it.
func TestMiddlewaresAreRequired(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*apiserver.Routes) map[string][]echo.MiddlewareFunc{
		"none": func(*apiserver.Routes) map[string][]echo.MiddlewareFunc { return nil },
		"other ones": func(*apiserver.Routes) map[string][]echo.MiddlewareFunc {
			other := func(next echo.HandlerFunc) echo.HandlerFunc { return next }
			return map[string][]echo.MiddlewareFunc{"registerBoat": {other}, "importBoats": {other}, "listBoats": {other}}
		},
		"not all": func(routes *apiserver.Routes) map[string][]echo.MiddlewareFunc {
			delete(routes.Middlewares, "registerBoat")
			return routes.Middlewares
		},
	} {
		f := &faulty{harbour: &harbour{}}
		_, err := f.newServer(func(cfg *config) {
			cfg.Routes = func(routes *apiserver.Routes) {
				boats.RegisterHandlersWithOptions(routes.Echo, boats.Serve(f, apiserver.RequestOf[*request], routes.Send),
					boats.RegisterHandlersOptions{OperationMiddlewares: change(routes)})
			}
		})
		require.ErrorContains(t, err, "POST /boats was registered without Routes.Middlewares", name)
	}
}

// TestPanicBreaksOff: a client does not mistake the part of a response that was sent before a panic for all of it.
func TestPanicBreaksOff(t *testing.T) {
	t.Parallel()
	for _, check := range []apiserver.ResponseCheck{apiserver.ResponsesUnchecked, apiserver.DeparturesReported} {
		s := start(t, func(_ *faulty, cfg *config) { cfg.CheckResponses = check })
		s.boat.failAfter(5000)
		before := s.boat.rows
		s.boat.rows = func() iter.Seq2[boats.Boat, error] {
			return func(yield func(boats.Boat, error) bool) {
				for boat, err := range before() {
					if err != nil {
						panic("at sea")
					}
					if !yield(boat, nil) {
						return
					}
				}
			}
		}
		response, err := http.Get(s.url + "/boats")
		require.NoError(t, err)
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, check)
		require.Contains(t, s.log.String(), `err="panic: at sea"`)
		require.Contains(t, s.log.String(), "msg=request ")
	}
}

// TestClientsDoNotWriteTheLog: the address in the log is that of the connection, whatever a header says.
func TestClientsDoNotWriteTheLog(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.send("GET", "/boats", "", "X-Forwarded-For", "192.0.2.7", "X-Real-Ip", "192.0.2.8")
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "msg=request ") }, 10*time.Second, time.Millisecond)
	require.Contains(t, s.log.String(), "from=127.0.0.1")
	require.NotContains(t, s.log.String(), "192.0.2.")
}

// TestQueryThatIsNoQuery: a filter that cannot be decoded is not left out.
func TestQueryThatIsNoQuery(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, query := range []string{"min_length=%zz", "min_length=50;x", "min_length=%ff"} {
		status, body, _ := s.send("GET", "/boats?"+query, "")
		require.Equal(t, 400, status, "%s: %s", query, body)
		require.Contains(t, body, "A parameter is not valid")
	}
}
