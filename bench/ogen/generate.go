// The server that ogen generates from openapi/admin.yaml is what the benchmark compares with. The generator and its
// runtime are pinned together in go.mod.

package ogen

//go:generate go tool ogen -loglevel error -config ogen.yml -package ogen -target . -clean ../../openapi/admin.yaml
