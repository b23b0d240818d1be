// Command cmd checks the contracts and generates the code that follows from them. It works in the root of the
// repository, and prints a line for each fault of a contract:
//
//	go run ./openapi/generate/cmd
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"gatehouse/openapi/generate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	faults, err := generate.Run(ctx, ".")
	stop()
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(faults) > 0 {
		os.Exit(1)
	}
}
