package cli

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionOf(t *testing.T) {
	t.Parallel()
	commit := []debug.BuildSetting{
		{Key: "GOOS", Value: "linux"},
		{Key: "GOARCH", Value: "arm64"},
		{Key: "vcs.revision", Value: "4d1f8a6c0b6e9f0f7b1c2d3e4f5061728394a5b6"},
		{Key: "vcs.time", Value: "2026-11-26T23:16:50Z"},
	}
	changed := slices.Concat(commit, []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}})
	for name, test := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"of a tag": {
			&debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"}, Settings: commit},
			`gatehouse v1.2.3
commit    4d1f8a6c0b6e9f0f7b1c2d3e4f5061728394a5b6
date      2026-11-26T23:16:50Z
go        go1.26.8 linux/arm64
`,
		},
		"of a commit, and of files that are not in it": {
			&debug.BuildInfo{
				GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.0.0-20261126231650-4d1f8a6c0b6e+dirty"}, Settings: changed,
			},
			`gatehouse v0.0.0-20261126231650-4d1f8a6c0b6e+dirty
commit    4d1f8a6c0b6e9f0f7b1c2d3e4f5061728394a5b6, with changes
date      2026-11-26T23:16:50Z
go        go1.26.8 linux/arm64
`,
		},
		"of a folder without Git": {
			&debug.BuildInfo{GoVersion: "go1.26.8", Settings: commit[:2]},
			`gatehouse (devel)
commit    unknown, the program was built outside of a Git repository
date      unknown
go        go1.26.8 linux/arm64
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, versionOf(test.info).String())
		})
	}
	require.Equal(t, "(devel)", versionOf(nil).Version)
}

func TestVersionAsJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Zero(t, Run(t.Context(), []string{"version", "-o", "json"}, Streams{Out: &out, Log: &out}))
	var version buildVersion
	require.NoError(t, json.Unmarshal(out.Bytes(), &version), out.String())
	require.Equal(t, Version(), version.Version)
	require.Regexp(t, `^go1\.`, version.Go)
	require.NotEmpty(t, version.Platform)
}
