package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// program is the path of the program in an image, and dataDir that of its data directory.
const (
	program = "/usr/bin/gatehouse"
	dataDir = "/var/lib/gatehouse"
)

// newImage returns the image of one platform.
func newImage( //nolint:ireturn // the library has no other type for images
	ctx context.Context, built artifact, opts options, rel release,
) (v1.Image, error) {
	files, err := filesOf(ctx, built.Path, opts.license, rel.Date)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: rel.Date}, CreatedBy: "gatehouse .ci/release/image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = built.Goos, built.Goarch
	config.Created = v1.Time{Time: rel.Date}
	config.Config = configOf(opts, rel)
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, err
	}
	annotated, _ := mutate.Annotations(image, config.Config.Labels).(v1.Image)
	return annotated, nil
}

// configOf returns how a container of the image runs.
func configOf(opts options, rel release) v1.Config {
	user := strconv.Itoa(account)
	labels := map[string]string{
		"title": "gatehouse", "description": "A server for the Tyk Dashboard Admin API", "licenses": "Apache-2.0",
		"vendor": "the gatehouse authors", "version": rel.Version, "revision": rel.Commit,
		"created": rel.Date.Format(time.RFC3339),
	}
	if opts.source != "" {
		labels["source"] = opts.source
	}
	prefixed := map[string]string{}
	for key := range maps.Keys(labels) {
		prefixed["org.opencontainers.image."+key] = labels[key]
	}
	return v1.Config{
		User:       user + ":" + user,
		Entrypoint: []string{program},
		Cmd:        []string{"serve"},
		Env:        []string{"PATH=/usr/bin", "GATEHOUSE_LISTEN=:3000", "GATEHOUSE_DATA_DIR=" + dataDir},
		WorkingDir: "/",
		ExposedPorts: map[string]struct{}{
			"3000/tcp": {},
		},
		StopSignal: "SIGTERM",
		// Docker's extension. Kubernetes has probes instead.
		Healthcheck: &v1.HealthConfig{
			Test:     []string{"CMD", program, "healthcheck"},
			Interval: 10 * time.Second, Timeout: 10 * time.Second, StartPeriod: time.Minute,
		},
		Labels: prefixed,
	}
}
