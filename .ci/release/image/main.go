// Command image makes the container image of a release from the programs that goreleaser has built: an OCI image layout
// with one image for each architecture of Linux, as one file. It needs no container runtime.
//
//	image -dist dist -o dist/gatehouse_1.2.3_image.tar
//	image -dist dist -push registry.example/team/gatehouse:1.2.3
//
// The images have no base image. They contain the program, Mozilla's certificate authorities, time zones and an account
// without rights. Two runs make the same bytes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// account is the user and the group of the program: the number that images without a base commonly use.
const account = 65532

// options are the flags.
type options struct {
	dist    string // the directory that goreleaser has written
	license string // the text of the license
	source  string // address of the source code, or ""
	archive string // the file to write, or ""
	push    string // the image in a registry to push, or ""
}

// release is what goreleaser recorded in metadata.json.
type release struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Date    time.Time `json:"-"` // of the commit
}

// artifact is a file that goreleaser recorded in artifacts.json.
type artifact struct {
	Path   string `json:"path"`
	Goos   string `json:"goos"`
	Goarch string `json:"goarch"`
	Type   string `json:"type"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var opts options
	var date int64
	flag.StringVar(&opts.dist, "dist", "dist", "directory that goreleaser has written")
	flag.StringVar(&opts.license, "license", "LICENSE", "file of the license")
	flag.StringVar(&opts.source, "source", "", "address of the source code, for the label")
	flag.StringVar(&opts.archive, "o", "", "file to write the images to, as an OCI image layout")
	flag.StringVar(&opts.push, "push", "", "image in a registry to push to, with its tag")
	flag.Int64Var(&date, "date", 0, "time of the commit, in seconds since 1970")
	flag.Parse()
	if err := run(ctx, opts, time.Unix(date, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// run makes the images, and writes and pushes them.
func run(ctx context.Context, opts options, date time.Time) error {
	rel := release{Date: date}
	if err := readJSON(filepath.Join(opts.dist, "metadata.json"), &rel); err != nil {
		return err
	}
	var artifacts []artifact
	if err := readJSON(filepath.Join(opts.dist, "artifacts.json"), &artifacts); err != nil {
		return err
	}
	programs := slices.DeleteFunc(artifacts, func(a artifact) bool { return a.Type != "Binary" || a.Goos != "linux" })
	if len(programs) == 0 {
		return fmt.Errorf("%s has no programs for Linux", opts.dist)
	}
	slices.SortFunc(programs, func(a, b artifact) int { return strings.Compare(a.Goarch, b.Goarch) })
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, program := range programs {
		platform := v1.Platform{OS: program.Goos, Architecture: program.Goarch}
		image, err := newImage(ctx, program, opts, rel)
		if err != nil {
			return fmt.Errorf("%s: %w", program.Path, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	return publish(ctx, index, opts)
}

// publish writes the images to a file and pushes them to a registry, as the options say. The credentials for the
// registry are those that docker login and podman login store.
func publish(ctx context.Context, index v1.ImageIndex, opts options) error {
	if opts.archive != "" {
		if err := writeArchive(index, opts.archive); err != nil {
			return err
		}
	}
	if opts.push == "" {
		return nil
	}
	reference, err := name.ParseReference(opts.push)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(reference, index, remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", opts.push, err)
	}
	digest, err := index.Digest()
	if err == nil {
		fmt.Printf("%s@%s\n", reference.Context(), digest) //nolint:forbidigo // the command's output
	}
	return err
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
