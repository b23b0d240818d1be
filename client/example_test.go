package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"gatehouse/client"
)

// server stands in for gatehouse, so that the example runs anywhere.
func server() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/organisations", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"Status":"OK","Message":"Org created","Meta":"588b4f0bb275ff0001cc7471"}`)
	})
	mux.HandleFunc("GET /admin/organisations/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"Status":"Error","Message":"Org not found","Meta":null}`)
	})
	return httptest.NewServer(mux)
}

func Example() {
	gatehouse := server()
	defer gatehouse.Close()

	c, err := client.New(gatehouse.URL, client.WithAdminSecret("what-was-printed"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	created, err := c.CreateOrgWithResponse(ctx, json.RawMessage(`{"owner_name":"Rivermouth Foods"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if created.JSON200 == nil {
		fmt.Printf("%s: %s\n", created.Status(), created.Body)
		return
	}
	fmt.Println("created:", created.JSON200.Meta)

	found, err := c.GetOrgWithResponse(ctx, "unknown")
	if err != nil {
		fmt.Println(err)
		return
	}
	if found.JSON404 != nil {
		fmt.Println("not found:", found.JSON404.Message)
	}
	// Output:
	// created: 588b4f0bb275ff0001cc7471
	// not found: Org not found
}
