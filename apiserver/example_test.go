package apiserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"gatehouse/apiserver"
	"gatehouse/apiserver/internal/boats"
	"gatehouse/contract"
)

// request is a request to the harbour. The package embeds what it knows of one, and adds the role of the caller.
type request struct {
	apiserver.Request

	role string
}

// harbour implements the contract of internal/boats/boats.yaml, from which package boats was generated.
type harbour struct {
	tokens map[string]string // roles by token
	mu     sync.Mutex        // guards boats
	boats  []boats.Boat
}

var _ boats.Handlers[*request] = (*harbour)(nil)

// config returns the configuration of a server of the harbour.
func (h *harbour) config() (cfg apiserver.Config[*request], err error) {
	spec, err := boats.GetSpecJSON()
	if err != nil {
		return cfg, err
	}
	loaded, err := contract.Load(apiserver.Rules("token"), spec)
	return apiserver.Config[*request]{
		Contract: loaded,
		Routes: func(routes *apiserver.Routes) {
			boats.RegisterHandlersWithOptions(routes.Echo,
				boats.Serve(h, apiserver.RequestOf[*request], routes.Send),
				boats.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
		},
		Schemes:        map[string]func(*request) error{"token": h.authenticate},
		Authorise:      h.authorise,
		Limits:         apiserver.DefaultLimits(),
		CheckResponses: apiserver.DeparturesRefused,
		Log:            slog.New(slog.DiscardHandler),
	}, err
}

// authenticate sets the role of the caller.
func (h *harbour) authenticate(r *request) error {
	r.role = h.tokens[r.Bearer()]
	if r.role == "" {
		return apiserver.ErrUnauthorised
	}
	return nil
}

// authorise lets the master do everything.
func (h *harbour) authorise(r *request, _ *contract.Permission) error {
	if r.role != "master" {
		return apiserver.ErrAccessDenied
	}
	return nil
}

var errTaken = errors.New("the name is taken")

// RegisterBoat implements boats.Handlers.
func (h *harbour) RegisterBoat(r *request) boats.RegisterBoatReply {
	var reply boats.RegisterBoatReplies
	boat, err := apiserver.Decode[boats.NewBoat](r)
	if err != nil {
		return apiserver.ReplyError(reply, err, apiserver.OnMalformed(reply))
	}
	id, err := h.add(r.Context(), boat)
	if err != nil {
		taken := func(cause error) boats.RegisterBoatReply { return reply.Taken(boat.Name, cause) }
		return apiserver.ReplyError(reply, err, apiserver.On(taken, errTaken))
	}
	return reply.OK(id)
}

// ImportBoats implements boats.Handlers. It stores nothing until the whole body has been received.
func (h *harbour) ImportBoats(r *request) boats.ImportBoatsReply {
	var reply boats.ImportBoatsReplies
	var received []boats.NewBoat
	problems := []boats.Problem{}
	for element, err := range apiserver.Elements[boats.NewBoat](r) {
		if err != nil {
			return apiserver.ReplyError(reply, err, apiserver.OnBody(reply)...)
		}
		if element.Problems == nil {
			received = append(received, element.Value)
		}
		for _, p := range element.Problems {
			problems = append(problems, boats.Problem(p))
		}
	}
	registered := 0
	for _, boat := range received {
		if _, err := h.add(r.Context(), boat); err == nil {
			registered++
		}
	}
	return reply.OK(boats.Imported{Registered: registered, Problems: problems})
}

// ListBoats implements boats.Handlers.
func (h *harbour) ListBoats(r *request, params boats.ListBoatsParams) boats.ListBoatsReply {
	return apiserver.ReplyList(r, boats.ListBoatsReplies{}, apiserver.List[boats.Boat]{
		Name: "boats", Rows: h.all(params.MinLength),
	})
}

// add stands for a function of a database.
func (h *harbour) add(_ context.Context, boat boats.NewBoat) (id string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.boats {
		if other.Name == boat.Name {
			return "", errTaken
		}
	}
	id = fmt.Sprintf("boat-%d", len(h.boats)+1)
	h.boats = append(h.boats, boats.Boat{Id: id, Name: boat.Name, Length: boat.Length})
	return id, nil
}

// all stands for a query of a database.
func (h *harbour) all(minLength *int) iter.Seq2[boats.Boat, error] {
	return func(yield func(boats.Boat, error) bool) {
		for _, boat := range h.boats {
			if (minLength == nil || boat.Length >= *minLength) && !yield(boat, nil) {
				return
			}
		}
	}
}

// Example serves a small contract.
func Example() {
	h := &harbour{tokens: map[string]string{"t-1": "master", "t-2": "sailor"}}
	cfg, err := h.config()
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := apiserver.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	listening := httptest.NewServer(server)
	defer listening.Close()
	send := func(method, path, token, body string) {
		req, _ := http.NewRequest(method, listening.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		fmt.Println(response.StatusCode, string(text))
	}
	send("POST", "/boats", "t-1", `{"name": "Albatross", "length": 12}`)
	send("POST", "/boats", "t-1", `{"name": "Albatross", "length": 9}`)
	send("POST", "/boats", "t-1", `{"name": "Bass", "length": "long"}`)
	send("POST", "/boats", "t-2", `{"name": "Bass", "length": 7}`)
	send("POST", "/boats", "", `{"name": "Bass", "length": 7}`)
	send("PUT", "/boats", "t-1", `{"boats": [{"name": "Cod", "length": 8}, {"name": "Dory"}]}`)
	send("GET", "/boats?min_length=10", "", "")
	send("GET", "/boats?min_length=ten", "", "")
	// Output:
	// 200 {"Status":"OK","Message":"Boat registered","Meta":"boat-1"}
	// 409 {"Status":"Error","Message":"Albatross is taken","Meta":null}
	// 400 {"Status":"Error","Message":"The body is malformed","Meta":{"errors":[{"path":"/length","reason":"value must be an integer"}]}}
	// 403 {"Status":"Error","Message":"Harbour masters only","Meta":null}
	// 401 {"Status":"Error","Message":"Not for you","Meta":null}
	// 200 {"problems":[{"path":"/boats/1","reason":"property \"length\" is missing"}],"registered":1}
	// 200 {"boats":[{"id":"boat-1","length":12,"name":"Albatross"}]}
	// 400 {"Status":"Error","Message":"A parameter is not valid","Meta":{"errors":[{"path":"/min_length","reason":"does not have the form that the contract asks for"}]}}
}
