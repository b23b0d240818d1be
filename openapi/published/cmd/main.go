// Command cmd reads a published contract, which must not be copied into the repository as a whole, and writes its
// skeleton:
//
//	go run ./openapi/published/cmd < ../dashboard-admin-5.11.yml > openapi/published/dashboard-admin-5.11.yml
package main

import (
	"fmt"
	"io"
	"os"

	"gatehouse/openapi/published"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "write skeleton:", err)
		os.Exit(1)
	}
}

func run() error {
	document, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	skeleton, err := published.Skeleton(document)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(skeleton)
	return err
}
