package main

//go:generate go tool oapi-codegen -config openapi/admin.gen.yaml openapi/admin.yaml
//go:generate go tool oapi-codegen -config openapi/dashboard.gen.yaml openapi/dashboard.yaml
//go:generate go tool oapi-codegen -config openapi/node.gen.yaml openapi/node.yaml
