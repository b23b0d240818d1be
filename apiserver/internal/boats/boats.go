// Package boats is generated from the contract of a harbour, for the example and the tests of package apiserver.
package boats

//go:generate go run gatehouse/openapi/generate/cmd .
