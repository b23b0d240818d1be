// Command cmd checks the contracts in a folder and generates the code that follows from them, as gatehouse contract
// generate does, which needs that code itself. It prints a line for each fault of a contract:
//
//	go run ./openapi/generate/cmd openapi
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"gatehouse/openapi/generate"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "expected a folder")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	result, err := generate.Run(ctx, os.Args[1])
	stop()
	for _, fault := range result.Faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(result.Faults) > 0 {
		os.Exit(1)
	}
}
