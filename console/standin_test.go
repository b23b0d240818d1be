package console_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"gatehouse/server"
)

// standIn has the server of the tests know sessions, until it knows them itself: then this file goes.
func (s *site) standIn(*server.Server) {
	type standInSession struct {
		body map[string]any
		key  string
	}
	var mu sync.Mutex
	sessions, keys := map[string]*standInSession{}, map[string]string{}
	reply := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(w http.ResponseWriter, status int, message string) {
		w.Header().Set("X-Request-ID", "stand-in-request")
		reply(w, status, map[string]any{"Status": "Error", "Message": message, "Meta": nil})
	}
	open := func(w http.ResponseWriter, session *standInSession) {
		id := fmt.Sprint("session-", len(sessions))
		sessions[id] = session
		http.SetCookie(w, &http.Cookie{Name: "gatehouse_session", Value: id, Path: "/", HttpOnly: true})
		reply(w, 200, session.body)
	}
	create := func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Email    string `json:"email_address"`
			Password string `json:"password"`
			OrgID    string `json:"org_id"`
			Nonce    string `json:"nonce"`
			Secret   string `json:"admin_secret"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		if body.Secret == adminSecret {
			open(w, &standInSession{body: map[string]any{"kind": "operator", "name": "", "user_id": ""}})
			return
		}
		var orgs struct {
			Organisations []struct {
				ID   string `json:"id"`
				Name string `json:"owner_name"`
			}
		}
		s.admin("GET", "/admin/organisations", nil, &orgs)
		var found []*standInSession
		var choices []map[string]string
		for _, org := range orgs.Organisations {
			var users struct{ Users []map[string]any }
			s.admin("GET", "/admin/users?p=0&org_id="+org.ID, nil, &users)
			for _, u := range users.Users {
				if u["org_id"] != org.ID || u["email_address"] != body.Email && "nonce-of-"+fmt.Sprint(u["email_address"]) != body.Nonce ||
					body.OrgID != "" && body.OrgID != org.ID {
					continue
				}
				choices = append(choices, map[string]string{"org_id": org.ID, "org_name": org.Name})
				permissions, _ := u["user_permissions"].(map[string]any)
				found = append(found, &standInSession{key: fmt.Sprint(u["access_key"]), body: map[string]any{
					"kind": "user", "user_id": u["id"], "email_address": u["email_address"], "org_id": org.ID, "org_name": org.Name,
					"name": fmt.Sprint(u["first_name"], " ", u["last_name"]), "is_admin": permissions["IsAdmin"] == "admin", "permissions": permissions,
				}})
			}
		}
		switch {
		case len(found) == 0, body.Nonce == "" && body.Password != userPassword:
			refuse(w, 401, "The e-mail address or the password is wrong.")
		case len(found) > 1:
			reply(w, 409, map[string]any{"error": "Choose one.", "organisations": choices})
		default:
			open(w, found[0])
		}
	}
	s.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie("gatehouse_session")
			if err != nil && r.URL.Path != "/api/session" {
				next.ServeHTTP(w, r) // such as those of this function
				return
			}
			mu.Lock()
			var session *standInSession
			if err == nil {
				session = sessions[cookie.Value]
			}
			if r.URL.Path == "/api/session" {
				defer mu.Unlock()
				switch {
				case r.Method == "POST":
					create(w, r)
				case session == nil:
					refuse(w, 401, "Not authorised")
				case r.Method == "DELETE":
					delete(sessions, cookie.Value)
					reply(w, 200, map[string]any{"Status": "OK", "Message": "Signed out", "Meta": nil})
				default:
					reply(w, 200, session.body)
				}
				return
			}
			if session != nil && session.key != "" {
				r.Header.Set("Authorization", session.key)
			} else if session != nil && strings.HasPrefix(r.URL.Path, "/admin") {
				r.Header.Set("Admin-Auth", adminSecret)
			} else if session != nil && strings.HasPrefix(r.URL.Path, "/api") {
				org := r.Header.Get("X-Organisation")
				if keys[org] == "" {
					keys[org] = s.user(org, "operator@"+org+".example", maps.Clone(administrator)).key
				}
				r.Header.Set("Authorization", keys[org])
			}
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
}
