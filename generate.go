package main

// The code that follows from the contracts comes first. The program checks them, and replaces generated files only when
// all of them are there.
//
//go:generate go run ./openapi/generate/cmd openapi
//
// The reference of the commands comes last, because the commands need the generated code.
//
//go:generate go run ./internal/cli/reference docs/reference
