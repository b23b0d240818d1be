package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tidwall/gjson"

	"gatehouse/gen/admin"
	"gatehouse/store"
)

// bareServer is net/http and pgx, and checks nothing: not even who asks.
type bareServer struct {
	pool *pgxpool.Pool
	ids  store.IDs
	log  *slog.Logger
}

func newBare(pool *pgxpool.Pool, log io.Writer) (http.Handler, error) {
	s := &bareServer{pool: pool, ids: store.NewIDs(time.Now), log: slog.New(slog.NewTextHandler(log, nil))}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /hello":                                          s.hello,
		"GET /admin/users/{id}":                               s.getUser,
		"GET /admin/organisations/{id}":                       s.getOrganisation,
		"GET /admin/organisations":                            s.list("organisations", selectOrganisations),
		"PUT /admin/users/{id}/actions/allow_reset_passwords": s.allowReset,
		"POST /admin/users":                                   s.createUser,
		"POST /admin/sso":                                     s.signOn,
		"GET /admin/apis":                                     s.list("apis", `SELECT api_id, document FROM apis ORDER BY position`),
		"GET /admin/policies":                                 s.list("Data", `SELECT id, document FROM policies ORDER BY position`),
		"POST /admin/apis/import":                             s.importer(apis(), apiColumns),
		"POST /admin/policies/import":                         s.importer(policies(), policyColumns),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				s.log.Error("failed", "pattern", pattern, "err", err)
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return mux, nil
}

func (s *bareServer) hello(http.ResponseWriter, *http.Request) error { return nil }

func answerJSON(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(text)
	return err
}

// show is a user in the generated type, as gatehouse shows it.
func show(u store.User) admin.User {
	return admin.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgId: u.OrgID, Active: u.Active,
		Id: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupId: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: or(u.PasswordUpdated), PWHistory: []string{},
		LastLoginDate: or(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

func (s *bareServer) getUser(w http.ResponseWriter, r *http.Request) error {
	user, err := oneUser(r.Context(), s.pool, selectUser, r.PathValue("id"))
	if err != nil {
		return err
	}
	return answerJSON(w, show(user))
}

func (s *bareServer) getOrganisation(w http.ResponseWriter, r *http.Request) error {
	row, err := oneOrganisation(r.Context(), s.pool, selectOrganisation, r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(row.Document)
	return err
}

func (s *bareServer) allowReset(w http.ResponseWriter, r *http.Request) error {
	user, err := oneUser(r.Context(), s.pool, setResetPassword, r.PathValue("id"), true)
	if err != nil {
		return err
	}
	return answerJSON(w, admin.ApiError{Status: admin.ApiErrorStatusOK, Message: "User updated", Meta: show(user)})
}

func (s *bareServer) createUser(w http.ResponseWriter, r *http.Request) error {
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
	user, err := oneUser(r.Context(), s.pool, insertUser, s.ids.Object(), sent.OrgID, sent.EmailAddress,
		strings.ToLower(sent.EmailAddress), sent.FirstName, sent.LastName, sent.Active, s.ids.Key(), sent.UserPermissions, "", 0, time.Now())
	if err != nil {
		return err
	}
	return answerJSON(w, admin.ApiError{Status: admin.ApiErrorStatusOK, Message: user.AccessKey, Meta: show(user)})
}

func (s *bareServer) signOn(w http.ResponseWriter, r *http.Request) error {
	var sent admin.SSOAccessData
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		return err
	}
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	nonce, err := createNonce(r.Context(), s.pool, s.ids, *sent.OrgID, *sent.EmailAddress, document)
	if err != nil {
		return err
	}
	return answerJSON(w, admin.ApiError{Status: admin.ApiErrorStatusOK, Message: "SSO Nonce created", Meta: nonce})
}

// createNonce stores the hash of a new nonce.
func createNonce(ctx context.Context, pool *pgxpool.Pool, ids store.IDs, orgID, address string, document json.RawMessage) (string, error) {
	nonce := ids.Nonce()
	hash := sha256.Sum256([]byte(nonce))
	_, err := pool.Exec(ctx, insertNonce, hash[:], orgID, strings.ToLower(address), false, document, time.Now().Add(nonceLife))
	return nonce, err
}

// list sends rows as they come.
func (s *bareServer) list(name, sql string) func(http.ResponseWriter, *http.Request) error {
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
				_, _ = io.WriteString(w, ",") // an error comes back from the next Write
			}
			if _, err := w.Write(rows.RawValues()[1]); err != nil {
				return err
			}
		}
		_, _ = io.WriteString(w, `],"pages":0}`)
		return rows.Err()
	}
}

// columnsOf takes out of a document what is searched.
type columnsOf func(document []byte) []any

func apiColumns(document []byte) []any {
	found := gjson.GetManyBytes(document, "api_definition.api_id", "api_definition.id", "api_definition.org_id", "api_definition.active")
	return []any{found[0].String(), found[1].String(), found[2].String(), found[3].Bool()}
}

func policyColumns(document []byte) []any {
	found := gjson.GetManyBytes(document, "_id", "org_id")
	return []any{found[0].String(), found[0].String(), found[1].String()}
}

// importer reads the list element by element while COPY writes it to a temporary table, and moves it from there in one
// statement.
func (s *bareServer) importer(k kind, columns columnsOf) func(http.ResponseWriter, *http.Request) error {
	names := append(strings.Split(k.columns, ", "), "document")
	update := make([]string, 0, len(names))
	for _, name := range names[1:] {
		update = append(update, name+" = excluded."+name)
	}
	move := fmt.Sprintf(`INSERT INTO %s (%s) SELECT %[2]s FROM incoming ON CONFLICT (%s) DO UPDATE SET %s WHERE %[1]s.org_id = excluded.org_id`,
		k.table, strings.Join(names, ", "), names[0], strings.Join(update, ", "))
	return func(w http.ResponseWriter, r *http.Request) error {
		there := map[string]bool{}
		err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(r.Context(), `CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT `+strings.Join(names, ", ")+` FROM `+k.table+` LIMIT 0`); err != nil {
				return err
			}
			rows := stream(r.Context(), r.Body, k.list, func(document []byte) []any {
				row := append(columns(document), document)
				there[row[0].(string)] = true
				return row
			})
			if _, err := tx.CopyFrom(r.Context(), pgx.Identifier{"incoming"}, names, rows); err != nil {
				return err
			}
			_, err := tx.Exec(r.Context(), move)
			return err
		})
		if err != nil {
			return err
		}
		return answerJSON(w, admin.ApiError{Status: admin.ApiErrorStatusOK, Message: "imported", Meta: there})
	}
}

// rowsAhead is how many rows may wait for Postgres: what is in memory is bounded by it.
const rowsAhead = 64

// stream splits the list of a body while what it yields is taken.
func stream(ctx context.Context, body io.Reader, list string, row columnsOf) pgx.CopyFromSource {
	const buffer = 64 << 10
	rows, ended := make(chan []any, rowsAhead), make(chan error, 1)
	go func() {
		defer close(rows)
		ended <- jx.Decode(body, buffer).ObjBytes(func(d *jx.Decoder, name []byte) error {
			if string(name) != list {
				return d.Skip()
			}
			return d.Arr(func(d *jx.Decoder) error {
				document, err := d.RawAppend(nil)
				if err != nil {
					return err
				}
				select {
				case rows <- row(document):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}()
	return pgx.CopyFromFunc(func() ([]any, error) {
		if row, ok := <-rows; ok {
			return row, nil
		}
		return nil, <-ended
	})
}
