package apiserver_test

import (
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/apiserver/internal/boats"
	"gatehouse/contract"
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

// TestHeaderParameters: a header is validated as the contract declares it.
func TestHeaderParameters(t *testing.T) {
	t.Parallel()
	for required, missing := range map[bool]int{false: 200, true: 400} {
		s := start(t, func(_ *faulty, cfg *config) {
			cfg.Contract = changed(t, func(spec *openapi3.T) {
				limit := &openapi3.Parameter{
					Name: "X-Limit", In: "header", Required: required, Example: 5, Description: "The limit.",
					Schema: openapi3.NewIntegerSchema().WithMin(1).WithMax(9).NewRef(),
				}
				list := spec.Paths.Value("/boats").Get
				list.Parameters = append(list.Parameters, &openapi3.ParameterRef{Value: limit})
				content := list.Responses.Value("400").Value.Content["application/json"]
				content.Examples["missing_parameter"] = content.Examples["bad_parameter"]
			})
		})
		for value, want := range map[string]int{"": missing, "5": 200, "0": 400, "10": 400, "x": 400} {
			var header []string
			if value != "" {
				header = []string{"X-Limit", value}
			}
			status, body, _ := s.send("GET", "/boats", "", header...)
			require.Equal(t, want, status, "required %v, %q: %s", required, value, body)
		}
	}
}

// changed returns the contract of the boats after a change.
func changed(t *testing.T, change func(*openapi3.T)) *contract.Contract {
	t.Helper()
	text, err := boats.GetSpecJSON()
	require.NoError(t, err)
	spec, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	change(spec)
	text, err = json.Marshal(spec)
	require.NoError(t, err)
	loaded, err := contract.Load(apiserver.Rules("token"), text)
	require.NoError(t, err)
	return loaded
}

// TestOwnErrors: an API whose errors are objects of its own has them everywhere, also for paths that do not exist, and
// for lists.
func TestOwnErrors(t *testing.T) {
	t.Parallel()
	type problem struct{ Code, Detail string }
	s := start(t, func(_ *faulty, cfg *config) {
		cfg.ErrorBody = func(reply contract.Reply, _ []contract.Problem) any {
			return problem{string(reply.Outcome), reply.Message()}
		}
	})
	status, body, _ := s.send("GET", "/ships", "")
	require.Equal(t, 404, status)
	require.JSONEq(t, `{"Code":"","Detail":"Not Found"}`, body)

	failed := func(_ problem, cause error) boats.ListBoatsReply { return boats.ListBoatsReplies{}.Failed(cause) }
	replies := apiserver.ListRepliesOf(boats.ListBoatsReplies{}.StreamOK,
		func(cause error) boats.ListBoatsReply { return failed(problem{"failed", ""}, cause) })
	require.Equal(t, 200, replies.StreamOK().Reply().Response.Status)
	reply := apiserver.ReplyError(replies, errBrokenList)
	require.Equal(t, errBrokenList, reply.Reply().Cause)
}
