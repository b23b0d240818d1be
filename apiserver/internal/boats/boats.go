// Package boats is generated from the contract of a harbour, for the example and the tests of package apiserver.
package boats

//go:generate go tool oapi-codegen -config boats.codegen.yaml boats.yaml
