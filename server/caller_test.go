package server

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// requestWithoutCaller returns a request as the middleware passes it to a handler, without a caller.
func requestWithoutCaller(op *contract.Operation) *request {
	return &request{Request: apiserver.Request{
		Echo: echo.New().NewContext(httptest.NewRequest(op.Method, "/", nil), httptest.NewRecorder()), Operation: op,
		Body: apiserver.Body{JSON: json.RawMessage(`{"ForSection":"portal","new_password":"correct-horse"}`)},
	}}
}

// TestHandlersForUsersFailWithoutCaller calls each handler that reads the caller as if the request had not been
// authenticated. The server has no store: a handler that went on would panic.
func TestHandlersForUsersFailWithoutCaller(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	handlers := reflect.ValueOf(&Server{})
	called := 0
	for op := range known.Operations() {
		if op.Scheme != accessKeyScheme {
			continue
		}
		called++
		t.Run(op.ID, func(t *testing.T) {
			t.Parallel()
			handler := handlers.MethodByName(strings.ToUpper(op.ID[:1]) + op.ID[1:])
			require.True(t, handler.IsValid())
			r := requestWithoutCaller(op)
			args := []reflect.Value{reflect.ValueOf(r)}
			for i := 1; i < handler.Type().NumIn(); i++ {
				args = append(args, reflect.Zero(handler.Type().In(i)))
			}
			returned, _ := reflect.TypeAssert[apiserver.Replier](handler.Call(args)[0])
			require.Equal(t, apiserver.OutcomeFailed, returned.Reply().Outcome)
			require.ErrorIs(t, returned.Reply().Cause, errNoCaller)
		})
	}
	require.Equal(t, reflect.TypeFor[dashboard.Handlers[*request]]().NumMethod()-9, called, "all of /api")
}

// TestAdminOperationsHaveNoCaller has each operation that does not authenticate users ask for the caller.
func TestAdminOperationsHaveNoCaller(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	for op := range known.Operations() {
		if op.Scheme == accessKeyScheme {
			continue
		}
		_, err := callerOf(requestWithoutCaller(op))
		require.ErrorIs(t, err, errNoCaller, op.ID)
	}
}

// TestPermissionsRequireUsers has an operation of /admin require a permission, which only a user can have.
func TestPermissionsRequireUsers(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	cfg := Config{
		Contract: known, Store: &store.Store{}, Log: slog.New(slog.DiscardHandler), Now: time.Now, AdminSecret: "a",
		NodeSecret: "n", PageSize: 1, Limits: Limits{Import: 1, Document: 1, Depth: 1, BodyTimeout: 1},
	}
	_, err = New(cfg)
	require.NoError(t, err)
	known.Operation("adminHello").Permission = &contract.Permission{Object: "users", Level: contract.LevelRead}
	_, err = New(cfg)
	require.EqualError(t, err, "contract: adminHello has x-permission, but does not authenticate a user")
}

func TestNobodyHasNoRights(t *testing.T) {
	t.Parallel()
	var nobody caller
	require.False(t, nobody.authenticated())
	require.False(t, nobody.isAdmin())
	require.False(t, nobody.is(""))
	require.False(t, nobody.canAccess(""))
	require.False(t, nobody.canAccess("53ac07777cbb8c2d53000002"))
	require.False(t, nobody.belongsTo(""))
	require.Panics(t, func() { nobody.scope() }, "no scope is everything")
	require.Error(t, authorise(nobody, &contract.Permission{Object: "users", Level: contract.LevelRead, Self: true}, ""))
	require.NoError(t, authorise(nobody, nil, ""), "an operation that requires nothing")
}

func TestAuthorise(t *testing.T) {
	t.Parallel()
	read := &contract.Permission{Object: "users", Level: contract.LevelRead}
	write := &contract.Permission{Object: "users", Level: contract.LevelWrite}
	self := &contract.Permission{Object: "users", Level: contract.LevelWrite, Self: true}
	for name, c := range map[string]struct {
		permissions map[string]string
		required    *contract.Permission
		allowed     bool
	}{
		"an administrator":               {map[string]string{"IsAdmin": "admin"}, write, true},
		"read for read":                  {map[string]string{"users": "read"}, read, true},
		"write for read":                 {map[string]string{"users": "write"}, read, true},
		"read for write":                 {map[string]string{"users": "read"}, write, false},
		"another object":                 {map[string]string{"apis": "write"}, read, false},
		"no permission":                  {nil, read, false},
		"oneself":                        {nil, self, true},
		"oneself where it does not help": {nil, write, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := authorise(caller{user: &store.User{ID: "u", UserPermissions: c.permissions}}, c.required, "u")
			if c.allowed {
				require.NoError(t, err)
			} else {
				require.Equal(t, apiserver.OutcomeAccessDenied, apiserver.OutcomeOf(err))
			}
		})
	}
}
