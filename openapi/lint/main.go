// Command lint checks OpenAPI contracts before code is generated from them.
//
//	go run ./openapi/lint FILE...
//
// It prints each fault as FILE:LINE:COLUMN: what is wrong, and exits with status 1 if there is any. It finds what the
// generator accepts, or reports without a line:
//
//   - a reference to something that does not exist;
//   - a misspelt keyword or type of a schema, or a required property that the schema does not have;
//   - a schema or a property without a description;
//   - an unknown x- key;
//   - an operation ID that occurs twice in all files;
//   - a response without a named example, an example that is not in components/examples, and one that breaks its schema.
package main

import (
	"fmt"
	"os"
)

func main() {
	faults, err := check(os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	for _, f := range faults {
		fmt.Fprintln(os.Stdout, f)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}
