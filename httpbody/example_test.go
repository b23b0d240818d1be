package httpbody_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"gatehouse/httpbody"
)

// Example receives a compressed body, and refuses one that is too large after decompression.
func Example() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, err := httpbody.Receive(w, r, httpbody.Limits{Bytes: 100, Timeout: time.Second})
		var text []byte
		if err == nil {
			text, err = received.Decode()
		}
		if errors.Is(err, httpbody.ErrTooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			fmt.Fprint(w, err)
			return
		}
		fmt.Fprintf(w, "%s %v", text, err)
	})
	for _, body := range []string{`{"name":"Albatross"}`, strings.Repeat("Albatross", 100)} {
		var compressed bytes.Buffer
		out := gzip.NewWriter(&compressed)
		_, _ = out.Write([]byte(body))
		_ = out.Close()
		r := httptest.NewRequest(http.MethodPost, "/", &compressed)
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 {"name":"Albatross"} <nil>
	// 413 the body is too large
}
