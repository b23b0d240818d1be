// Command cmd checks OpenAPI documents and prints a line for each fault. It exits with 1 if there are any:
//
//	go run ./openapi/lint/cmd openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml
package main

import (
	"fmt"
	"os"

	"gatehouse/openapi/lint"
)

func main() {
	problems, err := lint.Check(os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "check contracts:", err)
		os.Exit(1)
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}
