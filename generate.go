package main

// The contracts are checked first, so that a fault is reported with its line instead of generated.
//
//go:generate go run ./openapi/lint/cmd openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml
//go:generate go tool oapi-codegen -config openapi/admin.codegen.yaml openapi/admin.yaml
//go:generate go tool oapi-codegen -config openapi/dashboard.codegen.yaml openapi/dashboard.yaml
//go:generate go tool oapi-codegen -config openapi/node.codegen.yaml openapi/node.yaml
