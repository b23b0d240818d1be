package published

import "embed"

// Files are the skeletons of the published contracts: NAME-VERSION.yml.
//
//go:embed *.yml
var Files embed.FS
