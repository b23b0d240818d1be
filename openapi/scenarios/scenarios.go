// Package scenarios embeds the files that say how each outcome of the contracts is made to happen. README.md describes
// them, package conformance reads them.
package scenarios

import "embed"

// Dir is the directory of the files in the repository.
const Dir = "openapi/scenarios"

// Files are the scenario files.
//
//go:embed *.yaml
var Files embed.FS
