// Command bare is the practical limit: net/http and pgx with the SQL of gatehouse, and nothing that
// validates, authenticates, logs or counts a request.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/bench/alternative"
	"gatehouse/gen/admin"
)

func main() { alternative.Main(newServer) }

type server struct {
	pool *pgxpool.Pool
}

func newServer(pool *pgxpool.Pool, log *slog.Logger) (http.Handler, error) {
	s := &server{pool: pool}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /hello":                    s.hello,
		"GET /admin/users/{id}":         s.getUser,
		"GET /admin/organisations/{id}": s.getOrganisation,
		"PUT /admin/users/{id}/actions/allow_reset_passwords": s.allowReset,
		"POST /admin/users":           s.createUser,
		"POST /admin/sso":             s.createNonce,
		"GET /admin/organisations":    s.list("organisations", `SELECT id, document FROM organisations ORDER BY position`),
		"GET /admin/apis":             s.list("apis", `SELECT api_id, document FROM apis ORDER BY position`),
		"GET /admin/policies":         s.list("Data", `SELECT id, document FROM policies ORDER BY position`),
		"POST /admin/apis/import":     s.importDocuments(apis),
		"POST /admin/policies/import": s.importDocuments(policies),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				log.Error("request failed", "pattern", pattern, "err", err)
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return mux, nil
}

func (s *server) hello(http.ResponseWriter, *http.Request) error { return nil }

func writeJSON(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(text)
	return err
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request) error {
	user, err := alternative.GetUser(r.Context(), s.pool, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, user.Response())
}

func (s *server) getOrganisation(w http.ResponseWriter, r *http.Request) error {
	document, err := alternative.GetOrganisation(r.Context(), s.pool, r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(document)
	return err
}

func (s *server) allowReset(w http.ResponseWriter, r *http.Request) error {
	user, err := alternative.AllowResetPassword(r.Context(), s.pool, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, alternative.OK("User updated", user.Response()))
}

func (s *server) createUser(w http.ResponseWriter, r *http.Request) error {
	var sent struct {
		OrgID           string            `json:"org_id"`
		EmailAddress    string            `json:"email_address"`
		FirstName       string            `json:"first_name"`
		LastName        string            `json:"last_name"`
		Active          bool              `json:"active"`
		UserPermissions map[string]string `json:"user_permissions"`
	}
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		return err
	}
	user, err := alternative.CreateUser(r.Context(), s.pool, alternative.User{
		OrgID: sent.OrgID, EmailAddress: sent.EmailAddress, FirstName: sent.FirstName, LastName: sent.LastName,
		Active: sent.Active, UserPermissions: sent.UserPermissions,
	})
	if err != nil {
		return err
	}
	return writeJSON(w, alternative.OK(user.AccessKey, user.Response()))
}

func (s *server) createNonce(w http.ResponseWriter, r *http.Request) error {
	var sent admin.SSOAccessData
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		return err
	}
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	nonce, err := alternative.CreateNonce(r.Context(), s.pool, alternative.Nonce{
		OrgID: *sent.OrgID, EmailAddress: *sent.EmailAddress, Document: document,
	})
	if err != nil {
		return err
	}
	return writeJSON(w, alternative.OK("SSO Nonce created", nonce))
}

// list streams the documents that a statement selects, as the raw bytes of Postgres's rows.
func (s *server) list(name, sql string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		rows, err := s.pool.Query(r.Context(), sql)
		if err != nil {
			return err
		}
		defer rows.Close()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"%s":[`, name)
		for first := true; rows.Next(); first = false {
			if !first {
				_, _ = io.WriteString(w, ",") // the next Write returns the error
			}
			if _, err := w.Write(rows.RawValues()[1]); err != nil {
				return err
			}
		}
		_, _ = io.WriteString(w, `],"pages":0}`)
		return rows.Err()
	}
}
