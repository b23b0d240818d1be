package main

// The contracts are checked first: the generator accepts some faulty ones and reports others without a line.
//
//go:generate go run ./openapi/lint openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml
//go:generate go tool oapi-codegen -config openapi/admin.codegen.yaml openapi/admin.yaml
//go:generate go tool oapi-codegen -config openapi/dashboard.codegen.yaml openapi/dashboard.yaml
//go:generate go tool oapi-codegen -config openapi/node.codegen.yaml openapi/node.yaml
