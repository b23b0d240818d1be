package gatewaystandin

import (
	"encoding/json"
	"net/http"
)

// response is a response of the control API.
type response struct {
	status int
	body   any
}

// status is the envelope of the control API.
type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// keyChange is the response to a change of a key.
type keyChange struct {
	Key     string `json:"key"`
	Status  string `json:"status"`
	Action  string `json:"action"`
	KeyHash string `json:"key_hash,omitempty"`
}

func ok(body any) response { return response{http.StatusOK, body} }

func failure(code int, message string) response { return response{code, status{"error", message}} }

func methodNotSupported() response {
	return failure(http.StatusMethodNotAllowed, "Method not supported")
}

func (r response) write(w http.ResponseWriter) { writeJSON(w, r.status, r.body) }

// writeJSON writes JSON with a newline at its end, as a gateway does.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
